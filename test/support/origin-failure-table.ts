import type { ErrorCode } from '../../src/core/error.ts'
import type { Behaviour } from './origin-behaviour.ts'
import { LENGTH_BYTES, MIB, NAMELESS } from './origin-scene.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './origin-server.ts'
import { createSelfSigned } from './self-signed.ts'

/** What an origin may do wrong, how that is told, and how it comes right again. */

const KIB = 1024

const secure = await startOriginServer({ tls: createSelfSigned({ ipv4: '127.0.0.1' }) })
const elsewhere = await startOriginServer({ host: '127.0.0.2' })

/** The servers beside the test's own that failures need; who uses the table closes them. */
export const otherOrigins: OriginServer[] = [secure, elsewhere]

async function reopen(port: number, at: string): Promise<void> {
  const origin = await startOriginServer({ port })
  origin.serve(at, { lengthBytes: LENGTH_BYTES })
  otherOrigins.push(origin)
}

/** What is asked for in one of the ways, and where it is. */
export type Arranged = {
  readonly url: string
  readonly file: ServedFile | null
  heal(): Promise<void> | void
}

export type Failure = {
  readonly name: string
  readonly code: ErrorCode
  readonly exitStatus: number
  /** What the message must name. */
  readonly says: RegExp
  readonly headers?: [string, string][]
  readonly digest?: string
  arrange(origin: OriginServer, path: string): Arranged | Promise<Arranged>
}

function behaves(wrong: Partial<Behaviour>, well: Partial<Behaviour> = {}): Failure['arrange'] {
  return (origin, at) => {
    const file = origin.serve(at, { lengthBytes: LENGTH_BYTES, seed: 3, ...wrong })
    const heal = () =>
      file.set({ refusal: null, headFault: null, bodyFault: null, redirect: null, change: null, ...well })
    return { url: file.url, file, heal }
  }
}

const refuses = (status: number) => behaves({ refusal: { status } })
const faults = (kind: 'stall' | 'truncate' | 'reset', rest: Partial<Behaviour> = {}) =>
  behaves({ bodyFault: { kind, afterBytes: 500 * KIB }, ...rest })
/** Broken off once, and other content when asked again. */
const changes = (rest: Partial<Behaviour>, patch: Partial<Behaviour> = { seed: 9 }) =>
  behaves({
    bodyFault: { kind: 'truncate', afterBytes: 2 * MIB + 5, times: 1 },
    change: { afterBytes: 2 * MIB, patch },
    ...rest,
  })

export const FAILURES: readonly Failure[] = [
  { name: '404', code: 'ORIGIN_NOT_FOUND', exitStatus: 10, says: /answered 404/, arrange: refuses(404) },
  { name: '410', code: 'ORIGIN_NOT_FOUND', exitStatus: 10, says: /answered 410/, arrange: refuses(410) },
  { name: '401', code: 'ORIGIN_UNAUTHORIZED', exitStatus: 11, says: /answered 401/, arrange: refuses(401) },
  { name: '403', code: 'ORIGIN_UNAUTHORIZED', exitStatus: 11, says: /answered 403/, arrange: refuses(403) },
  { name: '418', code: 'ORIGIN_REFUSED', exitStatus: 12, says: /answered 418/, arrange: refuses(418) },
  { name: '500', code: 'ORIGIN_ERROR', exitStatus: 19, says: /answered 500/, arrange: refuses(500) },
  { name: '503', code: 'ORIGIN_ERROR', exitStatus: 19, says: /answered 503/, arrange: refuses(503) },
  {
    name: 'a refused connection',
    code: 'ORIGIN_UNREACHABLE',
    exitStatus: 13,
    says: /127\.0\.0\.1:\d+.*refused/i,
    async arrange(_, at) {
      const closed = await startOriginServer()
      const { port, url } = closed
      await closed.close()
      return { url: url + at, file: null, heal: () => reopen(port, at) }
    },
  },
  {
    name: 'an unknown host',
    code: 'ORIGIN_UNREACHABLE',
    exitStatus: 13,
    says: /no-such-host\.invalid/,
    arrange: (_, at) => ({ url: `http://no-such-host.invalid${at}`, file: null, heal() {} }),
  },
  {
    name: 'a certificate of an unknown CA',
    code: 'ORIGIN_TLS',
    exitStatus: 18,
    says: /127\.0\.0\.1:\d+.*SELF_SIGNED_CERT/,
    arrange: (_, at) => ({ url: `${secure.url}${at}`, file: null, heal() {} }),
  },
  {
    name: 'silence',
    code: 'ORIGIN_STALLED',
    exitStatus: 14,
    says: /127\.0\.0\.1:\d+: nothing was received/,
    arrange: behaves({ headFault: 'silent' }),
  },
  {
    name: 'a connection that closes before the answer',
    code: 'ORIGIN_UNREACHABLE',
    exitStatus: 13,
    says: /127\.0\.0\.1:\d+.*closed/,
    arrange: behaves({ headFault: 'close' }),
  },
  {
    name: 'an answer that is not HTTP',
    code: 'ORIGIN_PROTOCOL',
    exitStatus: 17,
    says: /127\.0\.0\.1:\d+/,
    arrange: behaves({ headFault: 'garbage' }),
  },
  {
    name: 'a body that stalls each time',
    code: 'ORIGIN_STALLED',
    exitStatus: 14,
    says: /127\.0\.0\.1:\d+/,
    arrange: faults('stall'),
  },
  {
    name: 'a body that is cut off each time',
    code: 'ORIGIN_TRUNCATED',
    exitStatus: 15,
    says: /127\.0\.0\.1:\d+/,
    arrange: faults('truncate'),
  },
  {
    name: 'a body that is cut off each time further on, without ranges',
    code: 'ORIGIN_TRUNCATED',
    exitStatus: 15,
    says: /127\.0\.0\.1:\d+/,
    arrange: behaves({ ranges: 'ignored', bodyFault: { kind: 'truncate', afterBytes: 2 * MIB + 9 } }),
  },
  {
    name: 'a body that is reset each time',
    code: 'ORIGIN_TRUNCATED',
    exitStatus: 15,
    says: /127\.0\.0\.1:\d+/,
    arrange: faults('reset'),
  },
  {
    name: 'a chunked body that is broken off',
    code: 'ORIGIN_TRUNCATED',
    exitStatus: 15,
    says: /127\.0\.0\.1:\d+/,
    arrange: faults('truncate', { framing: 'chunked' }),
  },
  {
    name: 'a long chunked body that is broken off, without a validator',
    code: 'ORIGIN_TRUNCATED',
    exitStatus: 15,
    says: /127\.0\.0\.1:\d+/,
    arrange: behaves({
      ...NAMELESS,
      framing: 'chunked',
      lengthBytes: 9 * MIB,
      bodyFault: { kind: 'truncate', afterBytes: 5 * MIB },
    }),
  },
  {
    name: 'a circle of redirects',
    code: 'ORIGIN_REFUSED',
    exitStatus: 12,
    says: /circle/,
    arrange(origin, at) {
      const file = origin.serve(at, { lengthBytes: LENGTH_BYTES, redirect: { to: `${at}-2` } })
      origin.serve(`${at}-2`, { redirect: { to: at } })
      return { url: file.url, file, heal: () => file.set({ redirect: null }) }
    },
  },
  {
    name: 'a redirect to another host that asks for the credentials',
    code: 'ORIGIN_UNAUTHORIZED',
    exitStatus: 11,
    says: /127\.0\.0\.2:\d+ answered 401/,
    headers: [['Authorization', 'Bearer SESAME']],
    arrange(origin, at) {
      const file = elsewhere.serve(at, { lengthBytes: LENGTH_BYTES, authorization: 'Bearer SESAME' })
      const start = origin.serve(at, { redirect: { to: file.url } })
      return { url: start.url, file, heal: () => file.set({ authorization: null }) }
    },
  },
  {
    name: 'content that changes mid-way, with an ETag',
    code: 'ORIGIN_CHANGED',
    exitStatus: 16,
    says: /changed/,
    arrange: changes({}),
  },
  {
    name: 'content that changes mid-way, with Last-Modified only',
    code: 'ORIGIN_CHANGED',
    exitStatus: 16,
    says: /changed/,
    arrange: changes({ etag: null }),
  },
  {
    name: 'content that changes mid-way, at an origin that does not know If-Range',
    code: 'ORIGIN_CHANGED',
    exitStatus: 16,
    says: /changed/,
    arrange: changes({ ranges: 'deaf' }),
  },
  {
    name: 'content that changes mid-way, without a validator',
    code: 'ORIGIN_CHANGED',
    exitStatus: 16,
    says: /other bytes|changed/,
    arrange: changes(NAMELESS),
  },
  {
    name: 'content that gets shorter mid-way, without a validator',
    code: 'ORIGIN_CHANGED',
    exitStatus: 16,
    says: /changed/,
    arrange: changes(NAMELESS, { lengthBytes: 2 * MIB }),
  },
  {
    name: 'content that is not what the digest says',
    code: 'DIGEST_MISMATCH',
    exitStatus: 20,
    says: /sha256:[0-9a-f]{64}, expected was sha256:0{63}1/,
    digest: `sha256:${'0'.repeat(63)}1`,
    arrange: behaves({}),
  },
  {
    name: 'a body that ends early where only a digest can tell',
    code: 'DIGEST_MISMATCH',
    exitStatus: 20,
    says: /expected was/,
    digest: `sha256:${'0'.repeat(63)}2`,
    arrange: faults('truncate', { framing: 'close' }),
  },
  {
    name: "the caller's Range at an origin without ranges",
    code: 'ORIGIN_REFUSED',
    exitStatus: 12,
    says: /does not serve ranges/,
    headers: [['Range', 'bytes=5-99']],
    arrange: behaves({ ranges: 'ignored' }),
  },
  {
    name: "the caller's Range that is open",
    code: 'USAGE',
    exitStatus: 1,
    says: /Range header must be one range/,
    headers: [['Range', 'bytes=5-']],
    arrange: behaves({}),
  },
]
