import * as z from 'zod'
import type { Clock } from '../../core/clock.ts'
import { DragonflyError, toDragonflyError } from '../../core/error.ts'
import { decodeUtf8 } from '../../core/text.ts'
import type { Origin, OriginBody } from '../../origin/origin.ts'
import { type HostPlace, hostPlace } from '../../wire/manager-api.ts'

/** One question to an HTTP service that knows where hosts are: `GET`, answered with JSON, or with 404 for a host that it does not know. */
export type PlaceService = {
  readonly origin: Origin
  readonly clock: Clock
  /** Ends all questions. */
  readonly signal: AbortSignal
}

/** What the service may say: the parts of a place, of which those that it leaves out are not known. Nothing else. */
const serviceAnswer = hostPlace.partial()

const ANSWER_BYTES_MAX = 16 * 1024

/**
 * Null where the service does not know the host.
 * @throws DragonflyError ORIGIN_…, PROTOCOL_INVALID for an answer that is not one, CANCELLED
 */
export async function askPlace(
  service: PlaceService,
  url: string,
  timeoutMs: number,
): Promise<HostPlace | null> {
  const controller = new AbortController()
  const cancel = service.clock.schedule(timeoutMs, () => controller.abort(new Error('no answer in time')))
  try {
    return parseAnswer(await readAnswer(service, url, AbortSignal.any([controller.signal, service.signal])))
  } catch (thrown) {
    const error = toDragonflyError(thrown)
    if (controller.signal.aborted)
      throw new DragonflyError('ORIGIN_STALLED', 'the armory did not answer in time')
    if (error.code === 'ORIGIN_NOT_FOUND') return null
    throw error
  } finally {
    cancel()
  }
}

async function readAnswer({ origin }: PlaceService, url: string, signal: AbortSignal): Promise<Uint8Array> {
  const whole = { startByte: 0, endByte: null, validator: null, isRevalidation: false }
  const { body } = await origin.open({
    url,
    headers: [['accept', 'application/json']],
    ...whole,
    signal,
  })
  try {
    return await readAll(body)
  } finally {
    body.close()
  }
}

async function readAll(body: OriginBody): Promise<Uint8Array> {
  const bytes = new Uint8Array(ANSWER_BYTES_MAX + 1)
  let length = 0
  while (length < bytes.length) {
    const count = await body.read(bytes.subarray(length))
    if (count === 0) return bytes.subarray(0, length)
    length += count
  }
  throw notAnAnswer(`has more than ${ANSWER_BYTES_MAX} bytes`)
}

function parseAnswer(bytes: Uint8Array): HostPlace {
  let json: unknown
  try {
    json = JSON.parse(decodeUtf8(bytes))
  } catch {
    throw notAnAnswer('is not JSON')
  }
  const parsed = serviceAnswer.safeParse(json)
  if (!parsed.success) throw notAnAnswer(`is not a place: ${z.prettifyError(parsed.error).split('\n')[0]}`)
  const { securityDomain = null, idc = null, location = null, rack = null } = parsed.data
  return { securityDomain, idc, location, rack }
}

function notAnAnswer(what: string): DragonflyError {
  return new DragonflyError('PROTOCOL_INVALID', `the armory's answer ${what}`)
}
