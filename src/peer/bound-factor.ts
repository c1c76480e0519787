import { pieceBoundSeconds } from '../core/bound.ts'
import type { Download } from '../transfer/download.ts'

/** How many times longer it took than the best rate seen here would have allowed a swarm of this size; null if nothing was received. */
export function boundFactor(
  machine: Download,
  run: { seconds: number; rateBytesPerSecond: number },
): number | null {
  const { version, pieceCount } = machine.content
  const lengthBytes = version?.layout.lengthBytes ?? 0
  if (run.rateBytesPerSecond === 0 || !pieceCount) return null
  const pieceLength = lengthBytes / pieceCount
  const { rateBytesPerSecond } = run
  return (
    run.seconds /
    pieceBoundSeconds({ peers: machine.peers, pieces: pieceCount, pieceLength, rateBytesPerSecond })
  )
}
