import type { Clock } from '../../core/clock.ts'
import { toDragonflyError } from '../../core/error.ts'
import type { Log } from '../../ops/log.ts'
import type { Origin } from '../../origin/origin.ts'
import type { HostPlace } from '../../wire/manager-api.ts'
import type { Armory, ArmoryHost, Whereabouts } from './armory.ts'
import { CircuitBreaker } from './circuit-breaker.ts'
import { askPlace, type PlaceService } from './place-service.ts'
import { compileUrlTemplate, type UrlTemplate } from './url-template.ts'

export type HttpArmoryOptions = {
  /** With `{hostName}` and `{address}`. */
  readonly urlTemplate: string
  readonly origin: Origin
  readonly defaultPlace: HostPlace
  readonly clock: Clock
  readonly log: Log
  /** For all questions about one host together. */
  readonly timeoutMs?: number
  /** An answer, a "not known" too, is taken for true for so long, and used beyond that only while the service is out of order. */
  readonly cacheMs?: number
  readonly cacheEntriesMax?: number
  /** So many failures in a row, and the service is not asked for `restMs`. */
  readonly failuresMax?: number
  readonly restMs?: number
}

/** @throws DragonflyError CONFIG_INVALID */
export function createHttpArmory(options: HttpArmoryOptions): Armory {
  return new HttpArmory(options)
}

const TIMEOUT_MS = 1_000
const CACHE_MS = 300_000
const CACHE_ENTRIES_MAX = 100_000
const FAILURES_MAX = 5
const REST_MS = 10_000
/** Questions that are on their way at once. Beyond them the answer is what is remembered, as with a service that is out of order. */
const QUESTIONS_MAX = 256

type Remembered = { readonly place: HostPlace | null; readonly freshUntilMs: number }

class HttpArmory implements Armory {
  readonly #options: HttpArmoryOptions
  readonly #service: PlaceService
  readonly #urlsOf: UrlTemplate
  readonly #breaker: CircuitBreaker
  /** By URL; those that were asked for last are at the end. */
  readonly #remembered = new Map<string, Remembered>()
  readonly #pending = new Map<string, Promise<HostPlace | null>>()
  readonly #closing = new AbortController()

  constructor(options: HttpArmoryOptions) {
    const { origin, clock, failuresMax = FAILURES_MAX, restMs = REST_MS } = options
    this.#options = options
    this.#service = { origin, clock, signal: this.#closing.signal }
    this.#urlsOf = compileUrlTemplate(options.urlTemplate)
    this.#breaker = new CircuitBreaker(failuresMax, restMs)
  }

  /** The first of the host's addresses that the service knows decides. */
  async where(host: ArmoryHost): Promise<Whereabouts> {
    const deadlineMs = this.#options.clock.now() + (this.#options.timeoutMs ?? TIMEOUT_MS)
    for (const url of this.#urlsOf(host)) {
      const place = await this.#ask(url, deadlineMs)
      if (place !== null) return { place, isKnown: true }
    }
    return { place: this.#options.defaultPlace, isKnown: false }
  }

  close(): void {
    this.#closing.abort()
  }

  async #ask(url: string, deadlineMs: number): Promise<HostPlace | null> {
    const { clock } = this.#options
    const remembered = this.#remembered.get(url)
    if (remembered && clock.now() < remembered.freshUntilMs) return remembered.place
    const pending = this.#pending.get(url)
    if (pending) return pending
    const isFull = this.#pending.size >= QUESTIONS_MAX || this.#closing.signal.aborted
    const timeoutMs = deadlineMs - clock.now()
    if (isFull || timeoutMs <= 0 || !this.#breaker.tryEnter(clock.now())) return remembered?.place ?? null
    const question = this.#question(url, timeoutMs)
    this.#pending.set(url, question)
    return question
  }

  async #question(url: string, timeoutMs: number): Promise<HostPlace | null> {
    const { clock, log, cacheMs = CACHE_MS } = this.#options
    try {
      const place = await askPlace(this.#service, url, timeoutMs)
      if (!this.#breaker.isClosed) log.info({}, 'armory service answers again')
      this.#breaker.succeed()
      this.#remember(url, { place, freshUntilMs: clock.now() + cacheMs })
      return place
    } catch (thrown) {
      if (!this.#closing.signal.aborted) this.#failed(thrown)
      return this.#remembered.get(url)?.place ?? null
    } finally {
      this.#pending.delete(url)
    }
  }

  #failed(thrown: unknown): void {
    const { clock, log } = this.#options
    const wasInUse = this.#breaker.isClosed
    this.#breaker.fail(clock.now())
    const { code, message } = toDragonflyError(thrown)
    if (wasInUse && !this.#breaker.isClosed)
      log.error({ code, reason: message }, 'armory service is out of order and left alone for a while')
    else log.debug({ code, reason: message }, 'armory service did not answer')
  }

  #remember(url: string, answer: Remembered): void {
    this.#remembered.delete(url)
    this.#remembered.set(url, answer)
    if (this.#remembered.size <= (this.#options.cacheEntriesMax ?? CACHE_ENTRIES_MAX)) return
    const oldest = this.#remembered.keys().next()
    if (!oldest.done) this.#remembered.delete(oldest.value)
  }
}
