import { isErrorCode } from '../core/error.ts'
import type { Reader } from '../swarm/member.ts'
import type { ConsumerReport } from '../swarm/task-swarm.ts'
import type { PeerMessages } from '../wire/control.ts'

/** A report as the scheduler takes it. */
export function readReport(message: PeerMessages['report'], pieceLength: number): ConsumerReport {
  const { done, failed, released } = message
  const codeAt = (i: number) => (isErrorCode(message.codes[i]) ? message.codes[i] : 'SOURCE_GONE')
  return {
    done: groups(done, 3).map(([piece, source, elapsedMs]) => ({ piece, source, elapsedMs })),
    failed: groups(failed, 3).map(([piece, source, code]) => ({ piece, source, code: codeAt(code) })),
    released: groups(released, 2).map(([piece, source]) => ({ piece, source })),
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

function groups(flat: readonly number[], size: number): number[][] {
  const found: number[][] = []
  for (let i = 0; i + size <= flat.length; i += size) found.push(flat.slice(i, i + size))
  return found
}
