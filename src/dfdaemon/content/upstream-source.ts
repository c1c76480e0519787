import { createHash, type Hash } from 'node:crypto'
import { parseContentRange } from '../../core/byte-range.ts'
import { type Clock, sleep } from '../../core/clock.ts'
import type { Digest } from '../../core/digest.ts'
import { DragonflyError, toDragonflyError } from '../../core/error.ts'
import { jitter, type Random } from '../../core/random.ts'
import { statusFailure } from '../../origin/http-failure.ts'
import { fieldValue } from '../upstream/fields.ts'
import { discard, sendFollowing } from '../upstream/follow.ts'
import type { Upstream, UpstreamAnswer } from '../upstream/upstream.ts'
import { upstreamFailure } from '../upstream/upstream-failure.ts'
import type { AccessQuestion, ContentHead } from './access.ts'
import { isStrong } from './content-range.ts'
import type { Delivery } from './delivery.ts'
import { HELD_BYTES } from './swarm-source.ts'

const FURTHER_TRIES = 3
const RETRY_MS = 250

export type UpstreamContent = {
  readonly upstream: Upstream
  readonly question: AccessQuestion
  readonly head: ContentHead
  readonly digest: Digest | null
  readonly clock: Clock
  readonly random: Random
  readonly signal: AbortSignal
}

/**
 * Delivers the rest from the upstream, with the caller's own credentials.
 * @throws DragonflyError why not, when the further tries are used up; the signal's reason
 */
export function goOnFromUpstream(delivery: Delivery, content: UpstreamContent): Promise<void> {
  return withFurtherTries(content, () => readOn(delivery, content))
}

/**
 * What was delivered may be wrong: reads the whole from the upstream, compares as it goes by, and delivers the rest. The last of it waits
 * until the digest is right.
 * @throws DragonflyError DIGEST_MISMATCH where the client has got something else than the upstream has, or that has another digest
 */
export function repairFromUpstream(delivery: Delivery, content: UpstreamContent): Promise<void> {
  return withFurtherTries(content, () => readWhole(delivery, content))
}

async function withFurtherTries({ clock, random, signal }: UpstreamContent, act: () => Promise<void>) {
  for (let failed = 0; ; failed++) {
    try {
      return await act()
    } catch (thrown) {
      signal.throwIfAborted()
      const { code, isRetryable } = toDragonflyError(thrown)
      // Another version does not become the one again that the head describes.
      if (failed === FURTHER_TRIES || !isRetryable || code === 'ORIGIN_CHANGED') throw thrown
    }
    await sleep(clock, jitter(random, RETRY_MS * 2 ** failed), signal)
  }
}

async function readOn(delivery: Delivery, content: UpstreamContent): Promise<void> {
  const { position, end } = delivery
  const isPart = position > 0 || end < content.head.lengthBytes
  const answer = await ask(content, isPart ? { start: position, end } : null)
  let skipBytes = answer.status === 206 ? 0 : position
  for await (const bytes of bodyOf(answer, content)) {
    const skipped = Math.min(skipBytes, bytes.length)
    skipBytes -= skipped
    const rest = bytes.subarray(skipped, skipped + end - delivery.position)
    if (rest.length > 0) await delivery.give(rest)
    if (delivery.isComplete) return
  }
  throw truncated(content)
}

async function readWhole(delivery: Delivery, content: UpstreamContent): Promise<void> {
  const { digest, head } = content
  const answer = await ask(content, null)
  const hash = digest === null ? null : createHash('sha256')
  const { written } = delivery
  const heldFrom = hash === null ? delivery.end : Math.max(delivery.position, head.lengthBytes - HELD_BYTES)
  const held: Uint8Array[] = []
  const tag = written.tag.another()
  let position = 0
  for await (const bytes of bodyOf(answer, content)) {
    hash?.update(bytes)
    const cut = (start: number, end: number) =>
      bytes.subarray(Math.max(0, start - position), Math.max(0, end - position))
    const nextPosition = position + bytes.length
    if (position < written.end) {
      tag.add(cut(written.start, written.end))
      if (nextPosition >= written.end && !tag.equals(written.tag)) throw differs(content)
    }
    const free = cut(delivery.position, Math.min(heldFrom, delivery.end))
    if (free.length > 0) await delivery.give(free)
    if (heldFrom < delivery.end) held.push(cut(heldFrom, delivery.end))
    position = nextPosition
  }
  if (position < head.lengthBytes) throw truncated(content)
  assertDigest(hash, content)
  for (const bytes of held) if (bytes.length > 0) await delivery.give(bytes)
}

function assertDigest(hash: Hash | null, content: UpstreamContent): void {
  if (hash === null || `sha256:${hash.digest('hex')}` === content.digest) return
  throw new DragonflyError(
    'DIGEST_MISMATCH',
    `${content.question.url.host} has content of another digest, too`,
  )
}

function differs({ question }: UpstreamContent): DragonflyError {
  return new DragonflyError('DIGEST_MISMATCH', `${question.url.host} has other bytes than were sent already`)
}

function truncated({ question }: UpstreamContent): DragonflyError {
  return new DragonflyError('ORIGIN_TRUNCATED', `${question.url.host} closed before the announced length`)
}

type Part = { readonly start: number; readonly end: number }

/** @throws DragonflyError where it is not an answer with this part, or with the whole of the same content */
async function ask(content: UpstreamContent, part: Part | null): Promise<UpstreamAnswer> {
  const { upstream, question, head, signal } = content
  const { url, trust } = question
  const range = part === null ? [] : [['Range', `bytes=${part.start}-${part.end - 1}`] as const]
  const validator = isStrong(head.etag) ? head.etag : head.lastModified
  const ifRange = part === null || validator === null ? [] : [['If-Range', validator] as const]
  const fields = [...question.fields, ...range, ...ifRange]
  const { answer } = await sendFollowing(upstream, { method: 'GET', url, trust, fields, signal })
  try {
    assertUsable(answer, content, part)
    return answer
  } catch (thrown) {
    discard(answer)
    throw thrown
  }
}

function assertUsable(
  answer: UpstreamAnswer,
  { question, head, digest }: UpstreamContent,
  part: Part | null,
) {
  const { host } = question.url
  const { status, fields } = answer
  if (status !== 200 && (status !== 206 || part === null)) {
    const headers = new Map(fields.map(([name, value]) => [name.toLowerCase(), value]))
    throw statusFailure({ status, headers, isKeepAlive: false }, host, part !== null && part.start > 0)
  }
  if (status === 206 && part !== null) {
    const given = parseContentRange(fieldValue(fields, 'content-range') ?? '')
    const isAsked = given?.start === part.start && given.end === part.end
    if (isAsked && (given.completeLength ?? head.lengthBytes) === head.lengthBytes) return
    throw new DragonflyError(
      'ORIGIN_PROTOCOL',
      `${host} answered 206 with another range than the one asked for`,
    )
  }
  const etag = fieldValue(fields, 'etag')
  const length = fieldValue(fields, 'content-length')
  const isOther =
    (length !== null && Number(length) !== head.lengthBytes) ||
    (digest === null && etag !== null && head.etag !== null && etag !== head.etag)
  if (isOther) throw new DragonflyError('ORIGIN_CHANGED', `${host} has another version of the content now`)
}

async function* bodyOf({ body }: UpstreamAnswer, content: UpstreamContent): AsyncIterable<Buffer> {
  const { question, signal } = content
  const bytes = body[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await bytes.next().catch(thrown => {
        throw upstreamFailure(thrown, question.url, { stage: 'body', signal })
      })
      if (next.done) return
      yield next.value
    }
  } finally {
    body.destroy()
  }
}
