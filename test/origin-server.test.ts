import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'

let server: OriginServer
before(async () => {
  server = await startOriginServer()
})
after(() => server.close())

describe('the origin for tests', () => {
  for (const framing of ['length', 'chunked', 'close'] as const) {
    test(`speaks HTTP that another client understands (${framing})`, async () => {
      const file = server.serve('/file', {
        lengthBytes: 2_000_000,
        seed: 5,
        framing,
        trailers: { 'X-End': '1' },
      })
      const bytes = Buffer.from(await (await fetch(file.url)).arrayBuffer())
      assert.ok(bytes.equals(server.expectedBytes('/file')))
      const digest = createHash('sha256').update(bytes).digest('hex')
      assert.equal(await server.contentSha256('/file'), `sha256:${digest}`)
      assert.equal(file.bodyBytesSent, 2_000_000)
    })
  }

  test('answers ranges, HEAD and conditions', async () => {
    const file = server.serve('/file', { lengthBytes: 10_000 })
    const part = await fetch(file.url, { headers: { Range: 'bytes=100-199' } })
    assert.equal(part.status, 206)
    assert.equal(part.headers.get('content-range'), 'bytes 100-199/10000')
    assert.ok(Buffer.from(await part.arrayBuffer()).equals(server.expectedBytes('/file', 100, 200)))
    const head = await fetch(file.url, { method: 'HEAD' })
    assert.equal(head.headers.get('content-length'), '10000')
    const again = await fetch(file.url, { headers: { 'If-None-Match': head.headers.get('etag') ?? '' } })
    assert.equal(again.status, 304)
    assert.deepEqual(
      file.requests.map(request => request.method),
      ['GET', 'HEAD', 'GET'],
    )
  })

  test('has content in which no two pieces are the same', () => {
    server.serve('/file', { lengthBytes: 8 * 1024 ** 2 })
    const pieces = [0, 1, 2, 3, 4, 5, 6, 7].map(index =>
      createHash('sha256')
        .update(server.expectedBytes('/file', index * 1024 ** 2, (index + 1) * 1024 ** 2))
        .digest('hex'),
    )
    assert.equal(new Set(pieces).size, pieces.length)
  })

  test('counts who reads at the same time', async () => {
    const file = server.serve('/slow', { lengthBytes: 1000, bodyFault: { kind: 'stall', afterBytes: 10 } })
    const abort = new AbortController()
    const reading = [1, 2, 3].map(() =>
      fetch(file.url, { signal: abort.signal }).then(answer => answer.text()),
    )
    await server.when(({ readers }) => readers === 3)
    abort.abort()
    await Promise.allSettled(reading)
    await server.when(({ readers }) => readers === 0)
    assert.ok(server.readersMax >= 3)
  })

  test('serves the new version from the next request on', async () => {
    const file = server.serve('/file', { lengthBytes: 100 })
    const before = await fetch(file.url)
    file.set({ seed: 9, lengthBytes: 120 })
    const now = await fetch(file.url)
    assert.notEqual(before.headers.get('etag'), now.headers.get('etag'))
    assert.equal((await before.arrayBuffer()).byteLength, 100)
    assert.equal((await now.arrayBuffer()).byteLength, 120)
  })
})
