import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chown, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { askPeer } from '../src/cli/peer-process.ts'
import { openHome } from '../src/peer/home.ts'
import { lockHome, lockStart } from '../src/peer/home-lock.ts'
import { RELEASE_HEADER } from '../src/wire/local.ts'
import { failureOf, residentStatus, runCli, startCli, stopResident } from './support/cli-run.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile } from './support/system.ts'
import { withTakenPort } from './support/taken-port.ts'

const MIB = 1024 ** 2
const TEST = { timeout: 60_000 }
/** Makes a command write to its standard error when it begins to listen for Ctrl-C; before that, Ctrl-C ends it without an answer. */
const TELLS_WHEN_READY = `--import=data:text/javascript,${encodeURIComponent(
  "process.on('newListener', name => name === 'SIGINT' && process.stderr.write('ready'))",
)}`

describe('the resident peer of an account', () => {
  let origin: OriginServer
  let directory: string
  let home: string
  let number = 0
  before(async () => {
    origin = await startOriginServer()
  })
  after(() => origin.close())
  beforeEach(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-resident-'))
    home = path.join(directory, 'home')
    number++
  })
  afterEach(async () => {
    await stopResident(home)
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  })

  const here = () => ['--config=', '--home', home]
  const server = (...flags: string[]) => runCli('dfget', ['server', ...here(), ...flags])
  const serve = (lengthBytes: number, rateBytesPerSecond: number | null = null) =>
    origin.serve(`/${number}`, { lengthBytes, rateBytesPerSecond })
  /** From the origin alone; what the peer does is the same with a supernode. */
  const getFlags = (url: string, ...flags: string[]) => [
    ...['-u', url, '-o', path.join(directory, 'out'), '--json', '--ip', '127.0.0.1'],
    ...['--pattern', 'source', ...here(), ...flags],
  ]
  const get = (url: string, ...flags: string[]) => startCli('dfget', getFlags(url, ...flags))
  const until = async (holds: () => Promise<boolean>) => {
    while (!(await holds())) await delay(10)
  }
  const isDownloading = async () =>
    (await residentStatus(home))?.tasks.some(({ heldBytes }) => heldBytes > 0) ?? false

  it('tells how it is, is stopped, and a new command starts it again', TEST, async () => {
    const file = serve(1_000)
    const absent = await server('--status')
    assert.deepEqual([absent.status, absent.stdout], [37, ''])
    assert.match(absent.stderr, /PEER_ABSENT: no resident peer runs/)
    assert.equal((await get(file.url).ended).status, 0)
    const { pid } = (await server('--status', '--json')).json()
    const { stdout, status } = await server('--status')
    assert.equal(status, 0)
    assert.match(stdout, new RegExp(`^resident peer \\S+, process ${pid}\nhome .*\nsends on port \\d+, .*\n`))
    assert.match(
      stdout,
      /^limits total none, local none\ntasks 1\n {2}[0-9a-f]{16} complete, 1000 B of 1000 B\n$/m,
    )
    assert.deepEqual((await server('--stop')).stdout, 'resident peer stopped\n')
    await (await lockHome(await openHome(home)))()
    assert.match((await server('--stop')).stdout, /^no resident peer runs/)
    assert.equal((await get(file.url).ended).status, 0)
    assert.notEqual((await residentStatus(home))?.pid, pid)
  })

  it('keeps its socket and what it says to itself', TEST, async () => {
    const first = await get(serve(1_000).url).ended
    assert.equal(first.status, 0, first.stdout)
    for (const [name, mode] of [
      ['meta', 0o700],
      ['data', 0o700],
      ['meta/peer.sock', 0o600],
      ['meta/lock-name', 0o600],
      ['logs/dfclient.log', 0o600],
    ] as const) {
      assert.equal((await stat(path.join(home, name))).mode & 0o777, mode, name)
    }
  })

  it('is started once by commands at the same moment, and all succeed', TEST, async () => {
    const file = serve(MIB)
    const outputs = ['one', 'two', 'three'].map(name => path.join(directory, name))
    const ended = await Promise.all(outputs.map(output => get(file.url, '-o', output).ended))
    for (const { status, stdout } of ended) assert.equal(status, 0, stdout)
    for (const output of outputs) {
      assert.equal(await sha256OfFile(output), await origin.contentSha256(file.path))
    }
    const log = await readFile(path.join(home, 'logs', 'dfclient.log'), 'utf8')
    assert.equal(log.match(/"peer started"/g)?.length, 1, log)
  })

  it('says so where its port is taken', TEST, () =>
    withTakenPort(async port => {
      const { status, code, message } = failureOf(
        await get(serve(1_000).url, '--port', String(port), '--tries=1').ended,
      )
      assert.deepEqual([status, code], [35, 'ADDRESS_IN_USE'])
      assert.match(message, new RegExp(`\\b${port}\\b`))
    }),
  )

  it('is started although there is a file in the place of its socket', TEST, async () => {
    await writeFile((await openHome(home)).socket, 'not even a socket')
    assert.equal((await get(serve(1_000).url).ended).status, 0)
  })

  it('is started although its socket is left of one that was killed', TEST, async () => {
    const file = serve(1_000)
    assert.equal((await get(file.url).ended).status, 0)
    process.kill((await residentStatus(home))!.pid, 'SIGKILL')
    await until(async () => (await residentStatus(home).catch(() => null)) === null)
    assert.equal((await stat(path.join(home, 'meta/peer.sock'))).isSocket(), true)
    assert.equal((await get(file.url).ended).status, 0)
  })

  it('takes new limits while it downloads, and shows them', TEST, async () => {
    const file = serve(16 * MIB)
    const command = get(file.url, '--locallimit', '256K')
    await until(async () => (await residentStatus(home))?.tasks.length === 1)
    const startedAt = performance.now()
    const { stdout } = await runCli('dfget', ['limit', ...here(), '--total', '40M', '--local', '0'])
    assert.equal(stdout, 'total 40MB/s\nlocal none\n')
    assert.equal((await command.ended).status, 0)
    assert.ok(performance.now() - startedAt < 30_000, 'at 256 KiB/s it were a minute')
    const shown = await runCli('dfget', ['limit', ...here(), '--json'])
    assert.deepEqual(shown.json(), { total: 40 * MIB, local: null })
    const wrong = await runCli('dfget', ['limit', ...here(), '--total', '4x'])
    assert.deepEqual([wrong.status, wrong.stdout], [1, ''])
  })

  it('downloads at the local limit', TEST, async () => {
    const file = serve(6 * MIB)
    const startedAt = performance.now()
    assert.equal((await get(file.url, '--locallimit', '2M').ended).status, 0)
    const seconds = (performance.now() - startedAt) / 1000
    assert.ok(seconds > 2.85, `6 MiB at 2 MiB/s in ${seconds} s`)
  })

  it('finishes for a newer command: serves who is there, takes nobody else, and ends', TEST, async () => {
    const file = serve(4 * MIB, 1.5 * MIB)
    const command = get(file.url)
    await until(isDownloading)
    const before = (await residentStatus(home))!.pid
    const opened = await openHome(home)
    const body = { url: file.url, headers: [], name: 'f', tag: '', digest: null, nodes: [] }
    const newer = await askPeer(opened, {
      ...{ method: 'POST', path: '/downloads', body },
      headers: { [RELEASE_HEADER]: '99.0.0' },
    })
    assert.equal(newer?.statusCode, 410)
    newer?.resume()
    const finished = (await askPeer(opened, { method: 'POST', path: '/finish' }))!
    assert.equal((await residentStatus(home))?.isFinishing, true)
    const late = get(file.url, '-o', path.join(directory, 'late'))
    await finished.toArray().catch(() => {})
    assert.equal((await command.ended).status, 0)
    assert.equal((await late.ended).status, 0, 'who came meanwhile has waited, and started another')
    assert.notEqual((await residentStatus(home))?.pid, before)
  })

  it('of an older release is asked to finish, awaited, and replaced', TEST, async () => {
    const opened = await openHome(home)
    const unlock = await lockHome(opened)
    const asked: string[] = []
    const elder = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      request.resume()
      if (request.url !== '/finish')
        return response.writeHead(410).end('{"code":"PEER_FINISHING","message":""}')
      response.writeHead(200).flushHeaders()
      setTimeout(() => {
        elder.closeAllConnections()
        elder.close(() => void unlock())
      }, 300)
    })
    await new Promise<void>(resolve => elder.listen(opened.socket, resolve))
    const { status, json } = await get(serve(1_000).url).ended
    assert.deepEqual([status, json().ok], [0, true])
    assert.deepEqual(asked, ['POST /downloads', 'POST /finish'])
  })

  it('need not be: a command that stands alone does everything, and leaves no process', TEST, async () => {
    const file = serve(3 * MIB)
    const { status, json } = await get(file.url, '--standalone').ended
    assert.deepEqual([status, json().ok], [0, true])
    assert.equal((await readFile(path.join(directory, 'out'))).length, 3 * MIB)
    await (await lockHome(await openHome(home)))()
    assert.equal(await residentStatus(home), null)
  })

  it('serves a command that would stand alone, for a home has one peer', TEST, async () => {
    const file = serve(1_000)
    assert.equal((await get(file.url).ended).status, 0)
    const before = (await residentStatus(home))!.pid
    assert.equal((await get(file.url, '--standalone').ended).status, 0)
    assert.equal((await residentStatus(home))!.pid, before)
  })

  it('that does not answer is waited for until Ctrl-C, with a peer of its own or without', TEST, async () => {
    const opened = await openHome(home)
    for (const [lock, flags] of [
      [lockHome, ['--standalone']],
      [lockStart, []],
      [lockHome, []],
    ] as const) {
      const unlock = await lock(opened)
      try {
        const env = { ...process.env, NODE_OPTIONS: TELLS_WHEN_READY }
        const { child, ended } = startCli('dfget', getFlags(serve(1_000).url, ...flags), { env })
        await once(child.stderr!, 'data')
        // Nothing that could be seen happens while it waits.
        await delay(500)
        child.kill('SIGINT')
        assert.equal(failureOf(await ended).code, 'CANCELLED')
        const late = await get(serve(1_000).url, ...flags, '--timeout=500ms').ended
        assert.equal(failureOf(late).code, 'DOWNLOAD_TIMEOUT')
      } finally {
        await unlock()
      }
    }
  })

  it('of a command that stands alone ends with it at Ctrl-C', TEST, async () => {
    const { child, ended } = get(serve(16 * MIB, 4 * MIB).url, '--standalone')
    await until(isDownloading)
    child.kill('SIGINT')
    assert.equal(failureOf(await ended).code, 'CANCELLED')
    assert.equal(await residentStatus(home), null)
  })

  it('refuses a home that is another account’s', TEST, async t => {
    if (process.getuid?.() !== 0) return t.diagnostic('only root can give a directory away')
    await mkdir(home)
    await chown(home, 65_534, 65_534)
    const { status, stderr } = await get(serve(1_000).url).ended
    assert.equal(status, 77, stderr)
    await chown(home, 0, 0)
  })
})
