import assert from 'node:assert/strict'
import { rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { Generation } from '../src/core/generation.ts'
import type { Peer } from '../src/peer/peer.ts'
import type { PeerMessages } from '../src/wire/control.ts'
import { announcement, ControlPeer, taskIdFor } from './support/control-peer.ts'
import { type KeptLog, keptLog } from './support/kept-log.ts'
import { claimOfAll } from './support/lying-peer.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile, startSystem, TEST_LIMITS, type TestSystem } from './support/system.ts'

const MIB = 1024 * 1024
const LENGTH = 6 * MIB + 17
/** Longer than any restart here takes. */
const GRACE_MS = 10_000

describe('a supernode that starts again', () => {
  let origin: OriginServer
  let system: TestSystem
  let file: ServedFile
  beforeEach(async () => {
    origin = await startOriginServer()
    system = await startSystem()
    file = origin.serve('/file', { lengthBytes: LENGTH, seed: 3 })
  })
  afterEach(async () => {
    ControlPeer.endAll()
    await system.stop()
    await origin.close()
  })

  const download = async (peer?: Peer) => {
    const result = await system.download(peer ?? (await system.startPeer()), file.url)
    assert.equal(await sha256OfFile(result.path), await origin.contentSha256('/file'))
    return result
  }
  const cachedFile = () => {
    const taskId = taskIdFor(file)
    return path.join(system.directory, 'supernode', 'repo', taskId.slice(0, 3), taskId)
  }
  const status = async () => (await (await fetch(`http://${system.node}/`)).json()) as Record<string, number>
  /** Peers are back, and their tasks with them. */
  const until = async (isReached: (now: Record<string, number>) => boolean) => {
    while (!isReached(await status())) await new Promise(setImmediate)
  }

  const VALIDATORS = [
    [{ hasLastModified: false }, 'if-none-match'],
    [{ etag: 'weak', hasLastModified: false }, 'if-none-match'],
    [{ etag: null }, 'if-modified-since'],
  ] as const
  for (const [behaviour, header] of VALIDATORS) {
    it(`has its copy still, asks whether it is current by ${header}, and gets no body for it (${JSON.stringify(behaviour)})`, async () => {
      file.set(behaviour)
      await download()
      const { bodyBytesSent } = file
      await system.restartSupernode()
      const result = await download()
      assert.equal(file.bodyBytesSent, bodyBytesSent)
      assert.equal(result.bytes.origin, 0)
      assert.ok(file.requests.at(-1)?.headers[header])
      assert.equal(system.supernode.originBytes, 0)
    })
  }

  it('never serves an old version, and does not mix in the peers that hold it', async () => {
    const holders = [await system.startPeer(), await system.startPeer()]
    await Promise.all(holders.map(peer => download(peer)))
    file.set({ seed: 4 })
    await system.restartSupernode()
    await until(now => now.tasks === 1)
    const sent = holders.map(peer => peer.sentBytes)
    const result = await download()
    assert.equal(result.retries, 0)
    assert.deepEqual(
      holders.map(peer => peer.sentBytes),
      sent,
    )
    const again = await Promise.all(holders.map(peer => download(peer)))
    assert.ok(again.every(({ bytes }) => bytes.local === 0))
  })

  it('goes on from the pieces that it has verified', async () => {
    file.set({ bodyFault: { kind: 'stall', afterBytes: 4 * MIB + 5 } })
    const watch = await ControlPeer.greeted(system.node)
    const layout = await watch.announce(announcement(file))
    assert.ok(layout.type === 'layout')
    const known = () =>
      watch.received.flatMap(said => (said.type === 'digests' || said.type === 'layout' ? said.pieces : []))
    await watch.until(() => new Set(known()).size === 4)
    const { bodyBytesSent } = file
    await system.stopSupernode()
    file.set({ bodyFault: null })
    await system.restartSupernode()
    await download()
    const { headers } = file.requests.at(-1)!
    assert.deepEqual([headers.range, Boolean(headers['if-range'])], [`bytes=${4 * MIB}-`, true])
    assert.equal(file.bodyBytesSent - bodyBytesSent, LENGTH - 4 * MIB)
  })

  it('begins anew where what it has in part is of another version by now', async () => {
    file.set({ bodyFault: { kind: 'stall', afterBytes: 4 * MIB + 5 } })
    const watch = await ControlPeer.greeted(system.node)
    await watch.announce(announcement(file))
    await watch.until(() => watch.received.some(said => said.type === 'digests'))
    await system.stopSupernode()
    file.set({ bodyFault: null, seed: 8 })
    await system.restartSupernode()
    await download()
  })

  it('fetches anew what has no validator', async () => {
    file.set({ etag: null, hasLastModified: false })
    const first = await system.startPeer()
    await download(first)
    await first.stop()
    await system.restartSupernode()
    file.set({ seed: 9 })
    await download()
    assert.equal(file.bodyBytesSent, 2 * LENGTH)
  })

  it('hears again from its peers what they hold, and new peers get it from them', async () => {
    const holder = await system.startPeer()
    await download(holder)
    await system.stopSupernode()
    await rm(cachedFile())
    file.set({ rateBytesPerSecond: MIB })
    await system.restartSupernode()
    await until(now => now.peers === 1 && now.tasks === 1)
    const result = await download()
    assert.ok(result.bytes.peers > LENGTH / 2, JSON.stringify(result.bytes))
    assert.equal(result.bytes.origin, 0)
  })

  describe('without its copy, and with peers that hold everything', () => {
    let claim: PeerMessages['announce']
    let holder: Peer
    let bodyBytesSent: number
    beforeEach(async () => {
      holder = await system.startPeer()
      await download(holder)
      claim = await claimOfAll(await ControlPeer.greeted(system.node), file)
      ControlPeer.endAll()
      await system.stopSupernode()
      await rm(cachedFile())
      bodyBytesSent = file.bodyBytesSent
      await system.restartSupernode()
    })
    /** But for a byte per question. */
    const assertUnread = () => {
      assert.equal(system.supernode.originBytes, 0)
      assert.ok(file.bodyBytesSent - bodyBytesSent < 10)
    }

    it('lets them in without reading the origin, however many they are', async () => {
      await until(now => now.peers === 1 && now.tasks === 1)
      const requests = file.requests.length
      for (let i = 0; i < 20; i++) {
        const peer = await ControlPeer.greeted(system.node)
        const layout = await peer.announce(claim)
        assert.ok(layout.type === 'layout' && layout.token !== '')
        assert.equal(layout.generation, claim.generation)
      }
      assert.equal((await download(holder)).bytes.local, LENGTH)
      assertUnread()
      assert.ok(file.requests.length - requests < 4)
    })

    it('reads it once somebody lacks a piece, and those who hold everything are sources then', async () => {
      const watch = await ControlPeer.greeted(system.node)
      await watch.announce(claim)
      assertUnread()
      await download()
      await watch.until(() => watch.received.filter(({ type }) => type === 'layout').length === 2)
      assert.equal(system.supernode.originBytes, LENGTH)
    })

    const CLAIMS = {
      'another version': { generation: 'f'.repeat(16) as Generation },
      'another length': { lengthBytes: LENGTH - 1 },
    }
    for (const [name, changes] of Object.entries(CLAIMS)) {
      it(`reads it for who claims ${name}`, async () => {
        const layout = await (await ControlPeer.greeted(system.node)).announce({ ...claim, ...changes })
        assert.ok(layout.type === 'layout')
        assert.deepEqual([layout.generation, layout.lengthBytes], [claim.generation, LENGTH])
        await origin.when(() => file.bodyBytesSent - bodyBytesSent >= LENGTH)
      })
    }

    it('forgets those who have left', async () => {
      await until(now => now.peers === 1 && now.tasks === 1)
      const watch = await ControlPeer.greeted(system.node)
      await watch.announce(claim)
      watch.send({ type: 'leave', taskId: claim.taskId })
      await download()
      assert.equal(watch.received.filter(({ type }) => type === 'layout').length, 1)
    })
  })

  it('does not end the downloads under way, nor read the origin again for them', async () => {
    await system.restartSupernode({ uploadLimit: 3 * MIB })
    const limits = { ...TEST_LIMITS, graceMs: GRACE_MS }
    const peers = await Promise.all([1, 2, 3].map(() => system.startPeer({ limits })))
    const downloads = Promise.all(peers.map(peer => download(peer)))
    const isHalfWay = () => peers.every(peer => peer.status().tasks.some(task => task.heldBytes >= MIB))
    while (!isHalfWay()) await new Promise(setImmediate)
    const { bodyBytesSent } = file
    await system.restartSupernode()
    await downloads
    assert.equal(file.bodyBytesSent, bodyBytesSent)
  })

  const DAMAGES = {
    deleted: (place: string) => rm(place),
    truncated: (place: string) => truncate(place, 3 * MIB),
    modified: (place: string) => writeFile(place, Buffer.alloc(MIB, 1), { flag: 'r+' }),
    replaced: (place: string) => writeFile(place, 'something else'),
  }
  /** Nobody comes back to announce what it holds, which the supernode would be looking at when the damage is done. */
  const downloadAndLeave = async () => {
    const peer = await system.startPeer()
    await download(peer)
    await peer.stop()
    await system.heardAll()
  }
  for (const [damage, inflict] of Object.entries(DAMAGES)) {
    it(`heals when its copy was ${damage} while it was away, and while it was there`, async () => {
      await downloadAndLeave()
      await system.stopSupernode()
      await inflict(cachedFile())
      await system.restartSupernode()
      await downloadAndLeave()
      await inflict(cachedFile())
      assert.equal((await download()).bytes.origin, 0, 'the supernode has it again')
    })
  }
})

describe('content at an origin', () => {
  let origin: OriginServer
  let system: TestSystem
  let log: KeptLog
  beforeEach(async () => {
    log = keptLog()
    origin = await startOriginServer()
    system = await startSystem({ log, uploadLimit: 3 * MIB })
  })
  afterEach(async () => {
    await system.stop()
    await origin.close()
  })
  /** A download that is still under way when the CDN has everything, which is when this resolves. */
  const startSlow = async (file: ServedFile) => {
    const downloading = system.download(await system.startPeer(), file.url)
    while (!log.lines.some(line => line.message === 'task complete at cdn')) await new Promise(setImmediate)
    return { end: () => downloading.then(({ digest, bytes }) => ({ digest, origin: bytes.origin })) }
  }

  it('that has changed is the new one for a peer that holds the old one complete', async () => {
    await system.restartSupernode({ uploadLimit: null })
    const file = origin.serve('/file', { lengthBytes: LENGTH, seed: 1 })
    const peer = await system.startPeer()
    for (const seed of [1, 2, 2, 3]) {
      file.set({ seed })
      const result = await system.download(peer, file.url)
      assert.equal(await sha256OfFile(result.path), await origin.contentSha256('/file'))
    }
  })

  it('without a validator is not fetched anew under those who are receiving it', async () => {
    const file = origin.serve('/file', { lengthBytes: LENGTH, seed: 1, etag: null, hasLastModified: false })
    const slow = await startSlow(file)
    const late = await system.download(await system.startPeer(), file.url)
    const digest = await origin.contentSha256('/file')
    assert.equal(late.digest, digest)
    assert.deepEqual(await slow.end(), { digest, origin: 0 })
    assert.equal(file.bodyBytesSent, LENGTH)
  })

  it('that is gone or cannot be asked about is not taken from those who are receiving it', async () => {
    const file = origin.serve('/file', { lengthBytes: LENGTH, seed: 1 })
    const slow = await startSlow(file)
    file.set({ refusal: { status: 404 } })
    const late = system.download(await system.startPeer(), file.url)
    await assert.rejects(late, { code: 'ORIGIN_NOT_FOUND' })
    assert.deepEqual(await slow.end(), { digest: await origin.contentSha256('/file'), origin: 0 })
  })
})
