import type { IncomingMessage } from 'node:http'
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
  const events = eventsOf(answer)
  for (;;) {
    const { done, value } = await events.next()
    if (done) return value
    onProgress(value)
  }
}

/**
 * What the resident peer says of a download, and at the end what came of it. The connection stays as it is, since its end gives the
 * download up.
 * @throws DragonflyError why the download failed, or PEER_LOST
 */
export async function* eventsOf(answer: IncomingMessage): AsyncGenerator<ProgressEvent, RunResult> {
  // The iteration hears of a failure while it lasts; after the last event the connection may break without consequence.
  answer.on('error', () => {})
  let refusal = ''
  for await (const line of linesOf(answer)) {
    if (answer.statusCode !== 200) {
      refusal += line
      continue
    }
    const event = parseSaid(line) as LocalEvent
    if (event.event === 'progress') yield event
    else if (event.event === 'complete') return event.result
    else throw new DragonflyError(event.code, event.message)
  }
  if (refusal === '') throw new DragonflyError('PEER_LOST', 'the resident peer ended during the download')
  throw refusalOf(parseSaid(refusal))
}

async function* linesOf(answer: IncomingMessage): AsyncGenerator<string> {
  let rest = ''
  try {
    for await (const part of answer.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
      const lines = `${rest}${part}`.split('\n')
      rest = lines.pop() as string
      yield* lines
    }
  } catch (cause) {
    throw new DragonflyError('PEER_LOST', 'the resident peer broke off', { cause })
  }
  if (rest !== '') yield rest
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
