import { type ByteRange, parseContentRange } from '../core/byte-range.ts'
import { DragonflyError, type ErrorCode } from '../core/error.ts'
import type { ResponseHead } from '../wire/http1.ts'
import { HELD_ANSWER_BYTES_MAX, type HeldAnswer, parseHeldAnswer } from '../wire/piece-routes.ts'
import type { Http1Connection } from './http1-connection.ts'
import type { Limiter } from './rate-limiter.ts'
import { TransportError } from './transport-error.ts'

/** What a source's answer is worth: heads are checked before a byte is taken, bodies must be exactly as long as was asked for. */

/** Is shown a piece while it comes. */
export type PieceHash = { update(bytes: Uint8Array): unknown; digest(): Uint8Array }

/** @throws DragonflyError with the code that the refusal means, or PROTOCOL_INVALID */
export function checkPieceHead(head: ResponseHead, range: ByteRange): void {
  if (head.status !== 206) throw refusalOf(head)
  const sent = parseContentRange(head.headers.get('content-range') ?? '')
  if (!sent || sent.start !== range.start || sent.end !== range.end) throw liar('answered with another range')
  if (lengthOf(head) !== range.end - range.start) throw liar('answered with another length')
}

/**
 * Fills `into` wholly from the body, hashing on the way.
 * @throws TransportError
 */
export async function receiveBytes(
  connection: Http1Connection,
  into: Uint8Array,
  options: { hash: PieceHash; limiter: Limiter | null; signal: AbortSignal; onBytes?(bytes: number): void },
): Promise<void> {
  const { hash, limiter, signal, onBytes } = options
  const take = (fresh: Uint8Array) => {
    hash.update(fresh)
    onBytes?.(fresh.length)
  }
  for (let offset = 0; offset < into.length; ) {
    const strideBytes = limiter?.isLimited ? limiter.sliceBytes(LIMITED_STRIDE_BYTES) : into.length
    const bytes = await connection.readBody(into.subarray(offset, offset + strideBytes), take)
    if (bytes === 0) throw new TransportError('closed', 'the body ended early')
    offset += bytes
    const turn = limiter?.take(bytes, signal)
    if (turn) await turn
  }
}

/** @throws DragonflyError, TransportError */
export async function receiveHeld(head: ResponseHead, connection: Http1Connection): Promise<HeldAnswer> {
  if (head.status !== 200) throw refusalOf(head)
  const lengthBytes = lengthOf(head)
  if (lengthBytes === null || lengthBytes === 0 || lengthBytes > HELD_ANSWER_BYTES_MAX)
    throw liar('sent an answer of no sensible length')
  const json = Buffer.alloc(lengthBytes)
  for (let offset = 0; offset < lengthBytes; ) offset += await connection.readBody(json.subarray(offset))
  const answer = parseHeldAnswer(parseJson(json.toString()))
  if (!answer) throw liar('sent something else than what it holds')
  return answer
}

/** What a failure on the way to or from a source means to whoever asked. */
export function toSourceError(thrown: unknown): DragonflyError {
  if (thrown instanceof DragonflyError) return thrown
  if (!(thrown instanceof TransportError))
    return new DragonflyError('INTERNAL', String(thrown), { cause: thrown })
  const code: ErrorCode =
    thrown.failure === 'timeout'
      ? 'SOURCE_SLOW'
      : thrown.failure === 'protocol'
        ? 'PROTOCOL_INVALID'
        : 'SOURCE_GONE'
  return new DragonflyError(code, `source: ${thrown.message}`, { cause: thrown })
}

function refusalOf(head: ResponseHead): DragonflyError {
  if (head.status === 403) return new DragonflyError('TOKEN_INVALID', 'the source did not accept the token')
  if (head.status === 404) return new DragonflyError('PIECE_NOT_HELD', 'the source does not hold it')
  if (head.status === 503) return new DragonflyError('SOURCE_BUSY', 'the source has no upload slot free')
  if (head.status >= 500)
    return new DragonflyError('SOURCE_GONE', `the source failed with status ${head.status}`)
  return liar(`answered with status ${head.status}`)
}

function liar(what: string): DragonflyError {
  return new DragonflyError('PROTOCOL_INVALID', `the source ${what}`)
}

/** Null where the length is not announced plainly. */
function lengthOf(head: ResponseHead): number | null {
  const value = head.headers.get('content-length')
  if (value === undefined || head.headers.has('transfer-encoding') || !/^\d{1,15}$/.test(value)) return null
  return Number(value)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Between two questions to the rate limit. */
const LIMITED_STRIDE_BYTES = 256 * 1024
