import assert from 'node:assert/strict'
import { open } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, it } from 'node:test'
import { silentLog } from '../src/ops/log.ts'
import { systemClock } from '../src/ops/system-clock.ts'
import { startLocalServer } from '../src/peer/local-server.ts'
import type { LocalEvent } from '../src/wire/local.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { startSystem, type TestSystem } from './support/system.ts'

/** Content that is read while it comes, from any of its bytes on. */

const MIB = 1024 ** 2
const LENGTH = 64 * MIB
const LATE = 0.75 * LENGTH + 12_345

type Progress = LocalEvent & { event: 'progress' }

describe('reading from a position', () => {
  let origin: OriginServer
  let system: TestSystem
  let stops: (() => Promise<void>)[] = []
  before(async () => {
    origin = await startOriginServer()
    system = await startSystem({ freshMs: 3_600_000 })
  })
  after(async () => {
    for (const stop of stops) await stop()
    stops = []
    await system.stop()
    await origin.close()
  })

  /** A peer with a socket of its own, and how to ask it. */
  async function newPeer(totalLimit: number | null = null) {
    const peer = await system.startPeer({ totalLimit })
    const socketPath = path.join(system.directory, `${peer.uploadPort}.sock`)
    stops.push(await startLocalServer({ peer, socketPath, clock: systemClock, log: silentLog, onStop() {} }))
    return { peer, socketPath }
  }

  function send(socketPath: string, file: ServedFile, changes: object): Promise<IncomingMessage> {
    const usual = { headers: [], name: 'file', tag: '', digest: null, nodes: [system.node], lookAhead: 4 }
    return new Promise((resolve, reject) => {
      const outgoing = request({ socketPath, method: 'POST', path: '/downloads', agent: false }, resolve)
      outgoing.once('error', reject)
      outgoing.end(JSON.stringify({ url: file.url, ...usual, ...changes }))
    })
  }

  /** One answer, event by event. */
  async function ask(socketPath: string, file: ServedFile, changes: object) {
    const answer = await send(socketPath, file, changes)
    const lines = createInterface({ input: answer })[Symbol.asyncIterator]()
    const next = async (): Promise<LocalEvent> => {
      const { value = '' } = await lines.next()
      const said = JSON.parse(value) as LocalEvent
      assert.notEqual(said.event, 'failed', value)
      return said
    }
    return {
      /** The first event that says that there is something to read. */
      async firstReadable(readFrom: number): Promise<Progress> {
        for (let said = await next(); said.event === 'progress'; said = await next()) {
          if (said.readable && said.readable.endByte > readFrom) return said
        }
        throw new Error('it is complete, and nothing was readable')
      },
      /** Up to where it says that reading goes, until the content is complete. */
      async ends(): Promise<number[]> {
        const ends: number[] = []
        for (let said = await next(); said.event === 'progress'; said = await next()) {
          if (said.readable) ends.push(said.readable.endByte)
        }
        answer.destroy()
        return ends
      },
      destroy: () => void answer.destroy(),
    }
  }

  async function assertReadable(file: ServedFile, { readable }: Progress, readFrom: number): Promise<void> {
    const handle = await open(readable!.path)
    const length = readable!.endByte - readFrom
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, readFrom)
    await handle.close()
    assert.equal(bytesRead, length)
    assert.ok(buffer.equals(origin.expectedBytes(file.path, readFrom, readable!.endByte)))
  }

  /** Served by the supernode and by a peer that holds it. */
  async function inSwarm(at: string): Promise<ServedFile> {
    const file = origin.serve(at, { lengthBytes: LENGTH })
    await system.download(await system.startPeer(), file.url)
    return file
  }

  it('the first byte can be read before a tenth of the content has come, and the whole comes', async () => {
    const file = await inSwarm('/late')
    const { peer, socketPath } = await newPeer(32 * MIB)
    const answer = await ask(socketPath, file, { readFrom: LATE })
    const first = await answer.firstReadable(LATE)
    assert.ok(first.progress.heldBytes < LENGTH / 10, `${first.progress.heldBytes} bytes were there`)
    await assertReadable(file, first, LATE)
    peer.limits.change({ total: null })
    assert.equal((await answer.ends()).at(-1), LENGTH)
    assert.equal(file.requests.length, 1, 'the origin was read once')
    assert.equal(file.requests[0].headers.range, undefined)
  })

  it('a supernode with a parent fills from there on first, too', async () => {
    const file = origin.serve('/zones', { lengthBytes: LENGTH })
    const parent = await system.startSupernode({ uploadLimit: 32 * MIB })
    await system.download(await system.startPeer(), file.url, { nodes: [`127.0.0.1:${parent.port}`] })
    const child = await system.startSupernode({ parents: [{ host: '127.0.0.1', port: parent.port }] })
    const { socketPath } = await newPeer()
    const nodes = [`127.0.0.1:${child.port}`]
    const answer = await ask(socketPath, file, { readFrom: LATE, nodes })
    const first = await answer.firstReadable(LATE)
    assert.ok(first.progress.heldBytes < LENGTH / 10, `${first.progress.heldBytes} bytes were there`)
    answer.destroy()
    assert.equal(file.requests.length, 1, 'the origin was read once')
  })

  it('a second reader of the same download has its place first, and counts from there', async () => {
    const file = await inSwarm('/two')
    const { peer, socketPath } = await newPeer(32 * MIB)
    const first = await ask(socketPath, file, {})
    const atFirst = await first.firstReadable(0)
    const second = await ask(socketPath, file, { readFrom: LATE })
    const atSecond = await second.firstReadable(LATE)
    assert.equal(peer.status().tasks.length, 1)
    const between = atSecond.progress.heldBytes - atFirst.progress.heldBytes
    assert.ok(between < LENGTH / 5, `${between} bytes came before`)
    await assertReadable(file, atSecond, LATE)
    peer.limits.change({ total: null })
    const ends = await first.ends()
    assert.deepEqual(
      ends,
      ends.toSorted((a, b) => a - b),
    )
    assert.equal(ends.at(-1), LENGTH)
    second.destroy()
  })

  it('each piece is told as soon as it can be read', async () => {
    const file = origin.serve('/prompt', { lengthBytes: 8 * MIB, rateBytesPerSecond: 16 * MIB })
    const { socketPath } = await newPeer()
    const answer = await ask(socketPath, file, {})
    const ends = await answer.ends()
    // The clock alone would tell of one in three.
    const told = ends.filter((end, i) => end > (ends[i - 1] ?? 0))
    assert.ok(told.length >= 6, `${told}`)
  })

  it('without a supernode the origin is read from there on first', async () => {
    const file = origin.serve('/alone', { lengthBytes: LENGTH, rateBytesPerSecond: 64 * MIB })
    const { socketPath } = await newPeer()
    const digest = await origin.contentSha256(file.path)
    const answer = await ask(socketPath, file, { readFrom: LATE, nodes: [], digest })
    const first = await answer.firstReadable(LATE)
    assert.ok(first.progress.heldBytes < LENGTH / 10, `${first.progress.heldBytes} bytes were there`)
    await assertReadable(file, first, LATE)
    file.set({ rateBytesPerSecond: null })
    assert.equal((await answer.ends()).at(-1), LENGTH)
    const start = 0.75 * LENGTH
    assert.deepEqual(
      file.requests.map(({ headers }) => headers.range),
      [undefined, `bytes=${start}-`, `bytes=0-${start - 1}`],
    )
  })

  it('an origin without ranges is read from its first byte', async () => {
    const file = origin.serve('/rangeless', { lengthBytes: LENGTH, ranges: 'ignored' })
    const { socketPath } = await newPeer()
    const answer = await ask(socketPath, file, { readFrom: LATE, nodes: [] })
    assert.equal((await answer.ends()).at(-1), LENGTH)
    assert.equal(file.requests.length, 2)
  })

  it('a position beyond the end is none, and one without a reader is refused', async () => {
    const file = await inSwarm('/beyond')
    const { socketPath } = await newPeer()
    const answer = await ask(socketPath, file, { readFrom: 2 ** 50 })
    assert.ok((await answer.ends()).length > 0)
    for (const bad of [{ readFrom: 5, lookAhead: undefined }, { readFrom: -1 }, { readFrom: 0.5 }]) {
      assert.equal((await send(socketPath, file, bad)).resume().statusCode, 400)
    }
  })
})
