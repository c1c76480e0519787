/** Randomness as an argument. */
export type Random = {
  /** Uniform in [0, 1). */
  next(): number
}

/** mulberry32: small, fast, and the same sequence for the same seed everywhere. Not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return {
    next() {
      state = (state + 0x6d2b79f5) >>> 0
      let mixed = Math.imul(state ^ (state >>> 15), state | 1)
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
    },
  }
}

/** Integer in [0, bound). */
export function pickIndex(random: Random, bound: number): number {
  return Math.floor(random.next() * bound)
}

/** `baseMs` ± half of it, so that many who wait do not come back together. */
export function jitter(random: Random, baseMs: number): number {
  return baseMs * (0.5 + random.next())
}
