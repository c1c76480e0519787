import { isErrorCode } from '../core/error.ts'
import type { Reader } from '../swarm/member.ts'
import type { ConsumerReport } from '../swarm/task-swarm.ts'
import type { PeerMessages } from '../wire/control.ts'

/** A report as the scheduler takes it. */
export function readReport(message: PeerMessages['report'], pieceLength: number): ConsumerReport {
  const { done, failed, released } = message
  const codeAt = (i: number) => (isErrorCode(message.codes[i]) ? message.codes[i] : 'SOURCE_GONE')
  return {
    done: groups(done, 3, (piece, source, elapsedMs) => ({ piece, source, elapsedMs })),
    failed: groups(failed, 3, (piece, source, code) => ({ piece, source, code: codeAt(code) })),
    released: groups(released, 2, (piece, source) => ({ piece, source })),
    slow: message.slow,
    fromOrigin: message.fromOrigin,
    reader: message.lookAhead === null ? null : readerOf(message, pieceLength),
  }
}

/** What an announce or a report says of whoever reads the content meanwhile. */
export function readerOf(
  { lookAhead, readFrom }: Pick<PeerMessages['announce'], 'lookAhead' | 'readFrom'>,
  pieceLength: number,
): Reader {
  return { lookAhead: lookAhead ?? 0, fromPiece: Math.floor((readFrom ?? 0) / pieceLength) }
}

/** Of so many numbers each, two or three; what is left over at the end is none. */
function groups<T>(
  flat: readonly number[],
  size: number,
  read: (first: number, second: number, third: number) => T,
): T[] {
  const found: T[] = []
  for (let i = 0; i + size <= flat.length; i += size) found.push(read(flat[i], flat[i + 1], flat[i + 2]))
  return found
}
