import { createHmac, randomBytes } from 'node:crypto'
import { parseContentRange } from '../../core/byte-range.ts'
import { type Clock, orAborted } from '../../core/clock.ts'
import type { DaemonMetrics } from '../metrics.ts'
import type { UpstreamTrust } from '../options.ts'
import { type Fields, fieldValue, without } from '../upstream/fields.ts'
import { discard, type Followed, sendFollowing } from '../upstream/follow.ts'
import type { Upstream, UpstreamAnswer } from '../upstream/upstream.ts'

/** What the upstream says of content that it lets the caller read. */
export type ContentHead = {
  readonly lengthBytes: number
  /** Those that describe the content. */
  readonly fields: Fields
  readonly etag: string | null
  readonly lastModified: string | null
}

export type AccessQuestion = {
  readonly url: URL
  readonly trust: UpstreamTrust
  /** All that the caller shows, without ranges, conditions and codings. */
  readonly fields: Fields
}

const REMEMBERED_MAX = 4096

/**
 * Who may read what. The upstream decides about each caller, asked with what the caller shows; that it lets one in is remembered for a
 * short time, under a name from which nothing can be learned.
 */
export class Access {
  readonly #upstream: Upstream
  readonly #memoryMs: number
  readonly #clock: Clock
  readonly #metrics: DaemonMetrics
  readonly #secret = randomBytes(32)
  /** In the order in which they were made. */
  readonly #remembered = new Map<string, { head: ContentHead; untilMs: number }>()
  readonly #underWay = new Map<string, Promise<ContentHead | null>>()

  constructor(options: { upstream: Upstream; memoryMs: number; clock: Clock; metrics: DaemonMetrics }) {
    this.#upstream = options.upstream
    this.#memoryMs = options.memoryMs
    this.#clock = options.clock
    this.#metrics = options.metrics
  }

  /**
   * Null where the caller is not let in, or the length is not known: what the caller's own request gets is the answer then.
   * @throws the reason of the signal
   */
  async decide(question: AccessQuestion, signal: AbortSignal): Promise<ContentHead | null> {
    const name = this.nameOf(question)
    const remembered = this.#remembered.get(name)
    if (remembered && remembered.untilMs > this.#clock.now()) {
      this.#metrics.access('remembered')
      return remembered.head
    }
    const head = await orAborted(this.#join(name, question), signal)
    this.#metrics.access(head === null ? 'refused' : 'let-in')
    return head
  }

  /** The same for all that the same caller asks of the same URL, and for nothing else. */
  nameOf({ url, trust, fields }: AccessQuestion): string {
    const shown = fields.map(([name, value]) => [name.toLowerCase(), value])
    const asked = JSON.stringify([url.href, trust.isInsecure, trust.authorities, shown])
    return createHmac('sha256', this.#secret).update(asked).digest('base64')
  }

  /** A question that is put already is not put again; it goes on when the one who put it goes away, for it ends by itself. */
  #join(name: string, question: AccessQuestion): Promise<ContentHead | null> {
    const known = this.#underWay.get(name)
    if (known) return known
    const asking = this.#ask(question)
      .then(head => {
        if (head !== null) this.#remember(name, head)
        return head
      })
      .finally(() => this.#underWay.delete(name))
    this.#underWay.set(name, asking)
    return asking
  }

  #remember(name: string, head: ContentHead): void {
    if (this.#memoryMs <= 0) return
    this.#remembered.delete(name)
    this.#remembered.set(name, { head, untilMs: this.#clock.now() + this.#memoryMs })
    if (this.#remembered.size > REMEMBERED_MAX) {
      this.#remembered.delete(this.#remembered.keys().next().value!)
    }
  }

  /** Whatever fails here fails for the caller's own request, too, and that one is answered. */
  async #ask(question: AccessQuestion): Promise<ContentHead | null> {
    try {
      const asked = await this.#send('HEAD', question)
      const head = asked.answer.status === 200 ? headOf(asked) : null
      if (head !== null || !isUndecided(asked)) return head
      return ofRangedGet(await this.#send('GET', question))
    } catch {
      return null
    }
  }

  async #send(method: 'HEAD' | 'GET', { url, trust, fields }: AccessQuestion): Promise<Followed> {
    const range = method === 'GET' ? [['Range', 'bytes=0-0'] as const] : []
    const { signal } = new AbortController()
    const followed = await sendFollowing(this.#upstream, {
      method,
      url,
      trust,
      fields: [...fields, ...range],
      signal,
    })
    discard(followed.answer)
    return followed
  }
}

/** HEAD is not allowed, not by the signature of a URL that is for GET only, or says too little. */
function isUndecided({ answer: { status }, redirects }: Followed): boolean {
  if (status === 200 || status === 405 || status === 501) return true
  return redirects.length > 0 && (status === 400 || status === 403 || status === 404)
}

function ofRangedGet(followed: Followed): ContentHead | null {
  const { status, fields } = followed.answer
  if (status === 200) return headOf(followed)
  const range = fieldValue(fields, 'content-range') ?? ''
  // Empty content has no first byte.
  if (status === 416) return /^bytes \*\/0$/i.test(range.trim()) ? headOf(followed, 0) : null
  const lengthBytes = status === 206 ? (parseContentRange(range)?.completeLength ?? null) : null
  return lengthBytes === null ? null : headOf(followed, lengthBytes)
}

function headOf({ answer, redirects }: Followed, lengthBytes = contentLengthOf(answer)): ContentHead | null {
  if (lengthBytes === null) return null
  const own = answer.fields.filter(([name]) => OF_CONTENT.has(name.toLowerCase()))
  // A store that a registry redirects to does not know what registries call the content.
  const named = redirects.flatMap(fields => fields.filter(([name]) => OF_REGISTRY.has(name.toLowerCase())))
  const present = new Set(own.map(([name]) => name.toLowerCase()))
  return {
    lengthBytes,
    fields: [...own, ...without(named, present)],
    etag: fieldValue(own, 'etag'),
    lastModified: fieldValue(own, 'last-modified'),
  }
}

function contentLengthOf({ fields }: UpstreamAnswer): number | null {
  const value = fieldValue(fields, 'content-length')?.trim()
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : null
}

const OF_REGISTRY = new Set(['docker-content-digest', 'docker-distribution-api-version'])

const OF_CONTENT = new Set([
  ...OF_REGISTRY,
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'etag',
  'expires',
  'last-modified',
])
