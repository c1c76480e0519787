/** Failures in a row after which bytes alone do not count as progress. */
const FAILURES_IN_VAIN = 8
/** Whoever is responsible gets a full limit, but where one after the other fails it ends after so many. */
const LIMITS_IN_ALL = 10

/** Whether a download is getting anywhere. Bytes are a sign of life; where one thing fails after the other, only new pieces are. */
export class Progress {
  /** When somebody else became responsible. */
  #since: number
  #aliveAt: number
  #heldAt: number
  /** Without a new piece in between. */
  #failures = 0
  #originBytes = 0

  constructor(now: number) {
    this.#since = now
    this.#aliveAt = now
    this.#heldAt = now
  }

  /** When bytes last came. */
  get aliveAt(): number {
    return this.#aliveAt
  }

  /** When a new piece last came, or somebody else became responsible for that. */
  get heldAt(): number {
    return Math.max(this.#heldAt, this.#since)
  }

  /** Somebody else is responsible from now on, and gets as much time. */
  restart(now: number): void {
    this.#since = now
    this.#failures++
  }

  move(now: number): void {
    this.#aliveAt = now
  }

  hold(now: number): void {
    this.#heldAt = now
    this.#failures = 0
  }

  fail(): void {
    this.#failures++
  }

  /** While the CDN receives, waiting for it is not in vain. */
  onOriginBytes(originBytes: number, now: number): void {
    if (originBytes > this.#originBytes) this.#aliveAt = now
    this.#originBytes = originBytes
  }

  /** @param isReading the origin sends, perhaps what is held before what is new; each of its failures is looked at when it has failed */
  isStalled(now: number, limitMs: number, isReading = false): boolean {
    if (now - Math.max(this.#aliveAt, this.#since) > limitMs) return true
    if (isReading || this.#failures < FAILURES_IN_VAIN) return false
    return now - this.heldAt > limitMs || now - this.#heldAt > LIMITS_IN_ALL * limitMs
  }
}
