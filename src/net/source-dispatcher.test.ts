import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, test } from 'node:test'
import { FakeClock } from '../../test/support/fake-clock.ts'
import {
  assertPiece,
  CONTENT,
  honest,
  PIECE,
  startPieceScene,
  until,
} from '../../test/support/piece-scene.ts'
import { rangeHead, type ScriptedRequest, startScriptedSource } from '../../test/support/scripted-source.ts'

/** Through the client, whose every request goes by way of the dispatcher. */

test('many pieces travel over one connection, in the order in which they were asked for', async () => {
  const { fetch, source, buffers } = await startPieceScene(honest)
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
  const { fetch, source } = await startPieceScene(honest, { connectionsPerSource: 4 })
  for (let index = 0; index < 10; index++) await fetch(index)
  assert.equal(source.sockets.length, 1)
})

test('as many requests as the pipeline is deep are on the wire', async () => {
  const held: ScriptedRequest[] = []
  const { fetch, source } = await startPieceScene(request => held.push(request), { pipelineDepth: 3 })
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

test('an idle connection is preferred, then one with a single request, then a new one, then the shortest queue', async () => {
  const held: ScriptedRequest[] = []
  const { fetch, client } = await startPieceScene(request => held.push(request), {
    connectionsPerSource: 2,
    pipelineDepth: 3,
  })
  const first = fetch(0)
  await until(() => held.length === 1)
  honest(held[0])
  await first
  const pieces = [fetch(1)]
  await until(() => held.length === 2)
  pieces.push(fetch(2))
  await until(() => held.length === 3)
  pieces.push(fetch(3), fetch(4))
  await until(() => held.length === 5)
  pieces.push(fetch(5), fetch(6))
  await until(() => held.length === 7)
  const connections = held.slice(1).map(request => request.connectionIndex)
  assert.deepEqual(connections.slice(0, 4), [0, 0, 1, 1])
  assert.deepEqual(connections.slice(4).sort(), [0, 1])
  for (const request of held.slice(1)) honest(request)
  await Promise.all(pieces)
  assert.equal(client.connectionCount, 2)
})

test('two requests that come at once share a new connection, three do not', async () => {
  for (const [count, connections] of [
    [2, 1],
    [3, 2],
  ]) {
    const { fetch, source } = await startPieceScene(honest, { connectionsPerSource: 4 })
    await Promise.all(Array.from({ length: count }, (_, index) => fetch(index)))
    assert.equal(source.sockets.length, connections)
  }
})

test('bytes behind the body spoil the connection, not the next piece', async () => {
  const { fetch, source } = await startPieceScene(request => {
    honest(request)
    request.socket.write('and more')
  })
  assertPiece(await fetch(0), 0)
  await new Promise(resolve => setImmediate(resolve))
  assertPiece(await fetch(1), 1)
  assert.equal(source.sockets.length, 2)
})

test('nobody listening is a source that is gone, for all who wait', async () => {
  const { fetch, source, client } = await startPieceScene(honest)
  await source.close()
  source.close = async () => {}
  const codes = await Promise.all([0, 1, 2, 3, 4].map(index => fetch(index).catch(error => error.code)))
  assert.deepEqual(new Set(codes), new Set(['SOURCE_GONE']))
  assert.equal(client.connectionCount, 0)
})

test('when a connection breaks, the request in progress fails and those behind it move', async () => {
  const { fetch, source, buffers } = await startPieceScene(
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
  const { fetch, source } = await startPieceScene(
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
  const { fetch, source } = await startPieceScene(() => {
    void source.close()
    source.close = async () => {}
  })
  const codes = await Promise.all([0, 1, 2].map(index => fetch(index).catch(error => error.code)))
  assert.deepEqual(codes, ['SOURCE_GONE', 'SOURCE_GONE', 'SOURCE_GONE'])
})

test('an idle connection that was closed meanwhile is replaced', async () => {
  const { fetch, source } = await startPieceScene(honest)
  await fetch(0)
  source.sockets[0].destroy()
  await once(source.sockets[0], 'close')
  assertPiece(await fetch(1), 1)
  assert.equal(source.sockets.length, 2)
})

test('a reused connection that closes instead of answering is tried again, once', async () => {
  const { fetch, source } = await startPieceScene(request => {
    if (request.index === 1) request.socket.destroy()
    else honest(request)
  })
  await fetch(0)
  assertPiece(await fetch(1), 1)
  assert.equal(source.sockets.length, 2)

  const hopeless = await startPieceScene(request =>
    request.index === 0 ? honest(request) : request.socket.destroy(),
  )
  await hopeless.fetch(0)
  await assert.rejects(hopeless.fetch(1), { code: 'SOURCE_GONE' })
  assert.equal(hopeless.source.requests.length, 3)
})

test('a source that closes after every answer still serves all', async () => {
  const { fetch, source, buffers } = await startPieceScene(({ text, socket }) => {
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
  const { fetch, source, buffers } = await startPieceScene(request => {
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
  const { fetch, source, buffers } = await startPieceScene(request => held.push(request))
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

test('idle connections are closed after their time', async () => {
  const clock = new FakeClock()
  const { fetch, source, client } = await startPieceScene(honest, { clock, idleCloseMs: 1000 })
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
  const a = await startPieceScene(request => held.push(request), { maxConnections: 1 })
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
  const { client, request, buffers } = await startPieceScene(honest, { maxConnections: 2 })
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
  const { fetch, client } = await startPieceScene(() => {})
  const codes = Array.from({ length: 300 }, (_, index) => fetch(index % 40).catch(error => error.code))
  assert.equal(await codes[299], 'SOURCE_BUSY')
  client.close()
  assert.equal((await Promise.all(codes)).filter(code => code === 'CANCELLED').length, 256)
})

test('closing cancels what is in progress, and what comes later', async () => {
  const { fetch, source, client } = await startPieceScene(() => {})
  const pieces = [0, 1, 2, 3].map(index => fetch(index).catch(error => error.code))
  await until(() => source.requests.length === 2)
  client.close()
  assert.deepEqual(await Promise.all(pieces), Array(4).fill('CANCELLED'))
  await assert.rejects(fetch(0), { code: 'CANCELLED' })
  assert.equal(client.connectionCount, 0)
})
