import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { Peer } from '../src/peer/peer.ts'
import { DEFAULT_LIMITS } from '../src/transfer/download-options.ts'
import { encodePeerMessage, type PeerMessages, type SupernodeMessages } from '../src/wire/control.ts'
import { announcement, ControlPeer, hello, taskIdFor } from './support/control-peer.ts'
import { type KeptLog, keptLog } from './support/kept-log.ts'
import { claimOfAll } from './support/lying-peer.ts'
import { MovedClock } from './support/moved-clock.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

const MIB = 1024 ** 2
const LENGTH_BYTES = 8 * MIB + 17
const TEST = { timeout: 20_000 }

let origin: OriginServer
let file: ServedFile
let system: TestSystem
let hostiles: ControlPeer[]
let log: KeptLog
let clock: MovedClock

beforeEach(async () => {
  origin = await startOriginServer()
  file = origin.serve('/file', { lengthBytes: LENGTH_BYTES, seed: 3 })
  log = keptLog()
  clock = new MovedClock()
  system = await startSystem({ uploadSlots: 2, uploadLimit: 24 * MIB, freshMs: 60_000, log, clock })
  hostiles = []
})
afterEach(async () => {
  for (const hostile of hostiles) hostile.socket.terminate()
  await system.stop()
  await origin.close()
})

async function hostile(changes: Partial<PeerMessages['hello']> = {}): Promise<ControlPeer> {
  const peer = await ControlPeer.connect(system.node)
  hostiles.push(peer)
  peer.send(hello(changes))
  return peer
}

/** Patient with its supernode, however busy this machine is. */
function startPeer(): Promise<Peer> {
  return system.startPeer({ limits: DEFAULT_LIMITS })
}

/** Others still get what they want, and get it right. */
async function assertService(peers?: readonly Peer[]): Promise<void> {
  const asking = peers ?? [await startPeer(), await startPeer()]
  const results = await Promise.all(asking.map(peer => system.download(peer, file.url)))
  const expected = await origin.contentSha256(file.path)
  for (const result of results) {
    assert.equal(result.digest, expected)
    assert.equal(await sha256OfFile(result.path), expected)
    assert.equal(result.bytes.origin, 0, 'the supernode was there all the time')
  }
}

function reportOf(changes: Partial<PeerMessages['report']>): PeerMessages['report'] {
  const empty = {
    done: [],
    failed: [],
    codes: [],
    released: [],
    slow: [],
    fromOrigin: [],
    lookAhead: null,
    readFrom: null,
  }
  return { type: 'report', taskId: taskIdFor({ url: file.url }), ...empty, ...changes }
}

describe('a hostile peer on the control channel', () => {
  const nonsense: Record<string, () => Uint8Array> = {
    'bytes that are no message': () => Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    'an empty message': () => new Uint8Array(0),
    'a number below zero': () => encodePeerMessage(reportOf({ done: [-1, 0, 1] })),
    'a number that is none': () => encodePeerMessage(reportOf({ slow: [Number.NaN] })),
    'a list beyond its limit': () => encodePeerMessage(reportOf({ slow: Array(1 << 18).fill(1) })),
    'a second hello': () => encodePeerMessage(hello()),
  }
  for (const [name, message] of Object.entries(nonsense)) {
    it(`is cut off when it sends ${name}`, TEST, async () => {
      const liar = await hostile()
      liar.socket.send(message())
      await liar.closed()
      await assertService()
    })
  }

  it('is cut off when it sends a message of more than 8 MiB', TEST, async () => {
    const liar = await hostile()
    liar.socket.send(Buffer.alloc(9 * MIB))
    await liar.closed()
    await assertService()
  })

  it('is not heard any more once it is refused, even if it does not read that', TEST, async () => {
    const liar = await hostile()
    await liar.next('welcome')
    liar.socket.pause()
    for (let i = 0; i < 1_000; i++) liar.send(hello())
    await assertService()
    assert.equal(log.lines.filter(line => line.message === 'channel refused').length, 1)
  })

  it('is cut off when it says nothing at all for ten seconds, and others are not', TEST, async () => {
    const silent = await ControlPeer.connect(system.node)
    const honest = await hostile()
    await honest.next('welcome')
    clock.moveOn(9_000)
    assert.equal(silent.closeCode, null)
    clock.moveOn(1_000)
    await silent.closed()
    assert.match((await silent.next('error')).message, /no hello/)
    assert.deepEqual(
      log.lines.filter(({ message }) => message === 'channel refused').map(({ facts }) => facts),
      [{ peer: '127.0.0.1', cause: 'no hello came within 10 s' }],
    )
    assert.equal((await honest.announce(announcement(file))).type, 'layout')
  })

  it('cannot hold more than 256 channels without a name', TEST, async () => {
    const silent = await Promise.all(Array.from({ length: 256 }, () => ControlPeer.connect(system.node)))
    hostiles.push(...silent)
    const late = await hostile()
    await late.closed()
    assert.equal((await late.next('error')).code, 'SUPERNODE_OVERLOADED')
    silent[0].socket.close()
    await silent[0].closed()
    silent[1].send(hello())
    await silent[1].next('welcome')
    await assertService()
  })

  for (const port of [0, 65_536, 1e9]) {
    it(
      `is cut off when it says that others reach it at port ${port}, and harms nobody who would ask it`,
      TEST,
      async () => {
        const liar = await hostile({ port })
        await liar.closed()
        await assertService()
      },
    )
  }

  for (const address of ['a b', 'x\r\nX-Injected: 1', '127.0.0.1:80', '[::1]', 'x'.repeat(300), '/etc']) {
    it(
      `is cut off when it says that its address is ${JSON.stringify(address.slice(0, 20))}`,
      TEST,
      async () => {
        const liar = await hostile({ address })
        await liar.closed()
        await assertService()
      },
    )
  }

  it('changes nothing by reports about what it was never told to fetch', TEST, async () => {
    const liar = await hostile()
    liar.send(await claimOfAll(liar, file))
    const huge = [0, 1, 65_535, 65_536, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER]
    for (const piece of huge) {
      for (const source of huge) {
        liar.send(reportOf({ done: [piece, source, 1], released: [piece, source], slow: [piece] }))
        liar.send(reportOf({ failed: [piece, source, 0], codes: ['DIGEST_MISMATCH'], fromOrigin: [piece] }))
        liar.send(reportOf({ failed: [piece, source, 7], codes: ['NO_SUCH_CODE'], done: [piece] }))
      }
    }
    await assertService()
    assert.equal(liar.closeCode, null)
  })

  it(
    'claims to hold more pieces than there are, of a layout that is none, and is taken at its word for nothing',
    TEST,
    async () => {
      const liar = await hostile()
      const claim = await claimOfAll(liar, file)
      for (const changes of [
        { held: new Uint8Array(4 * MIB).fill(255) },
        { lengthBytes: Number.MAX_SAFE_INTEGER, held: new Uint8Array(MIB).fill(255) },
        { pieceLength: 1 },
        { pieceLength: 0, lengthBytes: 0 },
        { pieceLength: Number.MAX_SAFE_INTEGER },
      ]) {
        const said = await liar.announce({ ...claim, ...changes })
        assert.equal(said.type, 'layout')
      }
      liar.socket.terminate()
      await assertService()
    },
  )

  it('of a task of unknown length, claims pieces that are not there yet', TEST, async () => {
    file.set({ framing: 'chunked', rateBytesPerSecond: 16 * MIB })
    const liar = await hostile({ uploadSlots: 64 })
    const said = (await liar.announce(announcement({ url: file.url }))) as SupernodeMessages['layout']
    const { generation, pieceLength } = said
    const held = new Uint8Array(4 * MIB).fill(255)
    liar.send(announcement({ url: file.url }, { generation, pieceLength, held }))
    await assertService()
  })

  it('cannot take an honest source from the others by accusing it', TEST, async () => {
    const honest = await startPeer()
    await assertService([honest])
    for (const code of ['DIGEST_MISMATCH', 'PIECE_NOT_HELD', 'SOURCE_GONE', 'TOKEN_INVALID']) {
      const liar = await hostile()
      liar.send(announcement({ url: file.url }))
      let accusations = 0
      const accuse = () => {
        for (const message of liar.received.splice(0)) {
          if (message.type !== 'assign') continue
          for (let i = 0; i < message.pieces.length; i += 2) {
            accusations++
            const [piece, source] = message.pieces.slice(i, i + 2)
            liar.send(reportOf({ failed: [piece, source, 0], codes: [code] }))
          }
        }
        return accusations >= 4
      }
      await liar.until(accuse)
      liar.socket.terminate()
    }
    const sentBefore = honest.sentBytes
    const late = await startPeer()
    await assertService([late])
    assert.ok(honest.sentBytes > sentBefore, 'the accused is still asked')
  })

  it('is cut off when it floods with announces, and the others do not notice', TEST, async () => {
    const liar = await hostile()
    const claim = await claimOfAll(liar, file)
    for (let i = 0; i < 10_000; i++) liar.send(claim)
    await Promise.all([liar.closed(), assertService()])
  })

  it('is cut off when it floods with reports, and the others do not notice', TEST, async () => {
    const liar = await hostile()
    liar.send(await claimOfAll(liar, file))
    const report = reportOf({ done: Array(30_000).fill(1), slow: Array(30_000).fill(2) })
    for (let i = 0; i < 500; i++) liar.send(report)
    await Promise.all([liar.closed(), assertService()])
  })
})
