import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { after, before, describe, test } from 'node:test'
import type { Behaviour } from '../../test/support/origin-behaviour.ts'
import { createTestOrigins, failsWith, readAll, requestFor } from '../../test/support/origin-client.ts'
import { type OriginServer, startOriginServer } from '../../test/support/origin-server.ts'
import type { Clock } from '../core/clock.ts'
import type { ErrorCode } from '../core/error.ts'

const LENGTH = 1024 ** 2

let server: OriginServer
before(async () => {
  server = await startOriginServer()
})
after(() => server.close())

const nothingLeft = () => server.when(({ connections, readers }) => connections === 0 && readers === 0)

describe('a body that goes wrong', () => {
  const cases: [title: string, behaviour: Partial<Behaviour>, code: ErrorCode][] = [
    ['stalls', { bodyFault: { kind: 'stall', afterBytes: 5000 } }, 'ORIGIN_STALLED'],
    ['ends early', { bodyFault: { kind: 'truncate', afterBytes: 5000 } }, 'ORIGIN_TRUNCATED'],
    [
      'ends early in a chunk',
      { framing: 'chunked', bodyFault: { kind: 'truncate', afterBytes: 5000 } },
      'ORIGIN_TRUNCATED',
    ],
    ['is reset', { bodyFault: { kind: 'reset', afterBytes: 5000 } }, 'ORIGIN_TRUNCATED'],
    [
      'is reset, without a length',
      { framing: 'close', bodyFault: { kind: 'reset', afterBytes: 5000 } },
      'ORIGIN_TRUNCATED',
    ],
    ['has a chunk size that is none', { framing: 'chunked', chunkExtension: 'zz' }, 'ORIGIN_PROTOCOL'],
  ]
  for (const [title, behaviour, code] of cases) {
    test(`${title}: ${code}, and stays so`, async () => {
      server.serve('/bad', { lengthBytes: LENGTH, ...behaviour })
      const timeouts = code === 'ORIGIN_STALLED' ? { idleMs: 150 } : {}
      const answer = await createTestOrigins({ timeouts }).open(requestFor(`${server.url}/bad`))
      await failsWith(code, readAll(answer.body))
      await failsWith(code, answer.body.read(new Uint8Array(9)))
      await nothingLeft()
    })
  }

  test('that has less than its range said is truncated, whatever its framing', async () => {
    server.serve('/bad', {
      lengthBytes: LENGTH,
      framing: 'close',
      bodyFault: { kind: 'truncate', afterBytes: 5000 },
    })
    const answer = await createTestOrigins().open(requestFor(`${server.url}/bad`, { endByte: 9000 }))
    await failsWith('ORIGIN_TRUNCATED', readAll(answer.body))
  })

  for (const framing of ['close', 'chunked'] as const) {
    test(`that has more than its range said is no content (${framing})`, async () => {
      server.serve('/bad', { lengthBytes: LENGTH, framing, ranges: 'surplus' })
      const answer = await createTestOrigins().open(requestFor(`${server.url}/bad`, { endByte: 9000 }))
      await failsWith('ORIGIN_PROTOCOL', readAll(answer.body))
      await nothingLeft()
    })
  }

  test('is whole at the next request, once the fault has passed', async () => {
    server.serve('/once', {
      lengthBytes: LENGTH,
      bodyFault: { kind: 'truncate', afterBytes: 5000, times: 1 },
    })
    const origins = createTestOrigins()
    const first = await origins.open(requestFor(`${server.url}/once`))
    await failsWith('ORIGIN_TRUNCATED', readAll(first.body))
    const parts = { startByte: 5000, validator: first.validator }
    const second = await origins.open(requestFor(`${server.url}/once`, parts))
    assert.ok((await readAll(second.body)).equals(server.expectedBytes('/once', 5000)))
  })

  test('is of another version once the content changed on the way', async () => {
    server.serve('/changing', { lengthBytes: LENGTH, change: { afterBytes: 1000, patch: { seed: 2 } } })
    const origins = createTestOrigins()
    const before = server.expectedBytes('/changing')
    const first = await origins.open(requestFor(`${server.url}/changing`))
    assert.ok((await readAll(first.body)).equals(before))
    const parts = { startByte: 5000, validator: first.validator }
    const second = await origins.open(requestFor(`${server.url}/changing`, parts))
    assert.equal(second.startByte, 0)
    assert.notDeepEqual(second.validator, first.validator)
    assert.ok((await readAll(second.body)).equals(server.expectedBytes('/changing')))
  })
})

describe('an answer that does not come', () => {
  const cases: [fault: Behaviour['headFault'], code: ErrorCode][] = [
    ['silent', 'ORIGIN_STALLED'],
    ['slow', 'ORIGIN_STALLED'],
    ['close', 'ORIGIN_UNREACHABLE'],
    ['garbage', 'ORIGIN_PROTOCOL'],
  ]
  for (const [headFault, code] of cases) {
    test(`${headFault} is ${code}`, async () => {
      server.serve('/head', { lengthBytes: LENGTH, headFault })
      const origins = createTestOrigins({ timeouts: code === 'ORIGIN_STALLED' ? { headMs: 150 } : {} })
      await failsWith(code, origins.open(requestFor(`${server.url}/head`)))
      await nothingLeft()
    })
  }

  test('a port that nobody listens on is unreachable', async () => {
    const failure = await failsWith(
      'ORIGIN_UNREACHABLE',
      createTestOrigins().open(requestFor('http://127.0.0.1:1/')),
    )
    assert.match(failure.message, /127\.0\.0\.1:1: /)
  })

  test('a host without an address is unreachable', async () => {
    const request = requestFor('http://user:secret@nowhere.invalid/a?token=secret')
    const failure = await failsWith('ORIGIN_UNREACHABLE', createTestOrigins().open(request))
    assert.match(failure.message, /nowhere\.invalid/)
    assert.doesNotMatch(failure.message, /secret/)
  })

  test('the time is that of the clock', async () => {
    server.serve('/head', { lengthBytes: LENGTH, headFault: 'silent' })
    const clock = new StandingClock()
    const origins = createTestOrigins({ clock, timeouts: { headMs: 3_600_000 } })
    const opening = origins.open(requestFor(`${server.url}/head`))
    await server.when(({ readers }) => readers === 1)
    clock.advance(3_599_999)
    clock.advance(1)
    await failsWith('ORIGIN_STALLED', opening)
    assert.equal(clock.waiting, 0)
  })
})

describe('cancelling', () => {
  test('before the start sends nothing', async () => {
    const file = server.serve('/cancel', { lengthBytes: LENGTH })
    const signal = AbortSignal.abort()
    await failsWith('CANCELLED', createTestOrigins().open(requestFor(file.url, { signal })))
    assert.equal(file.requests.length, 0)
  })

  test('while connecting with TLS frees the connection', async () => {
    // Accepts and says nothing, so that the handshake never ends.
    const accepted = Promise.withResolvers<void>()
    const closed = Promise.withResolvers<void>()
    const mute = createServer(socket => {
      accepted.resolve()
      socket.on('error', () => {})
      socket.on('close', () => closed.resolve())
      socket.resume()
    })
    await new Promise<void>(resolve => mute.listen(0, '127.0.0.1', resolve))
    const { port } = mute.address() as { port: number }
    const abort = new AbortController()
    const opening = createTestOrigins().open(
      requestFor(`https://127.0.0.1:${port}/`, { signal: abort.signal }),
    )
    await accepted.promise
    abort.abort()
    await failsWith('CANCELLED', opening)
    await closed.promise
    mute.close()
  })

  test('while waiting for the head frees the connection', async () => {
    server.serve('/cancel', { lengthBytes: LENGTH, headFault: 'silent' })
    const abort = new AbortController()
    const opening = createTestOrigins().open(requestFor(`${server.url}/cancel`, { signal: abort.signal }))
    await server.when(({ readers }) => readers === 1)
    abort.abort()
    await failsWith('CANCELLED', opening)
    await nothingLeft()
  })

  for (const framing of ['length', 'chunked', 'close'] as const) {
    test(`while waiting for the body is never its end (${framing})`, async () => {
      server.serve('/cancel', {
        lengthBytes: LENGTH,
        framing,
        bodyFault: { kind: 'stall', afterBytes: 1000 },
      })
      const abort = new AbortController()
      const answer = await createTestOrigins().open(
        requestFor(`${server.url}/cancel`, { signal: abort.signal }),
      )
      const reading = readAll(answer.body)
      await server.when(({ bodyBytesSent, readers }) => readers === 1 && bodyBytesSent > 0)
      setImmediate(() => abort.abort())
      await failsWith('CANCELLED', reading)
      await failsWith('CANCELLED', answer.body.read(new Uint8Array(9)))
      await nothingLeft()
    })

    test(`by closing the body rejects the pending read (${framing})`, async () => {
      server.serve('/cancel', { lengthBytes: LENGTH, framing, bodyFault: { kind: 'stall', afterBytes: 0 } })
      const answer = await createTestOrigins().open(requestFor(`${server.url}/cancel`))
      const reading = answer.body.read(new Uint8Array(9))
      setImmediate(() => {
        answer.body.close()
        answer.body.close()
      })
      await failsWith('CANCELLED', reading)
      await nothingLeft()
    })
  }

  test('between answer and first read frees the connection', async () => {
    server.serve('/cancel', { lengthBytes: 100 * LENGTH })
    const abort = new AbortController()
    const answer = await createTestOrigins().open(
      requestFor(`${server.url}/cancel`, { signal: abort.signal }),
    )
    abort.abort()
    await nothingLeft()
    await failsWith('CANCELLED', answer.body.read(new Uint8Array(9)))
  })

  test('after the end changes nothing, and no listener is left', async () => {
    server.serve('/cancel', { lengthBytes: 10 })
    const abort = new AbortController()
    let listeners = 0
    const { signal } = abort
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = (...parts: Parameters<typeof add>) => {
      listeners++
      add(...parts)
    }
    signal.removeEventListener = (...parts: Parameters<typeof remove>) => {
      listeners--
      remove(...parts)
    }
    const answer = await createTestOrigins().open(requestFor(`${server.url}/cancel`, { signal }))
    assert.equal((await readAll(answer.body)).length, 10)
    assert.equal(listeners, 0)
    abort.abort()
    assert.equal(await answer.body.read(new Uint8Array(9)), 0)
  })
})

/** Time that moves when the test says so. */
class StandingClock implements Clock {
  #nowMs = 0
  #actions = new Map<() => void, number>()

  get waiting(): number {
    return this.#actions.size
  }

  now(): number {
    return this.#nowMs
  }

  wallNow(): number {
    return this.#nowMs
  }

  schedule(delayMs: number, action: () => void): () => void {
    const entry = () => action()
    this.#actions.set(entry, this.#nowMs + delayMs)
    return () => this.#actions.delete(entry)
  }

  advance(byMs: number): void {
    this.#nowMs += byMs
    for (const [action, dueMs] of this.#actions) {
      if (dueMs > this.#nowMs) continue
      this.#actions.delete(action)
      action()
    }
  }
}
