import type { Clock } from '../core/clock.ts'

/**
 * Tries one after the other, the next as soon as one has failed or has had its head start, while the earlier may still win. So one that
 * hangs costs its head start and not its time-out (the idea is RFC 8305, section 5).
 */

type Turns<Item, Won> = {
  readonly items: readonly Item[]
  /** Ends soon after its signal, whose reason then says why. */
  attempt(item: Item, signal: AbortSignal): Promise<Won>
  /** How long the attempt with this index is waited for before the next one begins beside it. */
  headStartMs(index: number): number
  /** For all of them together. */
  readonly totalMs: number
  readonly clock: Clock
  readonly signal: AbortSignal
  onFailed(item: Item, thrown: unknown): void
  /** Of one that has won too late. */
  discard?(won: Won): void
}

/** Resolves with what the first to succeed gives, or with null where none does in time, or the signal ends it. */
export function firstInTurn<Item, Won>(turns: Turns<Item, Won>): Promise<Won | null> {
  const { items, attempt, headStartMs, totalMs, clock, signal } = turns
  const ending = new AbortController()
  const { promise, resolve } = Promise.withResolvers<Won | null>()
  let started = 0
  let failed = 0
  let cancelHeadStart = () => {}
  const settle = (won: Won | null) => {
    cancelHeadStart()
    cancelTotal()
    signal.removeEventListener('abort', onAbort)
    resolve(won)
    ending.abort(signal.aborted ? signal.reason : new Error('not in time'))
  }
  const onAbort = () => settle(null)
  const cancelTotal = clock.schedule(totalMs, () => settle(null))
  const next = () => {
    cancelHeadStart()
    if (ending.signal.aborted || started === items.length) return
    const index = started++
    const item = items[index]
    if (started < items.length) cancelHeadStart = clock.schedule(headStartMs(index), next)
    attempt(item, ending.signal).then(
      won => (ending.signal.aborted ? turns.discard?.(won) : settle(won)),
      thrown => {
        if (!signal.aborted) turns.onFailed(item, thrown)
        failed++
        if (failed === items.length) settle(null)
        // Whose successor runs already has nothing to bring forward.
        else if (index === started - 1) next()
      },
    )
  }
  signal.addEventListener('abort', onAbort)
  if (signal.aborted || items.length === 0) settle(null)
  else next()
  return promise
}
