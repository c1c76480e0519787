/**
 * Whether a service that may be out of order is asked. After some failures in a row it is left alone for a while; then one question is
 * let through, which decides whether all are again (Nygard, "Release It!", 2007). Times are milliseconds of the caller's clock.
 */
export class CircuitBreaker {
  readonly #failuresMax: number
  readonly #restMs: number
  #state: State = { kind: 'closed', failures: 0 }

  constructor(failuresMax: number, restMs: number) {
    this.#failuresMax = failuresMax
    this.#restMs = restMs
  }

  get isClosed(): boolean {
    return this.#state.kind === 'closed'
  }

  /** True: ask, and say what came of it. */
  tryEnter(nowMs: number): boolean {
    if (this.#state.kind === 'closed') return true
    if (this.#state.kind === 'trying' || nowMs < this.#state.untilMs) return false
    this.#state = { kind: 'trying' }
    return true
  }

  succeed(): void {
    this.#state = { kind: 'closed', failures: 0 }
  }

  fail(nowMs: number): void {
    const failures = this.#state.kind === 'closed' ? this.#state.failures + 1 : this.#failuresMax
    // Questions that were on their way when it opened do not make the rest longer.
    if (this.#state.kind === 'open') return
    this.#state =
      failures < this.#failuresMax
        ? { kind: 'closed', failures }
        : { kind: 'open', untilMs: nowMs + this.#restMs }
  }
}

type State =
  | { readonly kind: 'closed'; readonly failures: number }
  | { readonly kind: 'open'; readonly untilMs: number }
  | { readonly kind: 'trying' }
