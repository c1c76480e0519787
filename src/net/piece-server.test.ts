import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import { GENERATION, MemoryContent, patternBytes } from '../../test/support/memory-content.ts'
import { until } from '../../test/support/piece-scene.ts'
import { RawClient } from '../../test/support/raw-client.ts'
import type { TaskId } from '../core/task-id.ts'
import { systemClock } from '../ops/system-clock.ts'
import { parseHeldAnswer } from '../wire/piece-routes.ts'
import { type PieceServer, type PieceServerOptions, startPieceServer } from './piece-server.ts'
import { RateLimiter } from './rate-limiter.ts'

const MIB = 1024 * 1024
const TASK = 'ab'.repeat(32) as TaskId
const TOKEN = 'the-token-of-the-task'
const CONTENT = patternBytes(3 * MIB + 12_345)

type Setup = { server: PieceServer; content: MemoryContent; client: RawClient; sent: number[] }

async function setUp(
  changes: Partial<PieceServerOptions> = {},
  content = MemoryContent.full(CONTENT, MIB),
): Promise<Setup> {
  const sent: number[] = []
  const server = await startPieceServer({
    host: '127.0.0.1',
    port: 0,
    catalog: { find: taskId => (taskId === TASK ? { content, token: TOKEN } : null) },
    clock: systemClock,
    limiter: null,
    maxUploads: 4,
    idleMs: 10_000,
    onSent: (_, bytes) => sent.push(bytes),
    ...changes,
  })
  after(() => server.close())
  const client = await RawClient.connect(server.port)
  after(() => client.socket.destroy())
  return { server, content, client, sent }
}

type Ask = { method?: string; path?: string; token?: string | null; range?: string; more?: string }

function ask({ method = 'GET', path = `/tasks/${TASK}`, token = TOKEN, range, more = '' }: Ask = {}): string {
  const authorization = token === null ? '' : `Authorization: Bearer ${token}\r\n`
  return `${method} ${path} HTTP/1.1\r\nHost: h\r\n${authorization}${range ? `Range: ${range}\r\n` : ''}${more}\r\n`
}

function codeIn(body: Buffer): string {
  return JSON.parse(body.toString()).code
}

test('a range is answered with exactly its bytes', async () => {
  const { client, sent, content } = await setUp()
  const { status, headers, body } = await client.send(ask({ range: 'bytes=1000000-2999999' })).answer()
  assert.equal(status, 206)
  assert.equal(headers.get('content-range'), `bytes 1000000-2999999/${CONTENT.length}`)
  assert.equal(headers.get('content-length'), '2000000')
  assert.ok(body.equals(CONTENT.subarray(1_000_000, 3_000_000)))
  assert.equal(
    sent.reduce((sum, bytes) => sum + bytes, 0),
    2_000_000,
  )
  await until(() => content.leases === 0)
})

test('without a range the whole is answered', async () => {
  const { client } = await setUp()
  const { status, headers, body } = await client.send(ask()).answer()
  assert.equal(status, 200)
  assert.equal(headers.get('content-range'), undefined)
  assert.ok(body.equals(CONTENT))
})

test('HEAD answers the same without a body', async () => {
  const { client, server } = await setUp()
  const whole = await client.send(ask({ method: 'HEAD' })).answer('HEAD')
  assert.deepEqual([whole.status, whole.headers.get('content-length')], [200, String(CONTENT.length)])
  const part = await client.send(ask({ method: 'HEAD', range: 'bytes=0-9' })).answer('HEAD')
  assert.deepEqual([part.status, part.headers.get('content-length')], [206, '10'])
  assert.equal(server.activeUploads(), 0)
})

test('a range is clipped to the length; one that lies beyond it or is malformed is refused', async () => {
  const { client } = await setUp()
  const clipped = await client
    .send(ask({ range: `bytes=${CONTENT.length - 5}-${CONTENT.length + 5}` }))
    .answer()
  assert.equal(
    clipped.headers.get('content-range'),
    `bytes ${CONTENT.length - 5}-${CONTENT.length - 1}/${CONTENT.length}`,
  )
  for (const range of [
    `bytes=${CONTENT.length}-${CONTENT.length + 1}`,
    'bytes=5-4',
    'bytes=0-1,3-4',
    'lines=1-2',
    'bytes=-5',
  ]) {
    const { status, headers, body } = await client.send(ask({ range })).answer()
    assert.deepEqual([status, codeIn(body)], [416, 'PROTOCOL_INVALID'], range)
    assert.equal(headers.get('content-range'), `bytes */${CONTENT.length}`)
  }
})

test('only what is wholly held is served', async () => {
  const content = new MemoryContent(CONTENT, MIB)
  content.held.add(1)
  const { client } = await setUp({}, content)
  assert.equal((await client.send(ask({ range: `bytes=${MIB}-${2 * MIB - 1}` })).answer()).status, 206)
  for (const range of [undefined, 'bytes=0-9', `bytes=${MIB}-${2 * MIB}`]) {
    const { status, body } = await client.send(ask({ range })).answer()
    assert.deepEqual([status, codeIn(body)], [404, 'PIECE_NOT_HELD'])
  }
})

test('while the length is unknown, held ranges are served with * as the length', async () => {
  const content = MemoryContent.full(CONTENT, MIB)
  content.layout.lengthBytes = null
  const { client } = await setUp({}, content)
  const { status, headers } = await client.send(ask({ range: 'bytes=0-9' })).answer()
  assert.deepEqual([status, headers.get('content-range')], [206, 'bytes 0-9/*'])
  assert.equal((await client.send(ask()).answer()).status, 404)
  assert.equal((await client.send(ask({ range: 'bytes=0-999999999999999' })).answer()).status, 416)
})

test('the held answer names generation, layout and pieces', async () => {
  const content = new MemoryContent(CONTENT, MIB)
  content.held.add(0)
  content.held.add(2)
  const { client } = await setUp({}, content)
  const { status, body } = await client.send(ask({ path: `/tasks/${TASK}/pieces` })).answer()
  assert.equal(status, 200)
  const answer = parseHeldAnswer(JSON.parse(body.toString()))
  assert.deepEqual(
    [answer?.generation, answer?.lengthBytes, answer?.pieceLength],
    [GENERATION, CONTENT.length, MIB],
  )
  assert.deepEqual([...answer!.held.members()], [0, 2])
})

test('without the token nothing is told, not even whether the task exists', async () => {
  const { client } = await setUp()
  const answers: string[] = []
  for (const task of [TASK, 'cd'.repeat(32)]) {
    for (const token of [null, 'wrong', `${TOKEN}x`, TOKEN.slice(1)]) {
      for (const path of [`/tasks/${task}`, `/tasks/${task}/pieces`]) {
        for (const range of [undefined, 'bytes=0-9', 'bytes=99999999-99999999']) {
          const { status, headers, body } = await client.send(ask({ path, token, range })).answer()
          answers.push(JSON.stringify([status, [...headers], body.toString()]))
        }
      }
    }
  }
  assert.equal(new Set(answers).size, 1)
  assert.match(answers[0], /^\[403,.*TOKEN_INVALID/)
})

test('other paths and methods are refused', async () => {
  const { client } = await setUp()
  for (const path of [
    '/',
    '/tasks',
    `/tasks/${TASK}/`,
    `/tasks/${TASK}?x`,
    '/tasks/../etc/passwd',
    `/tasks/${TASK.toUpperCase()}`,
  ]) {
    assert.equal(codeIn((await client.send(ask({ path })).answer()).body), 'TASK_UNKNOWN', path)
  }
  const { status } = await client.send(ask({ method: 'POST', more: 'Content-Length: 0\r\n' })).answer()
  assert.equal(status, 400)
})

test('pipelined requests are answered in order on one connection', async () => {
  const { client } = await setUp({ maxUploads: 1 })
  const starts = [0, 2_000_000, 1_000_000, 5, 700_000]
  client.send(starts.map(start => ask({ range: `bytes=${start}-${start + 599_999}` })).join(''))
  for (const start of starts) {
    const { status, body } = await client.answer()
    assert.equal(status, 206)
    assert.ok(body.equals(CONTENT.subarray(start, start + 600_000)))
  }
})

test('a client that pipelines without end is dropped', async () => {
  const { client } = await setUp()
  client.send(ask({ range: 'bytes=0-9' }).repeat(100))
  await client.closed()
})

test('a client that goes away before its turn takes nothing', async () => {
  const { client, content, server } = await setUp()
  let letRead = () => {}
  content.onRead = () =>
    new Promise<void>(resolve => {
      letRead = resolve
    })
  client.send(ask({ range: 'bytes=0-9' }).repeat(3))
  await until(() => content.leases === 1)
  client.socket.destroy()
  content.onRead = null
  letRead()
  await until(() => server.activeUploads() === 0 && content.leases === 0)
})

test('beyond maxUploads a client is told to come again', async () => {
  const { client, content, server } = await setUp({ maxUploads: 1 })
  let letRead = () => {}
  content.onRead = () =>
    new Promise<void>(resolve => {
      letRead = resolve
    })
  client.send(ask({ range: 'bytes=0-9' }))
  await until(() => server.activeUploads() === 1)
  const other = await RawClient.connect(server.port)
  const { status, headers, body } = await other.send(ask({ range: 'bytes=0-9' })).answer()
  assert.deepEqual([status, headers.get('retry-after'), codeIn(body)], [503, '1', 'SOURCE_BUSY'])
  assert.equal((await other.send(ask({ path: `/tasks/${TASK}/pieces` })).answer()).status, 200)
  content.onRead = null
  letRead()
  assert.equal((await client.answer()).status, 206)
  assert.equal((await other.send(ask({ range: 'bytes=0-9' })).answer()).status, 206)
  other.socket.destroy()
})

test('a client that does not read is dropped, and its slot is free again', async () => {
  const big = MemoryContent.full(patternBytes(48 * MIB), MIB)
  const { server } = await setUp({ idleMs: 300, maxUploads: 1 }, big)
  const socket = connect(server.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.pause()
  socket.write(ask())
  await until(() => server.activeUploads() === 1)
  await until(() => server.activeUploads() === 0)
  assert.equal(big.leases, 0)
  socket.destroy()
})

test('a slow disk is not the client’s fault', async () => {
  const { client, content } = await setUp({ idleMs: 200 })
  content.onRead = position =>
    position === 0 ? new Promise(resolve => setTimeout(resolve, 500)) : Promise.resolve()
  assert.equal((await client.send(ask({ range: 'bytes=0-9' })).answer()).body.length, 10)
})

test('a client that goes away in the middle frees lease and buffers', async () => {
  const big = MemoryContent.full(patternBytes(48 * MIB), MIB)
  const { client, server } = await setUp({}, big)
  client.send(ask())
  await once(client.socket, 'data')
  client.socket.destroy()
  await until(() => server.activeUploads() === 0)
  assert.equal(big.leases, 0)
})

test('when the content cannot be read, the connection breaks instead of going on with other bytes', async () => {
  const { client, content, server } = await setUp()
  content.onRead = async position => {
    if (position >= 512 * 1024) throw new Error('EIO')
  }
  await assert.rejects(client.send(ask()).answer(), /the connection closed/)
  await until(() => server.activeUploads() === 0)
  assert.equal(content.leases, 0)
})

test('content that ends early breaks the connection too', async () => {
  const content = MemoryContent.full(CONTENT, MIB)
  content.layout.lengthBytes = CONTENT.length + 100
  const { client } = await setUp({}, content)
  await assert.rejects(client.send(ask()).answer(), /the connection closed/)
})

test('an upload works in two blocks, which later uploads use again', async () => {
  const { client, content } = await setUp()
  for (let round = 0; round < 5; round++) assert.equal((await client.send(ask()).answer()).status, 200)
  assert.equal(content.buffersUsed.size, 2)
})

test('few uploads work in large blocks, the others in small ones', async () => {
  const big = MemoryContent.full(patternBytes(48 * MIB), MIB)
  const { client, server } = await setUp({ maxUploads: 8 }, big)
  const sizes = () => new Set([...big.buffersUsed].map(buffer => buffer.byteLength))
  client.socket.pause()
  client.send(ask())
  await until(() => big.buffersUsed.size > 0)
  assert.deepEqual(sizes(), new Set([2 * MIB]))
  const other = await RawClient.connect(server.port)
  await other.send(ask({ range: `bytes=0-${MIB - 1}` })).answer()
  assert.deepEqual(sizes(), new Set([2 * MIB, MIB / 2]))
  other.socket.destroy()
})

test('the limiter shapes all uploads together', async () => {
  // From here: whatever passes before the uploads begin is the limiter's to give as a burst.
  const startMs = performance.now()
  const limiter = new RateLimiter(10 * MIB, systemClock)
  const { client, server } = await setUp({ limiter })
  const other = await RawClient.connect(server.port)
  await Promise.all([client, other].map(each => each.send(ask({ range: `bytes=0-${MIB - 1}` })).answer()))
  const elapsedMs = performance.now() - startMs
  assert.ok(elapsedMs > 195, `2 MiB at 10 MiB/s in ${elapsedMs} ms`)
  other.socket.destroy()
})

test('a port in use is reported as such', async () => {
  const { server } = await setUp()
  await assert.rejects(setUp({ port: server.port }), { code: 'ADDRESS_IN_USE' })
})

test('closing breaks off uploads and frees everything', async () => {
  const big = MemoryContent.full(patternBytes(48 * MIB), MIB)
  const { client, server } = await setUp({}, big)
  client.socket.pause()
  client.send(ask())
  await until(() => server.activeUploads() === 1)
  await server.close()
  assert.deepEqual([server.activeUploads(), big.leases], [0, 0])
})

test('oversized request heads are refused', async () => {
  const { client } = await setUp()
  const { status } = await client.send(ask({ more: `X-Long: ${'x'.repeat(10_000)}\r\n` })).answer()
  assert.equal(status, 431)
})
