import type { BigIntStats } from 'node:fs'

/**
 * Tells whether a file was touched since we finished it. A change that keeps the size and sets the old time back is not seen, nor is
 * one within the kernel's tick (some milliseconds) of our own last write: those who receive pieces verify them all the same. Linking
 * and changing the mode do not count.
 */
export type Fingerprint = {
  readonly ino: bigint
  readonly size: number
  /** Nanoseconds since the Unix epoch. */
  readonly mtimeNs: bigint
}

export function fingerprintOf(stats: BigIntStats): Fingerprint {
  return { ino: stats.ino, size: Number(stats.size), mtimeNs: stats.mtimeNs }
}

export function sameFingerprint(a: Fingerprint, b: Fingerprint): boolean {
  return a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs
}
