import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { announcement } from '../../test/support/control-peer.ts'
import { type OriginServer, startOriginServer } from '../../test/support/origin-server.ts'
import { TEST_LIMITS, TEST_ORIGIN_TIMEOUTS } from '../../test/support/system.ts'
import { DragonflyError } from '../core/error.ts'
import type { Generation } from '../core/generation.ts'
import { seededRandom } from '../core/random.ts'
import { silentLog } from '../ops/log.ts'
import { systemClock } from '../ops/system-clock.ts'
import { peerPlaces } from '../store/places.ts'
import { openTaskStore, type TaskStore } from '../store/task-store.ts'
import type { SupernodeMessages } from '../wire/control.ts'
import { DownloadRun } from './download-run.ts'
import { type Engine, openEngine, type TaskRequest } from './engine.ts'
import type { RunObserver } from './run-options.ts'
import type { TaskLinkHandler } from './task-link.ts'

const MIB = 1024 * 1024
const CONTENT = Buffer.alloc(1_000, 'content')
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
const [ONE, OTHER] = ['1'.repeat(16), '2'.repeat(16)] as Generation[]

describe('a run', () => {
  let directory: string
  let store: TaskStore
  let engine: Engine
  let origin: OriginServer
  let run: DownloadRun
  let link: { handler: TaskLinkHandler; isClosed: boolean }
  beforeEach(async () => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'dragonfly-run-'))
    store = await openTaskStore({ places: peerPlaces(directory), sha256 })
    origin = await startOriginServer()
    engine = openEngine({
      store,
      clock: systemClock,
      random: seededRandom(1),
      log: silentLog,
      originTimeouts: TEST_ORIGIN_TIMEOUTS,
      userAgent: 'run',
      bufferBytes: 16 * MIB,
      limits: TEST_LIMITS,
    })
  })
  afterEach(async () => {
    await run.close()
    engine.pieces.close()
    await store.close()
    await origin.close()
    rmSync(directory, { recursive: true })
  })

  /** Of the first content at the origin; the link is the test's. */
  async function start(
    url: string,
    observer: RunObserver = {},
    how: Partial<TaskRequest> = {},
  ): Promise<void> {
    const { taskId } = announcement({ url })
    const task = { taskId, url, headers: [], name: 'file', tag: '', expectedDigest: null, range: null }
    const request = { ...task, ...how }
    run = await DownloadRun.start(engine, request, {
      observer,
      openLink: handler => {
        link = { handler, isClosed: false }
        const close = () => {
          link.isClosed = true
        }
        return { send: () => {}, numbersOf: () => [], addressOf: () => null, close }
      },
    })
  }

  function layout(
    generation: Generation,
    changes: Partial<SupernodeMessages['layout']> = {},
  ): SupernodeMessages['layout'] {
    return {
      type: 'layout',
      taskId: run.request.taskId,
      generation,
      lengthBytes: CONTENT.length,
      pieceLength: MIB,
      token: `token of ${generation}`,
      digest: `sha256:${sha256(CONTENT).toString('hex')}` as SupernodeMessages['layout']['digest'],
      etag: null,
      lastModified: null,
      pieces: [0],
      digests: sha256(CONTENT),
      inline: CONTENT,
      originRank: null,
      originReaders: null,
      prefixes: null,
      ...changes,
    }
  }

  it('that only verifies stays with its version and its swarm’s token, whatever the supernode serves by now', async () => {
    await start('http://origin.test/file', {
      onDigest: () => {
        assert.equal(run.snapshot().phase, 'verifying')
        link.handler.onLayout(layout(OTHER))
      },
    })
    link.handler.onLayout(layout(ONE))
    await run.done
    assert.deepEqual([run.token, run.isShared, link.isClosed], [`token of ${ONE}`, true, true])
  })

  it('that the origin has told the version stays with it, even after it has joined a swarm', async () => {
    const file = origin.serve('/file', {
      lengthBytes: 2 * MIB,
      bodyFault: { kind: 'stall', afterBytes: 100, times: 1 },
    })
    await start(file.url)
    link.handler.onUnavailable()
    await origin.when(() => run.version !== null)
    const cut = { lengthBytes: 2 * MIB, inline: null }
    link.handler.onLayout(
      layout(run.version!.generation, { ...cut, token: 'token', pieces: [], digests: new Uint8Array() }),
    )
    assert.deepEqual([run.token, link.isClosed], ['token', false])
    link.handler.onLayout(layout(OTHER, cut))
    assert.deepEqual([run.token, link.isClosed], ['token', true])
    assert.equal((await run.done).bytes.origin, 2 * MIB, 'and goes on alone')
  })

  it('whose end nobody waits for goes to the disk at its end only', async () => {
    for (const waitsForDisk of [undefined, true, false]) {
      const file = origin.serve(`/waits-${waitsForDisk}`, { lengthBytes: MIB })
      await start(file.url, {}, { waitsForDisk })
      link.handler.onUnavailable()
      await run.done
      assert.equal(run.file?.writeBack.isAtEnd, waitsForDisk === false)
      await run.close()
    }
  })

  it('that fails before there is a place on disk has no version to offer', async () => {
    const offered: unknown[] = []
    store.create = async () => {
      throw new DragonflyError('DISK_FULL', 'full')
    }
    await start('http://origin.test/file', { onVersion: version => void offered.push(version) })
    link.handler.onLayout(layout(ONE))
    await assert.rejects(run.done, { code: 'DISK_FULL' })
    assert.deepEqual(offered, [])
  })
})
