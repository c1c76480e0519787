import { createHash } from 'node:crypto'
import { namesSameContent } from '../core/blob-url.ts'
import { type Caller, shownBy } from '../core/caller.ts'
import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import type { Version } from '../core/version.ts'
import type { Origin, ProbeAnswer } from '../origin/origin.ts'

const REMEMBERED_MS = 30_000
const REMEMBERED_MAX = 10_000
const PROBE_MS = 15_000

/** What is to be given, and the filtered URL from which it came. */
export type FetchedContent = { readonly fetchedFrom: string; readonly version: Version }

/**
 * Decides who may have what the origin gave to somebody else: whoever gets the same from the origin, asked with the caller's own
 * credentials. A yes is remembered for half a minute under a hash, a no is not.
 */
export class Access {
  readonly #origin: Origin
  readonly #clock: Clock
  readonly #granted = new Map<string, number>()
  readonly #pending = new Map<string, Promise<ProbeAnswer>>()
  readonly #closing = new AbortController()

  constructor(origin: Origin, clock: Clock) {
    this.#origin = origin
    this.#clock = clock
  }

  /**
   * @throws DragonflyError the origin's refusal; SUPERNODE_FAILED where the caller proves nothing about this content: a URL that names other content, or an
   *   answer that is not this content, such as a page that asks for a password
   */
  async check(caller: Caller, content: FetchedContent): Promise<void> {
    const key = keyOf(caller, content)
    if ((this.#granted.get(key) ?? Number.NEGATIVE_INFINITY) > this.#clock.now()) return
    await this.ask(caller, content)
  }

  /** Like `check`, but the origin's word is one of now. */
  async ask(caller: Caller, content: FetchedContent): Promise<void> {
    if (!namesSameContent(caller.url, content.fetchedFrom)) throw notProven()
    const key = keyOf(caller, content)
    if (!isSameContent(content.version, await this.#probe(caller, key))) throw notProven()
    if (this.#granted.size >= REMEMBERED_MAX) this.#granted.clear()
    this.#granted.set(key, this.#clock.now() + REMEMBERED_MS)
  }

  /** What the origin shows to this caller at this moment. @throws DragonflyError the origin's refusal */
  show(caller: Caller): Promise<ProbeAnswer> {
    return this.#probe(caller, keyOf(caller, null))
  }

  /** Breaks off all questions. */
  close(): void {
    this.#closing.abort(new DragonflyError('CANCELLED', 'the supernode stops'))
  }

  /** One question for all who ask the same at the same time. */
  #probe(caller: Caller, key: string): Promise<ProbeAnswer> {
    const pending = this.#pending.get(key) ?? this.#question(caller, key)
    this.#pending.set(key, pending)
    return pending
  }

  async #question(caller: Caller, key: string): Promise<ProbeAnswer> {
    const controller = new AbortController()
    const cancel = this.#clock.schedule(PROBE_MS, () => {
      controller.abort(
        new DragonflyError('ORIGIN_STALLED', 'the origin did not say whether this caller is let in'),
      )
    })
    try {
      const { url, headers } = caller
      const signal = AbortSignal.any([controller.signal, this.#closing.signal])
      return await this.#origin.probe({ url, headers, signal })
    } catch (thrown) {
      throw controller.signal.aborted ? controller.signal.reason : thrown
    } finally {
      cancel()
      this.#pending.delete(key)
    }
  }
}

/** The strongest of what both sides say decides; where they have nothing in common, nothing is proven. */
function isSameContent({ validator, layout }: Version, answer: ProbeAnswer): boolean {
  if (validator.etag !== null) return answer.validator.etag === validator.etag
  const isSameLength = layout.lengthBytes !== null && answer.lengthBytes === layout.lengthBytes
  if (validator.lastModified === null) return isSameLength
  return answer.validator.lastModified === validator.lastModified
}

export function notProven(): DragonflyError {
  return new DragonflyError(
    'SUPERNODE_FAILED',
    'the origin did not show that this caller may have this content',
  )
}

function keyOf(caller: Caller, content: FetchedContent | null): string {
  const said = JSON.stringify([shownBy(caller), content?.fetchedFrom, content?.version.generation])
  return createHash('sha256').update(said).digest('base64')
}
