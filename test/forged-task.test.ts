import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { Digest } from '../src/core/digest.ts'
import { parseHostPort } from '../src/core/host-port.ts'
import { MESSAGE_BYTES_MAX, PROTOCOL_VERSION } from '../src/wire/control.ts'
import { announcement, ControlPeer, hello, taskIdFor } from './support/control-peer.ts'
import { keptLog } from './support/kept-log.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { type Answer, startScriptedSupernode } from './support/scripted-supernode.ts'
import { startSystem, type TestSystem } from './support/system.ts'

const LENGTH = 2 * 1024 * 1024 + 1
const DIGEST = `sha256:${'a'.repeat(64)}` as Digest

describe('a supernode under attack', () => {
  let origin: OriginServer
  let system: TestSystem
  let file: ServedFile
  let evil: ServedFile
  let log = keptLog()
  beforeEach(async () => {
    log = keptLog()
    origin = await startOriginServer()
    file = origin.serve('/file', { lengthBytes: LENGTH, seed: 1 })
    evil = origin.serve('/evil', { lengthBytes: LENGTH, seed: 2 })
    system = await startSystem({ log, freshMs: 60_000 })
  })
  afterEach(async () => {
    ControlPeer.endAll()
    await system.stop()
    await origin.close()
  })

  it('does not put one content in another’s place: the task id follows from what is announced', async () => {
    const peer = await ControlPeer.greeted(system.node)
    const { taskId } = announcement(file)
    const forged = [
      announcement(evil, { taskId }),
      announcement(file, { tag: 'other' }),
      announcement(file, { range: 'bytes=0-9' }),
      announcement(file, { expectedDigest: DIGEST }),
      announcement({ url: evil.url, digest: DIGEST }, { taskId }),
      announcement(file, { headers: [['Range', 'bytes=0-9']] }),
      announcement({ ...file, range: 'bytes=0-9' }, { headers: [['range', 'bytes=0-99']] }),
      announcement({ ...file, range: 'bytes=0-9' }),
    ]
    for (const message of forged) {
      const answer = await peer.announce(message)
      assert.ok(answer.type === 'error' && answer.code === 'SUPERNODE_FAILED', JSON.stringify(answer))
    }
    assert.equal(origin.requests.length, 0)
    assert.equal(log.lines.filter(line => line.message === 'announce refused').length, forged.length)
    const victim = await system.startPeer()
    const { digest } = await system.download(victim, file.url)
    assert.equal(digest, await origin.contentSha256('/file'))
    assert.equal((await peer.announce(announcement(evil))).type, 'layout')
  })

  it('lets a genuine part of a content be a task of its own', async () => {
    const peer = await ControlPeer.greeted(system.node)
    const range = 'bytes=10-99'
    const answer = await peer.announce(announcement({ ...file, range, headers: [['Range', range]] }))
    assert.ok(answer.type === 'layout')
    assert.equal(answer.lengthBytes, 90)
  })

  it('ends a channel that does not begin with one hello of its version, and listens no more', async () => {
    const cases: [(peer: ControlPeer) => void, string][] = [
      [peer => peer.send(announcement(file)), 'PROTOCOL_INVALID'],
      [peer => peer.send(hello({ version: PROTOCOL_VERSION + 1 })), 'PROTOCOL_VERSION'],
      [peer => peer.send(hello()).send(hello()), 'PROTOCOL_INVALID'],
      [peer => peer.socket.send(Buffer.from('not msgpack at all')), 'PROTOCOL_INVALID'],
      [peer => peer.send({ ...hello(), port: -1 }), 'PROTOCOL_INVALID'],
    ]
    for (const [attack, code] of cases) {
      const peer = await ControlPeer.connect(system.node)
      attack(peer)
      peer.send(hello()).send(announcement(file))
      await peer.closed()
      const errors = peer.received.filter(message => message.type === 'error')
      assert.deepEqual(
        errors.map(error => [error.taskId, error.code]),
        [['', code]],
      )
      assert.ok(!peer.received.some(message => message.type === 'layout'))
    }
    assert.equal(origin.requests.length, 0)
    assert.equal((await statusOf(system)).peers, 0)
  })

  it('takes binary messages of a bounded size, and says so to others', async () => {
    const cases: [Buffer | string, number][] = [
      ['hello', 1003],
      [Buffer.alloc(MESSAGE_BYTES_MAX + 1), 1009],
    ]
    for (const [message, closeCode] of cases) {
      const peer = await ControlPeer.greeted(system.node)
      peer.socket.send(message)
      peer.send(announcement(file))
      await peer.closed()
      assert.equal(peer.closeCode, closeCode)
    }
    assert.equal(origin.requests.length, 0)
  })

  it('cuts a channel whose other side does not close it', async () => {
    const peer = await ControlPeer.greeted(system.node)
    peer.send(hello())
    // A paused socket never answers the close frame.
    peer.socket.pause()
    while ((await statusOf(system)).peers > 0) await new Promise(setImmediate)
  })

  it('has its channel at one path, and survives who leaves in the middle of being told so', {
    timeout: 60_000,
  }, async t => {
    const { host, port } = parseHostPort(system.node, 0)
    const refused = await ControlPeer.connect(system.node, '/elsewhere')
    assert.equal(refused.closeCode, 1006)
    for (let i = 0; i < 20; i++) {
      const socket = connect(port, host)
      socket.on('error', () => {})
      socket.write('GET /elsewhere HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
      await new Promise(resolve => socket.once(i % 2 === 0 ? 'data' : 'connect', resolve))
      socket.resetAndDestroy()
    }
    const patient = connect({ port, host, allowHalfOpen: true })
    t.after(() => patient.destroy())
    patient.write('GET /elsewhere HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    const answer = await new Promise<Buffer>(resolve => patient.once('data', resolve))
    assert.match(answer.toString(), /^HTTP\/1\.1 404 /)
    assert.equal((await statusOf(system)).peers, 0)
    // It would wait for ever for a connection that it has kept.
    await system.stopSupernode()
  })

  it('survives announces and reports whose numbers mean nothing', async () => {
    const peer = await ControlPeer.greeted(system.node)
    const layout = await peer.announce(announcement(file))
    assert.ok(layout.type === 'layout')
    const { taskId, generation, pieceLength } = layout
    const held = Buffer.alloc(1024 * 1024, 0xff)
    const announced = await peer.announce(announcement(file, { generation, pieceLength, held }))
    assert.equal(announced.type, 'layout')
    peer.send({
      type: 'report',
      taskId,
      done: [70_000, 3, 1, 1],
      failed: [0, 999, 7, 90_000, 0, 0],
      codes: ['NO_SUCH_CODE'],
      released: [5],
      slow: [2 ** 31],
      fromOrigin: [2 ** 40],
      lookAhead: 2 ** 40,
      readFrom: 2 ** 50,
    })
    peer.send({ type: 'leave', taskId })
    peer.send({ type: 'leave', taskId: taskIdFor({ url: 'http://unknown.test/' }) })
    assert.equal((await peer.announce(announcement(evil))).type, 'layout')
  })

  it('gives pieces for the token of this task and generation only, and so do peers', async () => {
    const peer = await system.startPeer()
    const { run, release } = await system.begin(peer, file.url)
    await run.done
    const owner = await ControlPeer.greeted(system.node)
    const layouts = [await owner.announce(announcement(file)), await owner.announce(announcement(evil))]
    const [token, tokenOfOther] = layouts.map(layout => (layout.type === 'layout' ? layout.token : ''))
    await system.restartSupernode({ freshMs: 0 })
    const peerAt = `127.0.0.11:${peer.uploadPort}`
    file.set({ seed: 3 })
    const fresh = await ControlPeer.greeted(system.node)
    const changed = await fresh.announce(announcement(file))
    assert.ok(changed.type === 'layout')
    const { taskId } = changed
    const status = async (at: string, presented: string | null) => {
      const headers: Record<string, string> =
        presented === null ? {} : { authorization: `Bearer ${presented}` }
      const answers = await Promise.all([
        fetch(`http://${at}/tasks/${taskId}`, { headers: { ...headers, range: 'bytes=0-9' } }),
        fetch(`http://${at}/tasks/${taskId}/pieces`, { headers }),
      ])
      await Promise.all(answers.map(answer => answer.arrayBuffer()))
      return answers.map(answer => answer.status)
    }
    const seedAt = `127.0.0.1:${system.supernode.downloadPort}`
    for (const presented of [null, '', 'x', `${token}x`, tokenOfOther]) {
      assert.deepEqual(await status(seedAt, presented), [403, 403])
      assert.deepEqual(await status(peerAt, presented), [403, 403])
    }
    assert.deepEqual(await status(seedAt, token), [403, 403], 'the old generation’s token')
    assert.deepEqual(await status(peerAt, changed.token), [403, 403], 'the new generation’s token')
    await fresh.until(() => fresh.received.some(said => said.type === 'digests' || said.type === 'assign'))
    assert.deepEqual((await status(seedAt, changed.token))[1], 200)
    assert.deepEqual(await status(peerAt, token), [206, 200])
    release()
  })
})

describe('a peer whose supernode speaks another version', () => {
  it('says so in its log, and gets the content from the origin', async t => {
    const origin = await startOriginServer()
    const file = origin.serve('/file', { lengthBytes: LENGTH })
    const system = await startSystem()
    t.after(async () => {
      await system.stop()
      await origin.close()
    })
    const cases: [Answer, string][] = [
      [
        (_, say) =>
          say({ type: 'error', taskId: '', code: 'PROTOCOL_VERSION', message: 'this is version 9' }),
        'this is version 9',
      ],
      [
        (_, say) => say({ type: 'welcome', version: 9, supernodeId: 'new', address: '127.0.0.1:9' }),
        'the supernode speaks version 9 of the protocol, this peer 1',
      ],
    ]
    for (const [answer, cause] of cases) {
      const other = await startScriptedSupernode(answer)
      t.after(() => other.close())
      const log = keptLog()
      const peer = await system.startPeer({ log })
      const { bytes } = await system.download(peer, file.url, { nodes: [other.node] })
      assert.equal(bytes.origin, LENGTH)
      const said = log.lines.filter(line => line.message === 'supernode not reached')
      assert.deepEqual(said[0]?.facts, { supernode: other.node, code: 'PROTOCOL_VERSION', cause })
    }
  })
})

async function statusOf(system: TestSystem): Promise<{ peers: number; tasks: number }> {
  const answer = await fetch(`http://${system.node}/`)
  return (await answer.json()) as { peers: number; tasks: number }
}
