/**
 * How fast a distribution can be at best, in seconds.
 *
 * Fluid bound: max(F/u_s, F/d_min, N·F/(u_s + Σu_i)) — Kumar and Ross, "Peer-assisted file distribution: the minimum
 * distribution time", 2006. Store-and-forward bound for N equal peers and k pieces: (k + ⌊log2 N⌋) piece-times — Mundinger, Weber and
 * Weiss, "Optimal scheduling of peer-to-peer file dissemination", 2008.
 */

/** N equal peers, one seed of the same rate: (k + ⌊log2 N⌋) · pieceLength / rate. */
export function pieceBoundSeconds(swarm: {
  peers: number
  pieces: number
  pieceLength: number
  rateBytesPerSecond: number
}): number {
  const pieceSeconds = swarm.pieceLength / swarm.rateBytesPerSecond
  return (swarm.pieces + Math.floor(Math.log2(Math.max(1, swarm.peers)))) * pieceSeconds
}

/** Rates in bytes per second. */
export function fluidBoundSeconds(swarm: {
  lengthBytes: number
  seedUpload: number
  uploads: readonly number[]
  downloads: readonly number[]
}): number {
  const { lengthBytes, seedUpload, uploads, downloads } = swarm
  const totalUpload = uploads.reduce((sum, rate) => sum + rate, seedUpload)
  const slowestDownload = downloads.reduce((least, rate) => Math.min(least, rate), Number.POSITIVE_INFINITY)
  return Math.max(
    lengthBytes / seedUpload,
    lengthBytes / slowestDownload,
    (downloads.length * lengthBytes) / totalUpload,
  )
}
