import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { type OriginServer, type ServedFile, startOriginServer } from '../../test/support/origin-server.ts'
import { startSystem, type TestSystem } from '../../test/support/system.ts'
import type { DragonflyError } from '../core/error.ts'
import type { DownloadRequest } from '../wire/local.ts'
import { DownloadRun } from './download-run.ts'
import type { Joined, Peer } from './peer.ts'

const MIB = 1024 * 1024
const LENGTH = 4 * MIB + 1
const SECRET = 'Bearer mine'

describe('two commands of one account that want the same', () => {
  let origin: OriginServer
  let system: TestSystem
  let peer: Peer
  let file: ServedFile
  beforeEach(async () => {
    origin = await startOriginServer()
    system = await startSystem()
    peer = await system.startPeer()
    file = origin.serve('/file', { lengthBytes: LENGTH, authorization: SECRET })
  })
  afterEach(async () => {
    await system.stop()
    await origin.close()
  })

  const asked = (secret: string | null, url = file.url): DownloadRequest => ({
    url,
    headers: secret === null ? [] : [['Authorization', secret]],
    name: 'file',
    tag: '',
    digest: null,
    nodes: [system.node],
  })
  const outcomeOf = (request: DownloadRequest) =>
    system.download(peer, request.url, request).then(
      result => result.digest,
      (thrown: DragonflyError) => thrown.code,
    )

  it('share one run where they show the same to the origin', async () => {
    const [a, b] = await Promise.all([peer.download(asked(SECRET)), peer.download(asked(SECRET))])
    assert.equal(a.run, b.run)
    await a.run.done
    a.release()
    b.release()
    assert.equal(file.bodyBytesSent, LENGTH)
  })

  it('do not share one where they show something else: the second is let in or refused by itself', async () => {
    file.set({ rateBytesPerSecond: 8 * MIB })
    const digest = await origin.contentSha256('/file')
    const outcomes = await Promise.all(
      [SECRET, null, 'Bearer other', SECRET].map(secret => outcomeOf(asked(secret))),
    )
    assert.deepEqual(outcomes, [digest, 'ORIGIN_UNAUTHORIZED', 'ORIGIN_UNAUTHORIZED', digest])
    assert.deepEqual([...new Set(file.requests.map(request => request.headers.authorization))].sort(), [
      SECRET,
      'Bearer other',
      undefined,
    ])
    assert.equal(file.bodyBytesSent, LENGTH)
  })

  it('do not share what is on disk either, with a supernode or without', async () => {
    const digest = await origin.contentSha256('/file')
    assert.equal(await outcomeOf(asked(SECRET)), digest)
    for (const nodes of [[system.node], []]) {
      for (const secret of [null, 'Bearer other']) {
        assert.equal(await outcomeOf({ ...asked(secret), nodes }), 'ORIGIN_UNAUTHORIZED')
      }
      const { run, release } = await peer.download({ ...asked(SECRET), nodes })
      assert.equal((await run.done).bytes.local, LENGTH)
      release()
    }
    assert.equal(file.bodyBytesSent, LENGTH)
  })

  it('do not end the sharing of what the first has fetched by the refusal of the second', async () => {
    await outcomeOf(asked(SECRET))
    const [task] = peer.status().tasks
    assert.equal(await outcomeOf(asked(null)), 'ORIGIN_UNAUTHORIZED')
    assert.deepEqual(
      peer.status().tasks.map(({ taskId, phase }) => [taskId, phase]),
      [[task.taskId, 'complete']],
    )
    await system.restartSupernode({ uploadLimit: 64 * 1024 })
    while ((await peersOf(system)) < 1) await new Promise(setImmediate)
    const other = await system.startPeer()
    const { bytes } = await system.download(other, file.url, { headers: [['Authorization', SECRET]] })
    assert.ok(bytes.peers > 0)
  })

  it('are not in each other’s way when one of them leaves', async () => {
    file.set({ rateBytesPerSecond: 8 * MIB })
    const first = await peer.download(asked(SECRET))
    const second = await peer.download(asked(SECRET))
    const third = peer.download(asked(null)).then(({ run, release }) => run.done.finally(release))
    first.release()
    first.release()
    assert.ok(!second.run.isOver)
    second.release()
    await assert.rejects(second.run.done, { code: 'CANCELLED' })
    await assert.rejects(third, { code: 'ORIGIN_UNAUTHORIZED' })
    assert.equal(await outcomeOf(asked(SECRET)), await origin.contentSha256('/file'))
  })

  it('may leave when the whole is verified: it comes to its end', async () => {
    const request = { ...asked(SECRET), digest: await origin.contentSha256('/file'), lookAhead: 2 }
    const joined: Joined = await peer.download(request, () => {
      if (joined.run.isWhole) joined.release()
    })
    const { lengthBytes } = await joined.run.done
    assert.equal(lengthBytes, LENGTH)
    assert.equal(joined.run.file?.isComplete, true)
  })

  it('do not fail by the ways of the one who began: it is begun anew for the other in ways of its own', async () => {
    const strict = { nodes: ['127.0.0.1:1'], mayReadOrigin: false }
    const [first, second] = await Promise.all([
      peer.download({ ...asked(SECRET), ...strict }),
      peer.download({ ...asked(SECRET), nodes: [] }),
    ])
    assert.equal(first.run, second.run)
    await assert.rejects(first.done, { code: 'SUPERNODE_UNREACHABLE' })
    first.release()
    const { bytes } = await second.done
    assert.deepEqual([bytes.origin, second.run.isComplete], [LENGTH, true])
    second.release()
  })

  it('fail together where they want the same ways, and where the other has gone', async () => {
    const strict = { ...asked(SECRET), nodes: ['127.0.0.1:1'], mayReadOrigin: false }
    const joined = await Promise.all([
      peer.download(strict),
      peer.download(strict),
      peer.download(asked(SECRET)),
    ])
    joined[2].release()
    for (const { done } of joined) await assert.rejects(done, { code: 'SUPERNODE_UNREACHABLE' })
    for (const { release } of joined) release()
    assert.equal(file.requests.length, 0)
  })

  it('leave no limit behind where none of them could begin', async t => {
    const closed = t.mock.method(peer.limits, 'closeTask')
    const start = t.mock.method(DownloadRun, 'start', () => Promise.reject(new Error('no disk')))
    await assert.rejects(peer.download(asked(SECRET)), /no disk/)
    start.mock.restore()
    assert.equal(closed.mock.callCount(), 1)
  })

  it('find the directory made again that somebody removed', async () => {
    const { path: shared } = await system.download(peer, file.url, asked(SECRET))
    await rm(path.dirname(shared), { recursive: true })
    const again = await system.download(peer, file.url, asked(SECRET))
    assert.equal(again.digest, await origin.contentSha256('/file'))
  })

  it('end when the peer stops, whether they run or wait', async () => {
    file.set({ rateBytesPerSecond: MIB })
    const running = peer.download(asked(SECRET)).then(({ run }) => run.done)
    const waiting = peer.download(asked(null)).then(({ run }) => run.done)
    await origin.when(({ bodyBytesSent }) => bodyBytesSent > 0)
    const ends = [
      assert.rejects(running, { code: 'CANCELLED' }),
      assert.rejects(waiting, { code: 'CANCELLED' }),
    ]
    await peer.stop()
    await Promise.all(ends)
    await assert.rejects(peer.download(asked(SECRET)), { code: 'CANCELLED' })
  })
})

async function peersOf(system: TestSystem): Promise<number> {
  const status = (await (await fetch(`http://${system.node}/`)).json()) as { peers: number }
  return status.peers
}
