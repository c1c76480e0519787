/** How an origin for tests behaves at one path. */
export type Behaviour = {
  lengthBytes: number
  /** 0 is zeros; anything else pseudo-random bytes. */
  seed: number
  framing: 'length' | 'close' | 'chunked'
  /** Payload per chunk; the last one is shorter. */
  chunkBytes: number
  chunkExtension: string
  trailers: Record<string, string>
  /**
   * `wrong-start`: the range one byte before, consistently labelled; `wrong-length`: contradicts Content-Length; `no-content-range`: 206 without it;
   * `unknown-length`: `/*`; `short`: only half of what was asked, honestly labelled; `surplus`: sends ten bytes
   * more than the label says; `deaf`: serves ranges and does not know If-Range.
   */
  ranges:
    | 'served'
    | 'ignored'
    | 'wrong-start'
    | 'wrong-length'
    | 'no-content-range'
    | 'unknown-length'
    | 'short'
    | 'surplus'
    | 'deaf'
  /** Derived from the version, or the literal value. */
  etag: 'strong' | 'weak' | null | `"${string}"`
  /** Derived from the version. */
  hasLastModified: boolean
  /** Answers If-None-Match and If-Modified-Since. */
  answersUnchanged: boolean
  redirect: { to: string; status?: number } | null
  contentType: string | null
  /** Only a label: the bytes stay what they are. */
  contentEncoding: string | null
  headers: Record<string, string>
  /** Answered instead of the content, to the next `times` requests (default: all). */
  refusal: { status: number; times?: number; headers?: Record<string, string> } | null
  /** The `Authorization` that is let in; others get 401. */
  authorization: string | null
  /** After so many body bytes of an answer, in the next `times` answers (default: all). A truncated answer ends with FIN, a reset one with RST. */
  bodyFault: { kind: 'stall' | 'truncate' | 'reset'; afterBytes: number; times?: number } | null
  /** Once so many body bytes of an answer have left, `set(patch)` happens. */
  change: { afterBytes: number; patch: Partial<Behaviour> } | null
  rateBytesPerSecond: number | null
  headDelayMs: number
  /** `garbage` is not HTTP; `slow` sends a byte of the head each 5 ms; `silent` never answers; `close` hangs up. */
  headFault: 'garbage' | 'slow' | 'silent' | 'close' | null
}

export const USUAL: Behaviour = {
  lengthBytes: 0,
  seed: 1,
  framing: 'length',
  chunkBytes: 64 * 1024,
  chunkExtension: '',
  trailers: {},
  ranges: 'served',
  etag: 'strong',
  hasLastModified: true,
  answersUnchanged: true,
  redirect: null,
  contentType: 'application/octet-stream',
  contentEncoding: null,
  headers: {},
  refusal: null,
  authorization: null,
  bodyFault: null,
  change: null,
  rateBytesPerSecond: null,
  headDelayMs: 0,
  headFault: null,
}

/** The validators of the present content. */
export function versionOf(behaviour: Behaviour): { etag: string | null; lastModified: string | null } {
  const tag = `"${behaviour.seed}-${behaviour.lengthBytes}"`
  const named = { strong: tag, weak: `W/${tag}` }
  const { etag } = behaviour
  const lastModified = new Date((1_700_000_000 + behaviour.seed) * 1000).toUTCString()
  return {
    etag: etag === 'strong' || etag === 'weak' ? named[etag] : etag,
    lastModified: behaviour.hasLastModified ? lastModified : null,
  }
}
