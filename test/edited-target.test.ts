import assert from 'node:assert/strict'
import { once } from 'node:events'
import { open, stat, truncate, utimes } from 'node:fs/promises'
import { request } from 'node:http'
import path from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { publish } from '../src/cli/publish.ts'
import type { Peer } from '../src/peer/peer.ts'
import type { RunResult } from '../src/wire/local.ts'
import { keptLog } from './support/kept-log.ts'
import { MovedClock } from './support/moved-clock.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

const MIB = 1024 * 1024

describe('a target that its owner edits in place, while it is one file with the shared copy', () => {
  let origin: OriginServer
  let system: TestSystem
  let peer: Peer
  let file: ServedFile
  let target: string
  let result: RunResult
  let token: string
  let log: ReturnType<typeof keptLog>
  const clock = new MovedClock()
  before(async () => {
    origin = await startOriginServer()
  })
  after(() => origin.close())
  beforeEach(async t => {
    log = keptLog()
    system = await startSystem()
    peer = await system.startPeer({ clock, log })
    file = origin.serve(`/${t.name.replaceAll(/\W+/g, '-')}`, { lengthBytes: 24 * MIB + 1 })
    target = path.join(system.directory, 'target')
    const { run, release } = await system.begin(peer, file.url)
    result = await run.done
    token = run.token
    await publish(result.path, target)
    assert.equal((await stat(target)).ino, (await stat(result.path)).ino, 'both are one file')
    release()
    // Two writes within one tick of the kernel have the same time.
    await delay(20)
  })
  afterEach(() => system.stop())

  const overwrite = async (position: number) => {
    const handle = await open(target, 'r+')
    await handle.write(Buffer.from('not what the origin has'), 0, null, position)
    await handle.close()
  }
  /** What another peer gets, and how. */
  const downloadElsewhere = async () => {
    const other = await system.download(await system.startPeer(), file.url)
    assert.equal(await sha256OfFile(other.path), await origin.contentSha256(file.path))
    return other
  }

  it('is shared as long as nobody edits it', async () => {
    assert.ok((await downloadElsewhere()).bytes.peers > 0)
  })

  const EDITS: [string, () => Promise<void>][] = [
    ['bytes overwritten', () => overwrite(12 * MIB)],
    ['bytes appended', () => overwrite(24 * MIB + 1)],
    ['shortened', () => truncate(target, MIB)],
    ['touched', () => utimes(target, new Date(), new Date())],
  ]
  for (const [name, edit] of EDITS) {
    it(`${name}: not a byte of it is served, and others get the right ones`, async () => {
      await edit()
      const other = await downloadElsewhere()
      assert.deepEqual([other.bytes.peers, peer.sentBytes], [0, 0])
      assert.deepEqual(peer.status().tasks, [], 'it has left the swarm')
      const later = await downloadElsewhere()
      assert.equal(later.retries, 0, 'the supernode sends nobody there')
      assert.equal(peer.sentBytes, 0)
    })
  }

  it('is noticed without anybody asking for it, and the supernode told', { timeout: 30_000 }, async () => {
    await overwrite(0)
    clock.moveOn(60_000)
    const isNoticed = () => log.lines.some(line => line.message === 'changed copy not shared any more')
    while (!isNoticed() || peer.status().tasks.length > 0) await new Promise(setImmediate)
    assert.equal((await downloadElsewhere()).retries, 0)
  })

  it('in the middle of an upload: that breaks off, and what came is what it was before', async () => {
    const outgoing = request({
      host: '127.0.0.11',
      port: peer.uploadPort,
      path: `/tasks/${result.taskId}`,
      headers: { Authorization: `Bearer ${token}` },
    }).end()
    const [answer] = await once(outgoing, 'response')
    await overwrite(0)
    await overwrite(20 * MIB)
    const received: Buffer[] = []
    answer.on('data', (part: Buffer) => received.push(part))
    await assert.rejects(once(answer, 'end'), { code: 'ECONNRESET' })
    const bytes = Buffer.concat(received)
    assert.ok(bytes.length > 0 && bytes.length < 20 * MIB)
    assert.ok(bytes.equals(Buffer.from(origin.expectedBytes(file.path)).subarray(0, bytes.length)))
  })

  it('does not spoil a later download of the same account', async () => {
    await overwrite(12 * MIB)
    const again = await system.download(peer, file.url)
    assert.equal(await sha256OfFile(again.path), await origin.contentSha256(file.path))
  })
})
