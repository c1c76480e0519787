import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { link, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import path from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Peer } from '../src/peer/peer.ts'
import { runCli, stopResident } from './support/cli-run.ts'
import { keptLog } from './support/kept-log.ts'
import { MovedClock } from './support/moved-clock.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { type Account, type Processes, startProcesses } from './support/processes.ts'
import { sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

const MIB = 1024 * 1024
const MINUTE_MS = 60_000
const HEX_16 = '0123456789abcdef'

let origin: OriginServer
before(async () => {
  origin = await startOriginServer()
})
after(() => origin.close())

describe('the files of an account', () => {
  let system: TestSystem
  let clock: MovedClock
  let log: ReturnType<typeof keptLog>
  let peer: Peer
  let home: string
  let file: ServedFile
  beforeEach(async t => {
    system = await startSystem()
    clock = new MovedClock()
    log = keptLog()
    home = path.join(system.directory, 'home')
    peer = await system.startPeer({ clock, log, homeRoot: home })
    file = origin.serve(`/${t.name.replaceAll(/\W+/g, '-')}`, { lengthBytes: 24 * MIB + 1 })
  })
  afterEach(() => system.stop())

  const data = () => readdir(path.join(home, 'data'))
  const records = () => readdir(path.join(home, 'meta/tasks'))
  const removals = () => log.lines.filter(line => line.message === 'unused files removed').length
  /** Time passes in steps as long as the pause between two looks at the files, with time for each look. */
  const pass = async (minutes: number) => {
    for (let halves = minutes * 2; halves > 0; halves--) {
      clock.moveOn(MINUTE_MS / 2)
      await delay(20)
    }
  }
  const waitFor = async (isReached: () => boolean | Promise<boolean>, meanwhile = () => delay(5)) => {
    const deadline = performance.now() + 10_000
    while (!(await isReached())) {
      assert.ok(performance.now() < deadline, `never came to this: ${isReached}`)
      await meanwhile()
    }
  }
  /** A look that took longer than a step has put off the next one, so time goes on passing. */
  const passUntil = (isReached: () => boolean | Promise<boolean>) => waitFor(isReached, () => pass(0.5))

  it('lie where the documents say: under their name and sign while they come, as .service when complete', async () => {
    file.set({ rateBytesPerSecond: 16 * MIB })
    const { run, release } = await system.begin(peer, file.url)
    await waitFor(async () => (await data()).length > 0)
    assert.match((await data()).join(), /^target-[0-9a-f]{16}-[0-9a-f]{8}$/)
    const { path: shared } = await run.done
    release()
    assert.match((await data()).join(), /^target-[0-9a-f]{16}-[0-9a-f]{8}\.service$/)
    assert.equal(path.dirname(shared), path.join(home, 'data'))
    assert.deepEqual(await records(), [`${run.request.taskId}.jsonl`])
  })

  it('are removed three minutes after their last use, and the supernode sends nobody there any more', async () => {
    await system.download(peer, file.url)
    await pass(2.5)
    assert.equal((await data()).length, 1)
    const other = await system.startPeer()
    const { bytes } = await system.download(other, file.url)
    assert.ok(bytes.peers > 0)
    await pass(2.5)
    assert.equal((await data()).length, 1, 'an upload is a use')
    await pass(1)
    await passUntil(() => removals() === 1)
    assert.deepEqual([await data(), await records()], [[], []])
    assert.deepEqual(peer.status().tasks, [])
    const { sentBytes } = peer
    await other.stop()
    const late = await system.download(await system.startPeer(), file.url)
    assert.deepEqual([late.bytes.peers, late.retries, peer.sentBytes], [0, 0, sentBytes])
  })

  it('stay as long as a command waits for them or publishes them', async () => {
    const { run, release } = await system.begin(peer, file.url)
    const { path: shared } = await run.done
    await pass(10)
    assert.ok(existsSync(shared))
    release()
    await pass(2)
    assert.ok(existsSync(shared), 'the end of the publication is a use')
    await pass(2)
    await passUntil(() => !existsSync(shared))
  })

  it('stay as long as they are being uploaded, however slowly that goes', async () => {
    const { run, release } = await system.begin(peer, file.url)
    const { path: shared, taskId } = await run.done
    const { token } = run
    release()
    const outgoing = request({
      host: '127.0.0.11',
      port: peer.uploadPort,
      path: `/tasks/${taskId}`,
      headers: { Authorization: `Bearer ${token}` },
    }).end()
    const [answer] = await once(outgoing, 'response')
    assert.equal(answer.statusCode, 200)
    await pass(6)
    assert.ok(existsSync(shared))
    const received = Buffer.concat(await answer.toArray())
    assert.ok(received.equals(Buffer.from(origin.expectedBytes(file.path))))
    await pass(4)
    await passUntil(() => !existsSync(shared))
  })

  it('take their other names with them neither when they expire nor ever: the target stays', async () => {
    const { path: shared } = await system.download(peer, file.url)
    const target = path.join(system.directory, 'target')
    await link(shared, target)
    await pass(4)
    await passUntil(() => !existsSync(shared))
    assert.equal(await sha256OfFile(target), await origin.contentSha256(file.path))
  })

  it('that an earlier process has left complete have their time again', async () => {
    const { path: shared } = await system.download(peer, file.url)
    await peer.stop()
    clock.moveOn(90 * MINUTE_MS)
    peer = await system.startPeer({ clock, log, homeRoot: home })
    assert.ok(existsSync(shared))
    await pass(2)
    assert.ok(existsSync(shared))
    await pass(2)
    await passUntil(() => !existsSync(shared))
    assert.deepEqual(await records(), [])
  })

  describe('that are left unfinished', () => {
    beforeEach(async () => {
      file.set({ rateBytesPerSecond: 16 * MIB })
      const { run, release } = await system.begin(peer, file.url)
      await waitFor(() => run.snapshot().heldBytes > 0)
      release()
      await assert.rejects(run.done, { code: 'CANCELLED' })
      file.set({ rateBytesPerSecond: null })
    })

    it('can be continued for an hour, and are removed afterwards', async () => {
      clock.moveOn(55 * MINUTE_MS)
      await pass(1)
      assert.deepEqual([(await data()).length, (await records()).length], [1, 1])
      clock.moveOn(4 * MINUTE_MS)
      await pass(1)
      await passUntil(async () => (await data()).length === 0)
      assert.deepEqual(await records(), [])
    })

    it('go on where they were within that hour', async () => {
      clock.moveOn(55 * MINUTE_MS)
      await pass(1)
      const { bytes } = await system.download(peer, file.url)
      assert.ok(bytes.local > 0)
    })

    it('are removed when a peer of the account starts after that hour', async () => {
      await peer.stop()
      clock.moveOn(61 * MINUTE_MS)
      peer = await system.startPeer({ clock, log, homeRoot: home })
      assert.deepEqual([await data(), await records()], [[], []])
    })
  })

  it('that nobody knows are removed after an hour; what they are links to, and what is not ours, stays', async () => {
    const own = path.join(home, 'data')
    const outside = path.join(system.directory, 'outside')
    await mkdir(outside)
    await writeFile(path.join(outside, `treasure-${HEX_16}-01234567`), 'gold')
    const orphan = path.join(own, `orphan-${HEX_16}-01234567.service.4711`)
    await writeFile(orphan, 'x')
    await symlink(
      path.join(outside, `treasure-${HEX_16}-01234567`),
      path.join(own, `link-${HEX_16}-01234567`),
    )
    await symlink(outside, path.join(own, `folder-${HEX_16}-01234567`))
    await mkdir(path.join(own, `directory-${HEX_16}-01234567`))
    await writeFile(path.join(own, 'letter.txt'), 'mine')
    const unfinishedRecord = path.join(home, 'meta/tasks', `${'ab'.repeat(32)}.jsonl.new`)
    await writeFile(unfinishedRecord, '{')
    const { run, release } = await system.begin(peer, file.url)
    const { path: shared } = await run.done
    clock.moveOn(55 * MINUTE_MS)
    await pass(1)
    assert.ok(existsSync(orphan))
    clock.moveOn(10 * MINUTE_MS)
    await pass(1)
    await passUntil(() => !existsSync(orphan))
    await passUntil(() => !existsSync(unfinishedRecord))
    const left = [path.basename(shared), `directory-${HEX_16}-01234567`, 'letter.txt']
    assert.deepEqual((await data()).sort(), left.sort())
    assert.equal(await readFile(path.join(outside, `treasure-${HEX_16}-01234567`), 'utf8'), 'gold')
    release()
  })
})

describe('the home of an account', () => {
  const layoutOf = async (home: string) => {
    const [data, meta, logs] = await Promise.all(
      ['data', 'meta', 'logs'].map(name => readdir(path.join(home, name))),
    )
    const hasTasks = meta.includes('tasks')
    return { all: (await readdir(home)).sort(), data: data.length, hasTasks, logs }
  }

  it('is $HOME/.small-dragonfly with data, meta and logs, and --home moves all of it', async t => {
    const system = await startSystem()
    t.after(() => system.stop())
    const file = origin.serve('/home', { lengthBytes: MIB })
    const user = path.join(system.directory, 'user')
    await mkdir(user)
    const moved = path.join(system.directory, 'moved')
    for (const [home, flags] of [
      [path.join(user, '.small-dragonfly'), []],
      [moved, ['--home', moved]],
    ] as const) {
      const output = path.join(system.directory, `output${flags.length}`)
      const env = { ...process.env, HOME: user }
      const command = ['--config=', '-u', file.url, '-o', output, '--node', system.node, ...flags]
      const { status, stderr } = await runCli('dfget', command, { env })
      t.after(() => stopResident(home))
      assert.deepEqual([status, stderr], [0, ''])
      const expected = { all: ['data', 'logs', 'meta'], data: 1, hasTasks: true, logs: ['dfclient.log'] }
      assert.deepEqual(await layoutOf(home), expected)
      await stopResident(home)
    }
    assert.deepEqual(await readdir(user), ['.small-dragonfly'])
  })
})

describe('with real times', () => {
  let processes: Processes
  beforeEach(async () => {
    processes = await startProcesses()
  })
  afterEach(() => processes.stop())
  const dataOf = (account: Account) => readdir(path.join(account.home, 'data'))

  it('--expiretime removes the copy, the target stays, and the next command downloads again', async () => {
    const file = origin.serve('/real', { lengthBytes: 3 * MIB })
    const account = processes.account(['--expiretime', '400ms'])
    const first = await account.dfget(file.url).outcome
    assert.equal(first.status, 0)
    while ((await dataOf(account)).length > 0) await delay(20)
    await account.when(tasks => tasks.length === 0)
    assert.equal(await sha256OfFile(account.output), first.digest)
    const again = await account.dfget(file.url).outcome
    assert.deepEqual([again.status, again.bytes.local], [0, 0])
  })
})
