import type { Phase } from './download.ts'
import type { WaitReason } from './events.ts'
import type { OriginTurn } from './origin-turn.ts'
import type { SupernodeView } from './supernode-view.ts'

/** Adds up how long a download waited, by reason. */
export class Waits {
  readonly #totals: Partial<Record<WaitReason, number>> = {}
  #reason: WaitReason | null
  #since: number

  constructor(reason: WaitReason | null, now: number) {
    this.#reason = reason
    this.#since = now
  }

  get reason(): WaitReason | null {
    return this.#reason
  }

  /** Called after each event, also where the reason stays the same. */
  switchTo(reason: WaitReason | null, now: number): void {
    if (this.#reason !== null) {
      this.#totals[this.#reason] = (this.#totals[this.#reason] ?? 0) + now - this.#since
    }
    this.#since = now
    this.#reason = reason
  }

  /** Whole milliseconds per reason up to the last event. */
  totals(): Partial<Record<WaitReason, number>> {
    return Object.fromEntries(
      Object.entries(this.#totals)
        .map(([reason, ms]) => [reason, Math.round(ms)] as const)
        .filter(([, ms]) => ms > 0),
    )
  }
}

/** What is waited for while nothing is on its way from other hosts; null where the origin is sending. */
export function waitReason(phase: Phase, origin: OriginTurn, supernode: SupernodeView): WaitReason | null {
  if (phase === 'verifying') return 'digest'
  if (phase === 'preparing') return 'disk'
  if (origin.isOpen) return phase === 'announcing' ? 'origin' : null
  if (origin.isBackingOff) return 'backoff'
  if (supernode.isJoined) return 'schedule'
  return supernode.isJoining ? 'layout' : 'supernode'
}
