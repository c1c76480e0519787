import { createHash } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import { filterUrl } from '../core/filter-url.ts'
import type { Origin } from '../origin/origin.ts'

/** What a caller shows to the origin. */
export type Caller = { readonly url: string; readonly headers: readonly (readonly [string, string])[] }

/** Headers that say nothing about who asks. Everything else may be a credential. */
const IMPERSONAL_HEADERS = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'range',
  'referer',
  'user-agent',
])

const REMEMBERED_MS = 30_000
const REMEMBERED_MAX = 10_000
const PROBE_MS = 15_000

/** Whether the caller may be seeing more than the public sees. */
export function hasCredentials(caller: Caller): boolean {
  const isNamed = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*@/i.test(caller.url)
  return (
    isNamed ||
    filterUrl(caller.url).isSigned ||
    caller.headers.some(([name]) => !IMPERSONAL_HEADERS.has(name.toLowerCase()))
  )
}

/**
 * Decides who may have content that was fetched with somebody's credentials: whoever the origin lets in, asked with the caller's own
 * credentials. A yes is remembered for half a minute under a hash, a no is not.
 */
export class Access {
  readonly #origin: Origin
  readonly #clock: Clock
  readonly #granted = new Map<string, number>()
  readonly #pending = new Map<string, Promise<void>>()

  constructor(origin: Origin, clock: Clock) {
    this.#origin = origin
    this.#clock = clock
  }

  /**
   * @param fetchedFrom filtered URL from which the private content came
   * @throws DragonflyError the origin's refusal; SUPERNODE_FAILED where another URL is named, which proves nothing about this content
   */
  async check(caller: Caller, fetchedFrom: string): Promise<void> {
    if (filterUrl(caller.url).url !== fetchedFrom) {
      throw new DragonflyError(
        'SUPERNODE_FAILED',
        'this content came from another place and is not public there',
      )
    }
    const key = createHash('sha256')
      .update(JSON.stringify([caller.url, caller.headers]))
      .digest('base64')
    if ((this.#granted.get(key) ?? Number.NEGATIVE_INFINITY) > this.#clock.now()) return
    const pending = this.#pending.get(key) ?? this.#ask(caller, key)
    this.#pending.set(key, pending)
    return pending
  }

  async #ask(caller: Caller, key: string): Promise<void> {
    const controller = new AbortController()
    const cancel = this.#clock.schedule(PROBE_MS, () => {
      controller.abort(
        new DragonflyError('ORIGIN_STALLED', 'the origin did not say whether this caller is let in'),
      )
    })
    try {
      await this.#origin.probe({ ...caller, signal: controller.signal })
      if (this.#granted.size >= REMEMBERED_MAX) this.#granted.clear()
      this.#granted.set(key, this.#clock.now() + REMEMBERED_MS)
    } finally {
      cancel()
      this.#pending.delete(key)
    }
  }
}
