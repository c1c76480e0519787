import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FakeClock } from '../../test/support/fake-clock.ts'
import type { Caller } from '../core/caller.ts'
import { DragonflyError } from '../core/error.ts'
import type { Generation, Validator } from '../core/generation.ts'
import type { Version } from '../core/version.ts'
import type { Origin, ProbeAnswer, ProbeRequest } from '../origin/origin.ts'
import { Access } from './access.ts'

const URL = 'https://origin.test/private'
const caller = (secret: string): Caller => ({ url: URL, headers: [['Authorization', secret]] })

function version(validator: Partial<Validator>, lengthBytes: number | null = 100): Version {
  return {
    generation: '0123456789abcdef' as Generation,
    validator: { etag: null, lastModified: null, ...validator },
    layout: { lengthBytes, pieceLength: 1024 },
  }
}

const NAMED = { fetchedFrom: URL, version: version({ etag: '"a"' }) }
const SAME: ProbeAnswer = { validator: { etag: '"a"', lastModified: null }, lengthBytes: 100 }

function access(answer: (request: ProbeRequest) => ProbeAnswer | Promise<ProbeAnswer>) {
  const clock = new FakeClock()
  const asked: ProbeRequest[] = []
  const origin: Origin = {
    open: () => assert.fail('access asks for no content'),
    probe: async request => {
      asked.push(request)
      return answer(request)
    },
  }
  return { clock, asked, access: new Access(origin, clock) }
}

const code = (expected: string) => (thrown: unknown) => (thrown as DragonflyError).code === expected

describe('access to what another caller fetched', () => {
  it('is asked for with the caller’s own credentials, and with nothing else', async () => {
    const { access: desk, asked } = access(() => SAME)
    await desk.check(caller('mine'), NAMED)
    assert.deepEqual(
      asked.map(({ url, headers }) => ({ url, headers })),
      [caller('mine')],
    )
  })

  it('is the origin’s to refuse', async () => {
    const { access: desk } = access(() => {
      throw new DragonflyError('ORIGIN_UNAUTHORIZED', 'no')
    })
    await assert.rejects(desk.check(caller('bad'), NAMED), code('ORIGIN_UNAUTHORIZED'))
  })

  it('needs the same URL, signature and secrets aside, before the origin is asked', async () => {
    const { access: desk, asked } = access(() => SAME)
    const signed = { url: `${URL}?X-Amz-Signature=mine&X-Amz-Date=1`, headers: [] }
    await desk.check(signed, NAMED)
    for (const url of ['https://origin.test/other', 'https://evil.test/private', `${URL}?v=2`]) {
      await assert.rejects(desk.check({ url, headers: [] }, NAMED), code('SUPERNODE_FAILED'), url)
    }
    assert.equal(asked.length, 1)
  })

  it('needs the same content: the strongest that both sides say decides', async () => {
    const answers: [Version, Partial<Validator>, number | null, boolean][] = [
      [version({ etag: '"a"' }), { etag: '"a"' }, null, true],
      [version({ etag: '"a"' }), { etag: '"b"' }, 100, false],
      [version({ etag: '"a"', lastModified: 'Mon' }), { lastModified: 'Mon' }, 100, false],
      [version({ lastModified: 'Mon' }), { lastModified: 'Mon' }, null, true],
      [version({ lastModified: 'Mon' }), { lastModified: 'Tue' }, 100, false],
      [version({ lastModified: 'Mon' }), {}, 100, false],
      [version({}), {}, 100, true],
      [version({}), {}, 99, false],
      [version({}, null), {}, null, false],
    ]
    for (const [content, validator, lengthBytes, isSame] of answers) {
      const { access: desk } = access(() => ({
        validator: { etag: null, lastModified: null, ...validator },
        lengthBytes,
      }))
      const checking = desk.check(caller('mine'), { fetchedFrom: URL, version: content })
      if (isSame) await checking
      else await assert.rejects(checking, code('SUPERNODE_FAILED'))
    }
  })

  it('is remembered for half a minute, for these very credentials, as long as it was a yes', async () => {
    let isOpen = false
    const {
      access: desk,
      asked,
      clock,
    } = access(() => {
      if (isOpen) return SAME
      throw new DragonflyError('ORIGIN_UNAUTHORIZED', 'no')
    })
    await assert.rejects(desk.check(caller('a'), NAMED))
    isOpen = true
    await desk.check(caller('a'), NAMED)
    assert.equal(asked.length, 2)
    clock.advance(29_999)
    await desk.check(caller('a'), NAMED)
    assert.equal(asked.length, 2)
    await desk.check(caller('b'), NAMED)
    assert.equal(asked.length, 3)
    clock.advance(2)
    isOpen = false
    await assert.rejects(desk.check(caller('a'), NAMED), code('ORIGIN_UNAUTHORIZED'))
    assert.equal(asked.length, 4)
  })

  it('is not remembered where the word of now is asked for', async () => {
    const { access: desk, asked } = access(() => SAME)
    await desk.ask(caller('a'), NAMED)
    await desk.ask(caller('a'), NAMED)
    assert.equal(asked.length, 2)
  })

  it('is one question for all who ask the same at the same time', async () => {
    const { promise, resolve } = Promise.withResolvers<ProbeAnswer>()
    const { access: desk, asked } = access(() => promise)
    const checks = ['a', 'a', 'a', 'b'].map(secret => desk.check(caller(secret), NAMED))
    resolve(SAME)
    await Promise.all(checks)
    assert.equal(asked.length, 2)
  })

  it('ends when the origin does not answer, and when the supernode stops', async () => {
    const silent = (request: ProbeRequest) =>
      new Promise<ProbeAnswer>((_, reject) => {
        request.signal.addEventListener('abort', () => reject(new DragonflyError('CANCELLED', 'cut')))
      })
    const slow = access(silent)
    const checking = assert.rejects(slow.access.check(caller('a'), NAMED), code('ORIGIN_STALLED'))
    slow.clock.advance(15_000)
    await checking
    assert.equal(slow.clock.timerCount, 0)
    const stopped = access(silent)
    const waiting = assert.rejects(stopped.access.check(caller('a'), NAMED), code('CANCELLED'))
    stopped.access.close()
    await waiting
    assert.equal(stopped.clock.timerCount, 0)
  })
})
