import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { after, test } from 'node:test'
import { FakeClock } from '../../test/support/fake-clock.ts'
import { MemoryContent, patternBytes } from '../../test/support/memory-content.ts'
import {
  honestAnswer,
  rangeHead,
  type ScriptedRequest,
  startScriptedSource,
} from '../../test/support/scripted-source.ts'
import type { TaskId } from '../core/task-id.ts'
import { systemClock } from '../ops/system-clock.ts'
import { BufferPool } from './buffer-pool.ts'
import { type FetchedPiece, PieceClient, type PieceRequest } from './piece-client.ts'
import { startPieceServer } from './piece-server.ts'
import { RateLimiter } from './rate-limiter.ts'
import type { DispatcherOptions } from './source-dispatcher.ts'

const MIB = 1024 * 1024
const PIECE = 10_000
const TASK = 'ab'.repeat(32) as TaskId
const CONTENT = patternBytes(40 * PIECE)

type Setup = Awaited<ReturnType<typeof setUp>>

/** A source as the test says, and a client with one connection and a pipeline of two unless told otherwise. */
async function setUp(answer: (request: ScriptedRequest) => void, changes: Partial<DispatcherOptions> = {}) {
  const source = await startScriptedSource(answer)
  const client = new PieceClient({
    clock: systemClock,
    timeouts: { connectMs: 5000, headMs: 5000, idleMs: 5000 },
    connectionsPerSource: 1,
    pipelineDepth: 2,
    idleCloseMs: 60_000,
    maxConnections: 10,
    ...changes,
  })
  const buffers = new BufferPool(8 * MIB)
  after(async () => {
    client.close()
    await source.close()
  })
  const request = (index: number, more: Partial<PieceRequest> = {}): PieceRequest => ({
    host: '127.0.0.1',
    port: source.port,
    taskId: TASK,
    token: 'token',
    limiter: null,
    range: { start: index * PIECE, end: (index + 1) * PIECE },
    buffers,
    signal: new AbortController().signal,
    ...more,
  })
  return {
    source,
    client,
    buffers,
    request,
    fetch: (index: number, more?: Partial<PieceRequest>) => client.fetch(request(index, more)),
  }
}

const honest = (request: ScriptedRequest) => honestAnswer(request, CONTENT)

function assertPiece(piece: FetchedPiece, index: number): void {
  const expected = CONTENT.subarray(index * PIECE, (index + 1) * PIECE)
  assert.ok(Buffer.from(piece.bytes).equals(expected))
  assert.deepEqual(piece.digest, createHash('sha256').update(expected).digest())
  assert.equal(piece.bytes.buffer, piece.buffer.buffer)
  assert.ok(piece.elapsedMs >= 0)
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(resolve => setImmediate(resolve))
}

async function failsWith(setup: Setup, code: string): Promise<void> {
  await assert.rejects(setup.fetch(0), { code })
  assert.equal(setup.buffers.lentCount, 0)
}

test('a piece arrives with its digest; its progress is told', async () => {
  const { fetch } = await setUp(honest)
  let told = 0
  assertPiece(await fetch(3, { onBytes: bytes => (told += bytes) }), 3)
  assert.equal(told, PIECE)
})

test('the request is this', async () => {
  const { fetch, source } = await setUp(honest)
  await fetch(1)
  assert.equal(
    source.requests[0].text,
    `GET /tasks/${TASK} HTTP/1.1\r\nHost: 127.0.0.1:${source.port}\r\nAuthorization: Bearer token\r\nRange: bytes=10000-19999`,
  )
})

test('many pieces travel over one connection, in the order in which they were asked for', async () => {
  const { fetch, source, buffers } = await setUp(honest)
  const order: number[] = []
  await Promise.all(
    Array.from({ length: 40 }, async (_, index) => {
      const piece = await fetch(index)
      order.push(index)
      assertPiece(piece, index)
      buffers.release(piece.buffer)
    }),
  )
  assert.deepEqual(
    order,
    Array.from({ length: 40 }, (_, index) => index),
  )
  assert.equal(source.sockets.length, 1)
})

test('who asks one after the other needs one connection', async () => {
  const { fetch, source } = await setUp(honest, { connectionsPerSource: 4 })
  for (let index = 0; index < 10; index++) await fetch(index)
  assert.equal(source.sockets.length, 1)
})

test('as many requests as the pipeline is deep are on the wire', async () => {
  const held: ScriptedRequest[] = []
  const { fetch, source } = await setUp(request => held.push(request), { pipelineDepth: 3 })
  const pieces = [0, 1, 2, 3, 4].map(index => fetch(index))
  await until(() => held.length === 3)
  honest(held[0])
  await pieces[0]
  await until(() => held.length === 4)
  for (const request of held.splice(1)) honest(request)
  await until(() => held.length === 2)
  honest(held[1])
  await Promise.all(pieces)
  assert.equal(source.sockets.length, 1)
})

test('an idle connection is preferred, then a new one, then the shortest queue', async () => {
  const held: ScriptedRequest[] = []
  const { fetch, client } = await setUp(request => held.push(request), { connectionsPerSource: 2 })
  const first = fetch(0)
  await until(() => held.length === 1)
  honest(held[0])
  await first
  const pieces = [fetch(1)]
  await until(() => held.length === 2)
  assert.equal(held[1].connectionIndex, 0)
  pieces.push(fetch(2))
  await until(() => held.length === 3)
  assert.equal(held[2].connectionIndex, 1)
  pieces.push(fetch(3), fetch(4))
  await until(() => held.length === 5)
  assert.deepEqual(
    held
      .slice(3)
      .map(request => request.connectionIndex)
      .sort(),
    [0, 1],
  )
  for (const request of held.slice(1)) honest(request)
  await Promise.all(pieces)
  assert.equal(client.connectionCount, 2)
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
    const setup = await setUp(({ socket }) => socket.write(lie))
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
  const { fetch, source } = await setUp(request => {
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
  const setup = await setUp(({ socket }) => socket.end(`${rangeHead(0, PIECE - 1, CONTENT.length)}short`))
  await failsWith(setup, 'SOURCE_GONE')
})

test('bytes behind the body spoil the connection, not the next piece', async () => {
  const { fetch, source } = await setUp(request => {
    honest(request)
    request.socket.write('and more')
  })
  assertPiece(await fetch(0), 0)
  await new Promise(resolve => setImmediate(resolve))
  assertPiece(await fetch(1), 1)
  assert.equal(source.sockets.length, 2)
})

test('nobody listening is a source that is gone, for all who wait', async () => {
  const { fetch, source, client } = await setUp(honest)
  await source.close()
  source.close = async () => {}
  const codes = await Promise.all([0, 1, 2, 3, 4].map(index => fetch(index).catch(error => error.code)))
  assert.deepEqual(new Set(codes), new Set(['SOURCE_GONE']))
  assert.equal(client.connectionCount, 0)
})

test('silence is a slow source, before the answer and within it', async () => {
  for (const answer of ['', `${rangeHead(0, PIECE - 1, CONTENT.length)}half`]) {
    const setup = await setUp(({ socket }) => socket.write(answer), {
      timeouts: { connectMs: 5000, headMs: 50, idleMs: 50 },
    })
    await failsWith(setup, 'SOURCE_SLOW')
  }
})

test('when a connection breaks, the request in progress fails and those behind it move', async () => {
  const { fetch, source, buffers } = await setUp(
    request => {
      if (request.connectionIndex > 0) return honest(request)
      if (request.indexOnConnection === 1)
        source.sockets[0].end(`${rangeHead(0, PIECE - 1, CONTENT.length)}short`)
    },
    { pipelineDepth: 3 },
  )
  const [first, ...behind] = [0, 1, 2, 3].map(index => fetch(index))
  await assert.rejects(first, { code: 'SOURCE_GONE' })
  for (const [position, piece] of (await Promise.all(behind)).entries()) assertPiece(piece, position + 1)
  assert.equal(source.sockets.length, 2)
  assert.equal(buffers.lentCount, 3)
})

test('a request moves once; a source that breaks again has lost it', async () => {
  const { fetch, source } = await setUp(
    request => {
      if (request.indexOnConnection === 1) request.socket.destroy()
    },
    { pipelineDepth: 3 },
  )
  const codes = await Promise.all([0, 1, 2].map(index => fetch(index).catch(error => error.code)))
  assert.deepEqual(codes, ['SOURCE_GONE', 'SOURCE_GONE', 'SOURCE_GONE'])
  assert.equal(source.sockets.length, 2)
})

test('a source that breaks is given up where it cannot be reached again', async () => {
  const { fetch, source } = await setUp(() => {
    void source.close()
    source.close = async () => {}
  })
  const codes = await Promise.all([0, 1, 2].map(index => fetch(index).catch(error => error.code)))
  assert.deepEqual(codes, ['SOURCE_GONE', 'SOURCE_GONE', 'SOURCE_GONE'])
})

test('an idle connection that was closed meanwhile is replaced', async () => {
  const { fetch, source } = await setUp(honest)
  await fetch(0)
  source.sockets[0].destroy()
  await once(source.sockets[0], 'close')
  assertPiece(await fetch(1), 1)
  assert.equal(source.sockets.length, 2)
})

test('a reused connection that closes instead of answering is tried again, once', async () => {
  const { fetch, source } = await setUp(request => {
    if (request.index === 1) request.socket.destroy()
    else honest(request)
  })
  await fetch(0)
  assertPiece(await fetch(1), 1)
  assert.equal(source.sockets.length, 2)

  const hopeless = await setUp(request => (request.index === 0 ? honest(request) : request.socket.destroy()))
  await hopeless.fetch(0)
  await assert.rejects(hopeless.fetch(1), { code: 'SOURCE_GONE' })
  assert.equal(hopeless.source.requests.length, 3)
})

test('a source that closes after every answer still serves all', async () => {
  const { fetch, source, buffers } = await setUp(({ text, socket }) => {
    const [start, last] = /bytes=(\d+)-(\d+)/.exec(text)!.slice(1).map(Number)
    const head = rangeHead(start, last, CONTENT.length).replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')
    socket.write(head)
    socket.end(CONTENT.subarray(start, last + 1))
  })
  await Promise.all(
    Array.from({ length: 10 }, async (_, index) => {
      const piece = await fetch(index)
      assertPiece(piece, index)
      buffers.release(piece.buffer)
    }),
  )
  assert.ok(source.sockets.length >= 10)
})

test('aborting the request in progress breaks its connection, and the others move', async () => {
  const { fetch, source, buffers } = await setUp(request => {
    if (request.connectionIndex > 0) honest(request)
    else if (request.indexOnConnection === 0)
      request.socket.write(`${rangeHead(0, PIECE - 1, CONTENT.length)}half`)
  })
  const abort = new AbortController()
  const first = fetch(0, { signal: abort.signal, onBytes: () => abort.abort() })
  const behind = [fetch(1), fetch(2)]
  await assert.rejects(first, { code: 'CANCELLED' })
  for (const [position, piece] of (await Promise.all(behind)).entries()) assertPiece(piece, position + 1)
  assert.equal(source.sockets.length, 2)
  assert.equal(buffers.lentCount, 2)
})

test('aborting a request that waits behind another harms nobody', async () => {
  const held: ScriptedRequest[] = []
  const { fetch, source, buffers } = await setUp(request => held.push(request))
  const [onWire, waiting] = [new AbortController(), new AbortController()]
  const first = fetch(0)
  const cancelled = [fetch(1, { signal: onWire.signal }), fetch(2, { signal: waiting.signal })]
  const last = fetch(3)
  await until(() => held.length === 2)
  onWire.abort()
  waiting.abort()
  for (const piece of cancelled) await assert.rejects(piece, { code: 'CANCELLED' })
  honest(held[0])
  honest(held[1])
  assertPiece(await first, 0)
  await until(() => held.length === 3)
  honest(held[2])
  assertPiece(await last, 3)
  assert.deepEqual([source.sockets.length, source.requests.length, buffers.lentCount], [1, 3, 2])
})

test('a signal that is aborted already sends nothing', async () => {
  const { fetch, source } = await setUp(honest)
  await assert.rejects(fetch(0, { signal: AbortSignal.abort() }), { code: 'CANCELLED' })
  assert.equal(source.sockets.length, 0)
})

test('an abort while waiting for a buffer frees the place in line', async () => {
  const { fetch, source } = await setUp(honest)
  const buffers = new BufferPool(16 * 1024)
  const only = await buffers.acquire(PIECE)
  const abort = new AbortController()
  const waiting = fetch(0, { signal: abort.signal, buffers })
  await until(() => source.requests.length === 1)
  await new Promise(resolve => setTimeout(resolve, 20))
  abort.abort()
  await assert.rejects(waiting, { code: 'CANCELLED' })
  buffers.release(only)
  assertPiece(await fetch(1, { buffers }), 1)
})

test('requests that wait hold no buffers', async () => {
  const held: ScriptedRequest[] = []
  const { fetch, buffers } = await setUp(request => held.push(request))
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
  const { fetch, buffers } = await setUp(honest)
  const used = new Set<Uint8Array>()
  for (let index = 0; index < 10; index++) {
    const { buffer } = await fetch(index)
    used.add(buffer)
    buffers.release(buffer)
  }
  assert.equal(used.size, 1)
})

test('idle connections are closed after their time', async () => {
  const clock = new FakeClock()
  const { fetch, source, client } = await setUp(honest, { clock, idleCloseMs: 1000 })
  await fetch(0)
  clock.advance(999)
  assert.equal(client.connectionCount, 1)
  await fetch(1)
  clock.advance(999)
  assert.equal(client.connectionCount, 1)
  clock.advance(1)
  assert.equal(client.connectionCount, 0)
  await until(() => source.sockets[0].closed)
})

test('where all connections are in use, an idle one gives way, and a busy one after its answer', async () => {
  const held: ScriptedRequest[] = []
  const a = await setUp(request => held.push(request), { maxConnections: 1 })
  const b = await startScriptedSource(honest)
  after(() => b.close())
  const busy = [0, 1, 2, 3].map(index => a.fetch(index))
  await until(() => held.length === 2)
  const starved = a.fetch(5, { port: b.port })
  honest(held[0])
  honest(held[1])
  assertPiece(await starved, 5)
  await until(() => held.length === 4)
  assert.equal(a.client.connectionCount, 1)
  honest(held[2])
  honest(held[3])
  await Promise.all(busy)
  assertPiece(await a.fetch(6, { port: b.port }), 6)
  assert.equal(a.client.connectionCount, 1)
})

test('sources take turns where there are more of them than connections', async () => {
  const { client, request, buffers } = await setUp(honest, { maxConnections: 2 })
  const sources = await Promise.all(Array.from({ length: 5 }, () => startScriptedSource(honest)))
  after(() => Promise.all(sources.map(source => source.close())))
  await Promise.all(
    Array.from({ length: 40 }, async (_, index) => {
      const piece = await client.fetch(request(index, { port: sources[index % 5].port }))
      assertPiece(piece, index)
      buffers.release(piece.buffer)
    }),
  )
  assert.ok(client.connectionCount <= 2)
})

test('too many requests for one source are refused', async () => {
  const { fetch, client } = await setUp(() => {})
  const codes = Array.from({ length: 300 }, (_, index) => fetch(index % 40).catch(error => error.code))
  assert.equal(await codes[299], 'SOURCE_BUSY')
  client.close()
  assert.equal((await Promise.all(codes)).filter(code => code === 'CANCELLED').length, 256)
})

test('closing cancels what is in progress, and what comes later', async () => {
  const { fetch, client } = await setUp(() => {})
  const pieces = [0, 1, 2, 3].map(index => fetch(index).catch(error => error.code))
  await new Promise(resolve => setTimeout(resolve, 20))
  client.close()
  assert.deepEqual(await Promise.all(pieces), Array(4).fill('CANCELLED'))
  await assert.rejects(fetch(0), { code: 'CANCELLED' })
  assert.equal(client.connectionCount, 0)
})

test('the download limit holds', async () => {
  const { client, request } = await setUp(honest)
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
  const { client, request } = await setUp(({ socket, index, text }) => {
    assert.match(text, new RegExp(`^GET /tasks/${TASK}/pieces HTTP/1.1\r\n`))
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${answers[index].length}\r\n\r\n${answers[index]}`)
  })
  assert.deepEqual([...(await client.fetchHeld(request(0))).held.members()], [1])
  for (let index = 1; index < answers.length; index++) {
    await assert.rejects(client.fetchHeld(request(0)), { code: 'PROTOCOL_INVALID' })
  }
  const endless = await setUp(({ socket }) =>
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n'),
  )
  await assert.rejects(endless.client.fetchHeld(endless.request(0)), { code: 'PROTOCOL_INVALID' })
})

test('client and server understand each other', async () => {
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
  after(() => server.close())
  const { client, request, buffers } = await setUp(honest, { connectionsPerSource: 2 })
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
