import type { Clock } from '../core/clock.ts'
import { type DragonflyError, type ErrorCode, toDragonflyError } from '../core/error.ts'
import { jitter, type Random } from '../core/random.ts'
import { leave, type ManagerCall, renewLease } from '../net/manager-client.ts'
import type { Log } from '../ops/log.ts'
import type { LeaseRequest } from '../wire/manager-api.ts'
import { LastLease, type Standing } from './last-lease.ts'

type MembershipOptions = {
  readonly managers: readonly string[]
  readonly supernodeId: string
  readonly credential: string
  readonly homeDir: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** What is to be reported at this moment. */
  report(): LeaseRequest
  /** What a managing node says holds until one says something else, also over a restart. */
  onStanding(standing: Standing): void
}

type State = 'new' | 'member' | 'unheard' | 'refused'

/** Between tries, as long as no managing node has said how long. */
const RENEW_MS = 5_000
/** A managing node that refuses may have forgotten us for a while, such as after a restore. */
const REFUSED_MS = 60_000
const LEAVE_MS = 1_000
const REFUSALS: ReadonlySet<ErrorCode> = new Set([
  'CREDENTIAL_INVALID',
  'CREDENTIAL_REFUSED',
  'REQUEST_NOT_FOUND',
])

/**
 * A supernode's lease: says again and again that we are there, and hears where that is. Nothing waits for it: where no managing node
 * answers, what was said last goes on to hold.
 */
export class Membership {
  readonly #options: MembershipOptions
  readonly #lastLease: LastLease
  readonly #ended = new AbortController()
  #state: State = 'new'
  #renewMs = RENEW_MS
  #cancelNext = () => {}

  constructor(options: MembershipOptions) {
    this.#options = options
    this.#lastLease = new LastLease(options.homeDir, options.log)
  }

  /** Resolves after the first try, however that ends; the others follow by themselves. */
  async start(): Promise<void> {
    const standing = await this.#lastLease.read()
    if (standing) this.#options.onStanding(standing)
    await this.#renew()
  }

  /** Managing nodes need not wait for the lease to run out. */
  async stop(): Promise<void> {
    this.#ended.abort()
    this.#cancelNext()
    await this.#lastLease.settled()
    if (this.#state === 'new' || this.#state === 'refused') return
    const call = { ...this.#call(new AbortController().signal), timeoutMs: LEAVE_MS, totalMs: LEAVE_MS }
    await leave(call, this.#options.supernodeId).catch(() => {})
  }

  async #renew(): Promise<void> {
    const { supernodeId, report, onStanding } = this.#options
    let pauseMs = this.#renewMs
    try {
      const answer = await renewLease(this.#call(this.#ended.signal), supernodeId, report())
      this.#renewMs = answer.renewMs
      pauseMs = answer.renewMs
      this.#turn('member', null)
      onStanding(answer)
      this.#lastLease.keep(answer)
    } catch (thrown) {
      if (this.#ended.signal.aborted) return
      const error = toDragonflyError(thrown)
      const isRefused = REFUSALS.has(error.code)
      this.#turn(isRefused ? 'refused' : 'unheard', error)
      pauseMs = isRefused ? REFUSED_MS : this.#renewMs / 2
    }
    if (this.#ended.signal.aborted) return
    const { clock, random } = this.#options
    this.#cancelNext = clock.schedule(jitter(random, pauseMs), () => void this.#renew())
  }

  #call(signal: AbortSignal): ManagerCall {
    const { managers, clock, credential } = this.#options
    return { managers, clock, credential, signal }
  }

  /** One line for each change, however often it is tried. */
  #turn(state: State, error: DragonflyError | null): void {
    const before = this.#state
    if (state === before) return
    this.#state = state
    const { log } = this.#options
    const facts = error === null ? {} : { code: error.code, cause: error.message }
    if (state === 'member') log.info(facts, before === 'new' ? 'lease taken' : 'lease taken again')
    if (state === 'unheard') log.warn(facts, 'no managing node answers, what was said last holds')
    if (state === 'refused') log.error(facts, 'lease refused, join again with a new token')
  }
}
