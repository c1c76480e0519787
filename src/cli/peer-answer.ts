import type { IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { DragonflyError, isErrorCode } from '../core/error.ts'
import type { LocalEvent, RunResult } from '../wire/local.ts'

type ProgressEvent = LocalEvent & { event: 'progress' }

/**
 * Reads what the resident peer says of a download until it is over.
 * @throws DragonflyError why the download failed, or PEER_LOST
 */
export async function lastEvent(
  answer: IncomingMessage,
  onProgress: (event: ProgressEvent) => void,
): Promise<RunResult> {
  const broken = new Promise<never>((_, reject) => {
    answer.once('error', cause =>
      reject(new DragonflyError('PEER_LOST', 'the resident peer broke off', { cause })),
    )
  })
  return Promise.race([broken, readEvents(answer, onProgress)])
}

async function readEvents(
  answer: IncomingMessage,
  onProgress: (event: ProgressEvent) => void,
): Promise<RunResult> {
  let refusal = ''
  for await (const line of createInterface({ input: answer, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (answer.statusCode !== 200) {
      refusal += line
      continue
    }
    const event = parseSaid(line) as LocalEvent
    if (event.event === 'progress') onProgress(event)
    else if (event.event === 'complete') return event.result
    else throw new DragonflyError(event.code, event.message)
  }
  if (refusal === '') throw new DragonflyError('PEER_LOST', 'the resident peer ended during the download')
  throw refusalOf(parseSaid(refusal))
}

/** @throws DragonflyError PEER_LOST where it is only the beginning of what was to be said */
export function parseSaid(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new DragonflyError('PEER_LOST', 'the resident peer ended in the middle of a word', { cause })
  }
}

export function refusalOf(said: unknown): DragonflyError {
  const { code, message } = said as { code: unknown; message: string }
  return new DragonflyError(isErrorCode(code) ? code : 'INTERNAL', message)
}
