import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryContent, patternBytes } from '../../test/support/memory-content.ts'
import {
  assertPiece,
  CONTENT,
  honest,
  PIECE,
  type PieceScene,
  startPieceScene,
  TASK,
  until,
} from '../../test/support/piece-scene.ts'
import { rangeHead, type ScriptedRequest } from '../../test/support/scripted-source.ts'
import { systemClock } from '../ops/system-clock.ts'
import { BufferPool } from './buffer-pool.ts'
import { startPieceServer } from './piece-server.ts'
import { RateLimiter } from './rate-limiter.ts'

const MIB = 1024 * 1024

async function failsWith(scene: PieceScene, code: string): Promise<void> {
  await assert.rejects(scene.fetch(0), { code })
  assert.equal(scene.buffers.lentCount, 0)
}

test('a piece arrives with its digest; its progress is told', async () => {
  const { fetch } = await startPieceScene(honest)
  let told = 0
  assertPiece(await fetch(3, { onBytes: bytes => (told += bytes) }), 3)
  assert.equal(told, PIECE)
})

test('the request is this', async () => {
  const { fetch, source } = await startPieceScene(honest)
  await fetch(1)
  assert.equal(
    source.requests[0].text,
    `GET /tasks/${TASK} HTTP/1.1\r\nHost: 127.0.0.1:${source.port}\r\nAuthorization: Bearer token\r\nRange: bytes=10000-19999`,
  )
})

test('liars are found out, and cost no buffer', async () => {
  const whole = `Content-Length: ${CONTENT.length}\r\n\r\n`
  const lies: Record<string, string> = {
    'another status': `HTTP/1.1 200 OK\r\n${whole}`,
    'a redirect': 'HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n',
    'another range': rangeHead(1, PIECE, CONTENT.length),
    'a longer range': rangeHead(0, PIECE, CONTENT.length),
    'a shorter range': rangeHead(0, PIECE - 2, CONTENT.length),
    'no range': `HTTP/1.1 206 Partial Content\r\nContent-Length: ${PIECE}\r\n\r\n`,
    'another length': `HTTP/1.1 206 P\r\nContent-Range: bytes 0-${PIECE - 1}/*\r\nContent-Length: ${PIECE + 1}\r\n\r\n`,
    'no length': `HTTP/1.1 206 P\r\nContent-Range: bytes 0-${PIECE - 1}/*\r\n\r\n`,
    chunks: `HTTP/1.1 206 P\r\nContent-Range: bytes 0-${PIECE - 1}/*\r\nTransfer-Encoding: chunked\r\n\r\n`,
    garbage: '\x00\x01\x02\r\n\r\n',
  }
  for (const [name, lie] of Object.entries(lies)) {
    const setup = await startPieceScene(({ socket }) => socket.write(lie))
    await assert.rejects(setup.fetch(0), { code: 'PROTOCOL_INVALID' }, name)
    assert.equal(setup.buffers.totalBytes, 0, name)
  }
})

test('refusals have their codes, and the connection goes on', async () => {
  const refusals = {
    403: 'TOKEN_INVALID',
    404: 'PIECE_NOT_HELD',
    503: 'SOURCE_BUSY',
    500: 'SOURCE_GONE',
    416: 'PROTOCOL_INVALID',
  }
  const statuses = Object.keys(refusals)
  const { fetch, source } = await startPieceScene(request => {
    const status = statuses[request.index]
    if (status) request.socket.write(`HTTP/1.1 ${status} No\r\nContent-Length: 2\r\n\r\n{}`)
    else honest(request)
  })
  const refused = Object.values(refusals).map(code => assert.rejects(fetch(0), { code }))
  assertPiece(await fetch(7), 7)
  await Promise.all(refused)
  assert.equal(source.sockets.length, 1)
})

test('a short body is a source that is gone', async () => {
  const setup = await startPieceScene(({ socket }) =>
    socket.end(`${rangeHead(0, PIECE - 1, CONTENT.length)}short`),
  )
  await failsWith(setup, 'SOURCE_GONE')
})

test('silence is a slow source, before the answer and within it', async () => {
  for (const answer of ['', `${rangeHead(0, PIECE - 1, CONTENT.length)}half`]) {
    const setup = await startPieceScene(({ socket }) => socket.write(answer), {
      timeouts: { connectMs: 5000, headMs: 50, idleMs: 50 },
    })
    await failsWith(setup, 'SOURCE_SLOW')
  }
})

test('a signal that is aborted already sends nothing', async () => {
  const { fetch, source } = await startPieceScene(honest)
  await assert.rejects(fetch(0, { signal: AbortSignal.abort() }), { code: 'CANCELLED' })
  assert.equal(source.sockets.length, 0)
})

test('an abort while waiting for a buffer frees the place in line', async t => {
  const { fetch } = await startPieceScene(honest)
  const buffers = new BufferPool(16 * 1024)
  const only = await buffers.acquire(PIECE)
  const { mock } = t.mock.method(buffers, 'acquire')
  const abort = new AbortController()
  const waiting = fetch(0, { signal: abort.signal, buffers })
  await until(() => mock.callCount() === 1)
  abort.abort()
  await assert.rejects(waiting, { code: 'CANCELLED' })
  buffers.release(only)
  assertPiece(await fetch(1, { buffers }), 1)
})

test('requests that wait hold no buffers', async () => {
  const held: ScriptedRequest[] = []
  const { fetch, buffers } = await startPieceScene(request => held.push(request))
  const pieces = [0, 1, 2, 3].map(index => fetch(index))
  await until(() => held.length === 2)
  assert.equal(buffers.totalBytes, 0)
  honest(held[0])
  await pieces[0]
  assert.equal(buffers.lentCount, 1)
  honest(held[1])
  await until(() => held.length === 4)
  honest(held[2])
  honest(held[3])
  await Promise.all(pieces)
})

test('buffers are used again', async () => {
  const { fetch, buffers } = await startPieceScene(honest)
  const used = new Set<Uint8Array>()
  for (let index = 0; index < 10; index++) {
    const { buffer } = await fetch(index)
    used.add(buffer)
    buffers.release(buffer)
  }
  assert.equal(used.size, 1)
})

test('the download limit holds', async () => {
  const { client, request } = await startPieceScene(honest)
  const startMs = performance.now()
  // An idle limiter saves up.
  const limiter = new RateLimiter(10 * PIECE, systemClock)
  await Promise.all([0, 1, 2].map(index => client.fetch(request(index, { limiter }))))
  const elapsedMs = performance.now() - startMs
  assert.ok(elapsedMs > 295, `3 pieces at 10 per second in ${elapsedMs} ms`)
})

test('held answers are parsed strictly', async () => {
  const good = '{"generation":"0123456789abcdef","lengthBytes":10,"pieceLength":5,"held":"Ag=="}'
  const answers = [good, '{}', 'no json', '']
  const { client, request } = await startPieceScene(({ socket, index, text }) => {
    assert.match(text, new RegExp(`^GET /tasks/${TASK}/pieces HTTP/1.1\r\n`))
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${answers[index].length}\r\n\r\n${answers[index]}`)
  })
  assert.deepEqual([...(await client.fetchHeld(request(0))).held.members()], [1])
  for (let index = 1; index < answers.length; index++) {
    await assert.rejects(client.fetchHeld(request(0)), { code: 'PROTOCOL_INVALID' })
  }
  const endless = await startPieceScene(({ socket }) =>
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n'),
  )
  await assert.rejects(endless.client.fetchHeld(endless.request(0)), { code: 'PROTOCOL_INVALID' })
})

test('client and server understand each other', async t => {
  const bytes = patternBytes(5 * MIB + 77)
  const content = MemoryContent.full(bytes, MIB)
  content.held.delete(3)
  const server = await startPieceServer({
    host: '127.0.0.1',
    port: 0,
    catalog: { find: taskId => (taskId === TASK ? { content, token: 'token' } : null) },
    clock: systemClock,
    limiter: null,
    maxUploads: 8,
    idleMs: 5000,
  })
  t.after(() => server.close())
  const { client, request, buffers } = await startPieceScene(honest, { connectionsPerSource: 2 })
  const { port } = server
  const { held } = await client.fetchHeld(request(0, { port }))
  assert.deepEqual([...held.members()], [0, 1, 2, 4, 5])
  await Promise.all(
    [...held.members(), ...held.members()].map(async index => {
      const range = { start: index * MIB, end: Math.min(bytes.length, (index + 1) * MIB) }
      const piece = await client.fetch(request(0, { port, range }))
      assert.ok(Buffer.from(piece.bytes).equals(bytes.subarray(range.start, range.end)))
      buffers.release(piece.buffer)
    }),
  )
  const missing = { port, range: { start: 3 * MIB, end: 4 * MIB } }
  await assert.rejects(client.fetch(request(0, missing)), { code: 'PIECE_NOT_HELD' })
  await assert.rejects(client.fetch(request(0, { port, token: 'other' })), { code: 'TOKEN_INVALID' })
  assert.deepEqual([server.activeUploads(), content.leases, buffers.lentCount], [0, 0, 0])
})
