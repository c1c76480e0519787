import assert from 'node:assert/strict'
import fs from 'node:fs'
import fsp, { link, readdir } from 'node:fs/promises'
import path from 'node:path'
import { after, afterEach, before, beforeEach, describe, it, type TestContext } from 'node:test'
import type { Peer } from '../src/peer/peer.ts'
import { MovedClock } from './support/moved-clock.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

const MIB = 1024 * 1024
const LENGTH_BYTES = 24 * MIB

describe('a disk that has too little space', () => {
  let origin: OriginServer
  let system: TestSystem
  let peer: Peer
  let data: string
  const clock = new MovedClock()
  before(async () => {
    origin = await startOriginServer()
  })
  after(() => origin.close())
  beforeEach(async () => {
    system = await startSystem()
    const homeRoot = path.join(system.directory, 'home')
    data = path.join(homeRoot, 'data')
    peer = await system.startPeer({ homeRoot, clock })
  })
  afterEach(() => system.stop())

  let files = 0
  const serve = (rateBytesPerSecond: number | null = null) =>
    origin.serve(`/file-${++files}`, { lengthBytes: LENGTH_BYTES, seed: files, rateBytesPerSecond })

  /** The file system that `data` is on seems to have this size, with nothing else on it. */
  const limitDisk = (t: TestContext, sizeBytes: number) =>
    t.mock.method(fsp, 'statfs', async () => {
      const usedBytes = fs.readdirSync(data).reduce((sum, name) => sum + usedBy(path.join(data, name)), 0)
      return { bavail: Math.floor((sizeBytes - usedBytes) / 4096), bsize: 4096 }
    })
  const usedBy = (file: string) => fs.statSync(file).blocks * 512

  it('refuses what does not fit before a byte of it is fetched, and says how much is missing', async t => {
    limitDisk(t, 20 * MIB)
    const file = serve()
    await assert.rejects(system.download(peer, file.url), {
      code: 'DISK_FULL',
      message: /^4\.00 MiB are missing at .*: the download takes 24\.0 MiB, 20\.0 MiB are free/,
    })
    assert.deepEqual(await readdir(data), [])
    assert.deepEqual(await readdir(path.join(data, '../meta/tasks')), [])
  })

  it('is not promised to two downloads at once', async t => {
    limitDisk(t, 40 * MIB)
    const ends = [serve(32 * MIB), serve(32 * MIB)].map(file => system.download(peer, file.url))
    const outcomes = await Promise.allSettled(ends)
    const failures = outcomes.filter(outcome => outcome.status === 'rejected')
    assert.deepEqual(
      failures.map(failure => failure.reason.code),
      ['DISK_FULL'],
    )
  })

  it('has room again when a download was given up', async t => {
    const file = serve(16 * MIB)
    const { run, release } = await system.begin(peer, file.url)
    while (run.snapshot().heldBytes === 0) await new Promise(setImmediate)
    limitDisk(t, 48 * MIB)
    const other = serve()
    release()
    await assert.rejects(run.done, { code: 'CANCELLED' })
    assert.equal((await system.download(peer, other.url)).lengthBytes, LENGTH_BYTES)
  })

  it('loses the copies that nobody has used for longest, and only as many as it takes', async t => {
    const old = await system.download(peer, serve().url)
    clock.moveOn(1_000)
    const young = await system.download(peer, serve().url)
    clock.moveOn(1_000)
    limitDisk(t, 60 * MIB)
    const file = serve()
    const { path: shared } = await system.download(peer, file.url)
    assert.deepEqual(
      (await readdir(data)).sort(),
      [young.path, shared].map(name => path.basename(name)).sort(),
    )
    assert.ok(!fs.existsSync(old.path))
  })

  it('keeps copies whose removal frees nothing, or that somebody waits for', async t => {
    const linked = await system.download(peer, serve().url)
    await link(linked.path, path.join(system.directory, 'target'))
    const { run, release } = await system.begin(peer, serve().url)
    const awaited = await run.done
    limitDisk(t, 60 * MIB)
    await assert.rejects(system.download(peer, serve().url), { code: 'DISK_FULL' })
    assert.ok(fs.existsSync(linked.path) && fs.existsSync(awaited.path))
    release()
  })

  it('that fills up in the middle is a clear error, and what was verified is gone on from', async t => {
    const file = serve()
    let leftBytes = 10 * MIB
    const write = fs.write
    const writeOnFullDisk = (descriptor: number, ...rest: unknown[]) => {
      const isContent = fs.readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(data)
      const done = rest.at(-1) as (error: Error | null, bytes: number) => void
      if (isContent) leftBytes -= rest[2] as number
      if (!isContent || leftBytes >= 0) return Reflect.apply(write, fs, [descriptor, ...rest])
      setImmediate(() =>
        done(Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }), 0),
      )
    }
    const full = t.mock.method(fs, 'write', writeOnFullDisk as typeof fs.write)
    await assert.rejects(system.download(peer, file.url), { code: 'DISK_FULL', message: /no space left/ })
    assert.equal((await readdir(data)).length, 1)
    full.mock.restore()
    const result = await system.download(peer, file.url)
    assert.ok(result.bytes.local > 0)
    assert.equal(await sha256OfFile(result.path), await origin.contentSha256(file.path))
  })

  it('is asked again before an unfinished download goes on, for what that lacks', async t => {
    const file = serve(16 * MIB)
    const { run, release } = await system.begin(peer, file.url)
    while (run.snapshot().heldBytes === 0) await new Promise(setImmediate)
    release()
    await assert.rejects(run.done, { code: 'CANCELLED' })
    file.set({ rateBytesPerSecond: null })
    const disk = limitDisk(t, LENGTH_BYTES - MIB)
    await assert.rejects(system.download(peer, file.url), {
      code: 'DISK_FULL',
      message: /^1\.\d+ MiB are missing/,
    })
    disk.mock.restore()
    limitDisk(t, LENGTH_BYTES + MIB)
    assert.ok((await system.download(peer, file.url)).bytes.local > 0)
  })
})
