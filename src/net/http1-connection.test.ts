import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { createSecureContext, createServer as createTlsServer } from 'node:tls'
import { FakeClock } from '../../test/support/fake-clock.ts'
import { patternBytes } from '../../test/support/memory-content.ts'
import { fc } from '../../test/support/properties.ts'
import { type ScriptedRequest, startScriptedSource } from '../../test/support/scripted-source.ts'
import { createSelfSigned } from '../../test/support/self-signed.ts'
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../ops/system-clock.ts'
import { Http1Connection } from './http1-connection.ts'

const TIMEOUTS = { connectMs: 5000, headMs: 5000, idleMs: 5000 }
const GET = 'GET / HTTP/1.1\r\nHost: h\r\n\r\n'

async function connectTo(
  answer: (request: ScriptedRequest) => void,
  options: { clock?: Clock; timeouts?: Partial<typeof TIMEOUTS> } = {},
) {
  const source = await startScriptedSource(answer)
  after(() => source.close())
  const target = { host: '127.0.0.1', port: source.port, tls: null }
  const timeouts = { ...TIMEOUTS, ...options.timeouts }
  const connection = await Http1Connection.connect(target, { clock: options.clock ?? systemClock, timeouts })
  after(() => connection.destroy())
  return { source, connection }
}

async function readAll(connection: Http1Connection, readBytes = 1000): Promise<Buffer> {
  const parts: Buffer[] = []
  for (;;) {
    const into = new Uint8Array(readBytes)
    const bytes = await connection.readBody(into)
    if (bytes === 0) return Buffer.concat(parts)
    parts.push(Buffer.from(into.subarray(0, bytes)))
  }
}

/** Writes `wire` in parts that arrive separately. */
async function writeParts(socket: Socket, wire: Uint8Array, cuts: number[]): Promise<void> {
  let position = 0
  for (const cut of [...cuts, wire.length]) {
    const part = wire.subarray(position, position + cut)
    position += part.length
    if (part.length > 0) await new Promise<void>(resolve => socket.write(part, () => setImmediate(resolve)))
  }
}

test('head and body are read however the bytes arrive', async () => {
  let current: { wire: Uint8Array; cuts: number[] } = { wire: Buffer.alloc(0), cuts: [] }
  const { connection } = await connectTo(({ socket }) => void writeParts(socket, current.wire, current.cuts))
  const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), cuts, fc.boolean(), async (body, cuts, isChunked) => {
      const framing = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
      const chunk =
        body.length > 0 ? [Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')] : []
      const payload = isChunked ? Buffer.concat([...chunk, Buffer.from('0\r\n\r\n')]) : body
      current = { wire: Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n`), payload]), cuts }
      connection.send(GET)
      assert.equal((await connection.readHead('GET')).status, 200)
      assert.ok((await readAll(connection, 7)).equals(body))
      assert.deepEqual(
        [connection.isBodyDone, connection.isReusable, connection.unreadBytes],
        [true, true, 0],
      )
    }),
    { numRuns: 60 },
  )
})

test('pipelined answers are read in order', async () => {
  const { connection } = await connectTo(({ socket, index }) =>
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${index}`),
  )
  for (let i = 0; i < 5; i++) connection.send(GET)
  for (let i = 0; i < 5; i++) {
    await connection.readHead('GET')
    assert.equal((await readAll(connection)).toString(), String(i))
  }
})

test('a large body passes through unchanged, and does not run ahead of its reader', async () => {
  const body = patternBytes(32 * 1024 * 1024)
  const { connection, source } = await connectTo(({ socket }) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`)
    socket.write(body)
  })
  connection.send(GET)
  await connection.readHead('GET')
  let received = connection.receivedBytes
  for (let turn = 0; turn < 200; turn++) await new Promise(resolve => setImmediate(resolve))
  received = connection.receivedBytes - received
  assert.ok(received <= 256 * 1024, `${received} bytes came without being asked for`)
  assert.ok(source.sockets[0].writableLength > 0)
  assert.ok((await readAll(connection, 300_000)).equals(body))
})

test('what is read straight into place is the body and nothing else, however it is framed, split and asked for', async () => {
  let current: { wire: Uint8Array; cuts: number[] } = { wire: Buffer.alloc(0), cuts: [] }
  const { connection } = await connectTo(({ socket }) => void writeParts(socket, current.wire, current.cuts))
  const bytes = fc.integer({ min: 1, max: 900_000 })
  const plan = {
    length: bytes,
    readBytes: bytes,
    cuts: fc.array(bytes, { maxLength: 4 }),
    isChunked: fc.boolean(),
  }
  await fc.assert(
    fc.asyncProperty(fc.record(plan), async ({ length, readBytes, cuts, isChunked }) => {
      const body = patternBytes(length)
      const chunked = [`${length.toString(16)}\r\n`, body, '\r\n0\r\n\r\n'].map(part => Buffer.from(part))
      const framing = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`
      const head = Buffer.from(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n`)
      const next = Buffer.from('HTTP/1.1 204 No Content\r\n\r\n')
      current = { wire: Buffer.concat([head, ...(isChunked ? chunked : [body]), next]), cuts }
      connection.send(GET)
      await connection.readHead('GET')
      const memory = Buffer.alloc(length + readBytes, 0xee)
      const seen: Buffer[] = []
      let offset = 0
      for (let count = -1; count !== 0; offset += count) {
        const into = memory.subarray(offset, offset + readBytes)
        count = await connection.readBody(into, part => seen.push(Buffer.from(part)))
      }
      assert.equal(offset, length)
      assert.ok(memory.subarray(0, length).equals(body))
      assert.ok(memory.subarray(length).every(byte => byte === 0xee))
      assert.ok(Buffer.concat(seen).equals(body))
      assert.equal((await connection.readHead('GET')).status, 204)
    }),
    { numRuns: 40 },
  )
})

test('a body that comes slowly goes on where it was, in place or elsewhere', async () => {
  const body = patternBytes(1_000_000)
  for (const isElsewhere of [false, true]) {
    const { connection, source } = await connectTo(({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`)
      socket.write(body.subarray(0, 200_000))
    })
    connection.send(GET)
    await connection.readHead('GET')
    const into = Buffer.alloc(body.length)
    for (let offset = 0; offset < 200_000; ) offset += await connection.readBody(into.subarray(offset))
    source.sockets[0].write(body.subarray(200_000))
    const rest = isElsewhere ? Buffer.alloc(800_000) : into.subarray(200_000)
    while (connection.unreadBytes === 0) await new Promise(resolve => setImmediate(resolve))
    for (let offset = 0; offset < rest.length; ) offset += await connection.readBody(rest.subarray(offset))
    assert.ok(rest.equals(body.subarray(200_000)))
  }
})

test('who failed to read gets no byte any more: the memory is free for others', async () => {
  const { connection, source } = await connectTo(
    ({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n')
      socket.write(Buffer.alloc(1000))
    },
    { timeouts: { idleMs: 200 } },
  )
  connection.send(GET)
  await connection.readHead('GET')
  const into = Buffer.alloc(1_000_000)
  assert.equal(await connection.readBody(into), 1000)
  await assert.rejects(connection.readBody(into.subarray(1000)), { failure: 'timeout' })
  assert.equal(connection.isReusable, false)
  await once(source.sockets[0], 'close')
})

test('a reader that pauses loses nothing with TLS, which goes on handing out what it has read', async () => {
  const body = patternBytes(4 * 1024 * 1024)
  const { key, cert } = createSelfSigned({ dns: 'localhost' })
  const server = createTlsServer({ key, cert }, socket => {
    socket.on('error', () => {})
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`)
    socket.write(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  after(() => server.close())
  const { port } = server.address() as AddressInfo
  const tls = { servername: 'localhost', context: createSecureContext({ ca: cert }) }
  const connection = await Http1Connection.connect(
    { host: '127.0.0.1', port, tls },
    { clock: systemClock, timeouts: TIMEOUTS },
  )
  after(() => connection.destroy())
  await connection.readHead('GET')
  const received = Buffer.alloc(body.length)
  for (let offset = 0; offset < body.length; ) {
    for (let turn = 0; turn < 3; turn++) await new Promise(resolve => setImmediate(resolve))
    offset += await connection.readBody(received.subarray(offset))
  }
  assert.ok(received.equals(body))
})

test('interim answers are passed over', async () => {
  const { connection } = await connectTo(({ socket }) =>
    socket.write(
      'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
    ),
  )
  connection.send(GET)
  assert.equal((await connection.readHead('GET')).status, 204)
  assert.equal(await connection.readBody(new Uint8Array(1)), 0)
})

test('a body without a length ends with the connection', async () => {
  const { connection } = await connectTo(({ socket }) => socket.end('HTTP/1.1 200 OK\r\n\r\nall of it'))
  connection.send(GET)
  await connection.readHead('GET')
  assert.equal((await readAll(connection)).toString(), 'all of it')
  assert.equal(connection.isReusable, false)
})

test('a short body is a closed connection, not a short success', async () => {
  const { connection } = await connectTo(({ socket }) =>
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort'),
  )
  connection.send(GET)
  await connection.readHead('GET')
  await assert.rejects(readAll(connection), { failure: 'closed' })
})

test('a reset is a closed connection', async () => {
  const { connection } = await connectTo(({ socket }) => socket.resetAndDestroy())
  connection.send(GET)
  await assert.rejects(connection.readHead('GET'), { failure: 'closed' })
})

test('garbage and endless heads are protocol failures', async () => {
  for (const answer of [
    '220 smtp ready\r\n\r\n',
    `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(70_000)}`,
    `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(70_000)}\r\n\r\n`,
    'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n',
  ]) {
    const { connection } = await connectTo(({ socket }) => socket.write(answer))
    connection.send(GET)
    await assert.rejects(connection.readHead('GET'), { failure: 'protocol' }, answer.slice(0, 40))
  }
})

test('silence before and within an answer ends in a timeout', async () => {
  const clock = new FakeClock()
  const { connection } = await connectTo(
    ({ socket, index }) => {
      if (index === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')
    },
    { clock, timeouts: { headMs: 300, idleMs: 100 } },
  )
  connection.send(GET)
  const late = assert.rejects(connection.readHead('GET'), { failure: 'timeout' })
  clock.advance(299)
  clock.advance(1)
  await late
  connection.send(GET)
  await connection.readHead('GET')
  assert.equal(await connection.readBody(new Uint8Array(4)), 4)
  const stalled = assert.rejects(connection.readBody(new Uint8Array(4)), { failure: 'timeout' })
  clock.advance(100)
  await stalled
  connection.destroy()
  assert.equal(clock.timerCount, 0)
})

test('a head that drips in does not outlive its deadline', async () => {
  const clock = new FakeClock()
  const { connection, source } = await connectTo(() => {}, { clock, timeouts: { headMs: 300 } })
  connection.send(GET)
  const late = assert.rejects(connection.readHead('GET'), { failure: 'timeout' })
  for (let drop = 0; source.sockets.length === 0 || drop < 4; drop++) {
    const before = connection.receivedBytes
    source.sockets[0]?.write('H')
    while (source.sockets[0] && connection.receivedBytes === before)
      await new Promise(resolve => setImmediate(resolve))
    clock.advance(100)
  }
  await late
})

test('a wait is measured from its own beginning', async () => {
  const clock = new FakeClock()
  const { connection, source } = await connectTo(
    ({ socket }) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n'),
    { clock, timeouts: { idleMs: 100 } },
  )
  connection.send(GET)
  await connection.readHead('GET')
  const all = readAll(connection, 10)
  for (let byte = 0; byte < 10; byte++) {
    const before = connection.receivedBytes
    clock.advance(99)
    source.sockets[0].write('x')
    while (connection.receivedBytes === before) await new Promise(setImmediate)
  }
  assert.equal((await all).length, 10)
})

test('a refused connection is unreachable', async () => {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  const target = { host: '127.0.0.1', port, tls: null }
  await assert.rejects(Http1Connection.connect(target, { clock: systemClock, timeouts: TIMEOUTS }), {
    failure: 'unreachable',
  })
})

test('the way through a proxy has no more time to connect than another', async () => {
  const clock = new FakeClock()
  const proxy = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', () => {
      clock.advance(900)
      socket.write('HTTP/1.1 200 Connected\r\n\r\n')
      // The destination is silent.
      socket.once('data', () => clock.advance(100))
    })
  })
  after(() => proxy.close())
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const { port } = proxy.address() as AddressInfo
  const tunnel = { host: '127.0.0.1', port, isSecure: false, authorization: null }
  const target = { host: 'origin.test', port: 443, tls: { servername: 'origin.test', tunnel } }
  const timeouts = { ...TIMEOUTS, connectMs: 1_000 }
  await assert.rejects(Http1Connection.connect(target, { clock, timeouts }), { failure: 'unreachable' })
  assert.equal(clock.timerCount, 0)
})

test('an aborted connect ends at once', async () => {
  const abort = new AbortController()
  const clock = new FakeClock()
  abort.abort()
  const target = { host: '127.0.0.1', port: 1, tls: null }
  await assert.rejects(Http1Connection.connect(target, { clock, timeouts: TIMEOUTS, signal: abort.signal }))
  assert.equal(clock.timerCount, 0)
})

test('destroy wakes whoever waits', async () => {
  const { connection } = await connectTo(() => {})
  connection.send(GET)
  const waiting = assert.rejects(connection.readHead('GET'), { failure: 'closed' })
  connection.destroy()
  await waiting
  assert.equal(connection.isReusable, false)
})

test('bytes that nobody asked for are seen', async () => {
  const { connection } = await connectTo(({ socket }) =>
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx and more'),
  )
  connection.send(GET)
  await connection.readHead('GET')
  assert.equal((await readAll(connection)).toString(), 'x')
  assert.equal(connection.unreadBytes, ' and more'.length)
})
