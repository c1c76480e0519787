import { createHash } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import { filterUrl } from '../core/filter-url.ts'
import type { Version } from '../core/version.ts'
import type { Origin, ProbeAnswer } from '../origin/origin.ts'

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
 * Decides who may have content that was fetched with somebody's credentials: whoever gets the same content from the origin, asked with
 * the caller's own credentials. A yes is remembered for half a minute under a hash, a no is not.
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
   * @param content what is to be given, and the filtered URL from which it came
   * @throws DragonflyError the origin's refusal; SUPERNODE_FAILED where the caller proves nothing about this content: another URL, or an
   *   answer that is not this content, such as a page that asks for a password
   */
  async check(caller: Caller, content: { fetchedFrom: string; version: Version }): Promise<void> {
    if (filterUrl(caller.url).url !== content.fetchedFrom) throw notProven()
    const { generation } = content.version
    const key = createHash('sha256')
      .update(JSON.stringify([caller.url, caller.headers, generation]))
      .digest('base64')
    if ((this.#granted.get(key) ?? Number.NEGATIVE_INFINITY) > this.#clock.now()) return
    const pending = this.#pending.get(key) ?? this.#ask(caller, content.version, key)
    this.#pending.set(key, pending)
    return pending
  }

  async #ask(caller: Caller, version: Version, key: string): Promise<void> {
    const controller = new AbortController()
    const cancel = this.#clock.schedule(PROBE_MS, () => {
      controller.abort(
        new DragonflyError('ORIGIN_STALLED', 'the origin did not say whether this caller is let in'),
      )
    })
    try {
      const { url, headers } = caller
      const answer = await this.#origin.probe({ url, headers, signal: controller.signal })
      if (!isSameContent(version, answer)) throw notProven()
      if (this.#granted.size >= REMEMBERED_MAX) this.#granted.clear()
      this.#granted.set(key, this.#clock.now() + REMEMBERED_MS)
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

function notProven(): DragonflyError {
  return new DragonflyError(
    'SUPERNODE_FAILED',
    'the origin did not show that this caller may have this content',
  )
}
