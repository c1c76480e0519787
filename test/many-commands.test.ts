import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { bundle } from '../scripts/build.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { type Account, type Processes, startProcesses } from './support/processes.ts'
import { sha256OfFile } from './support/system.ts'

const MIB = 1024 ** 2
const COMMANDS = 50
const URLS = 10
const LENGTH_BYTES = 3 * MIB + 5
/** Slow enough for the downloads to have a middle. */
const SLOW = 0.5 * MIB
const TEST = { timeout: 120_000 }
const ROOT = path.join(import.meta.dirname, '..')

/** As they are released, because fifty processes that compile their sources first are a test of the compiler. */
let programs: string
let origin: OriginServer
before(async () => {
  programs = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-programs-'))
  await bundle(ROOT, programs)
  origin = await startOriginServer()
})
after(async () => {
  await origin.close()
  await rm(programs, { recursive: true })
})

describe('fifty commands at once for ten URLs', () => {
  let processes: Processes
  let account: Account
  let files: ServedFile[]
  let number = 0
  beforeEach(async () => {
    processes = await startProcesses()
    account = processes.account()
    number++
    files = Array.from({ length: URLS }, (_, i) =>
      origin.serve(`/${number}/file-${i}`, {
        lengthBytes: LENGTH_BYTES,
        seed: 100 * number + i,
      }),
    )
  })
  afterEach(() => processes.stop())

  const outputOf = (i: number) => path.join(processes.directory, 'outputs', `${i}`)

  async function run(i: number): Promise<string> {
    const flags = ['-u', files[i % URLS].url, '-o', outputOf(i), '--home', account.home]
    const more = ['--node', processes.node, '--ip', '127.0.0.9', '--config=', '--quiet']
    const child = spawn(process.execPath, [path.join(programs, 'dfget.js'), ...flags, ...more], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', text => {
      said += text
    })
    const [status] = await once(child, 'close')
    return `${status} ${said}`.trim()
  }

  async function assertAllThere(outcomes: readonly string[]): Promise<void> {
    assert.deepEqual(outcomes, Array(COMMANDS).fill('0'))
    for (let i = 0; i < COMMANDS; i++) {
      assert.equal(await sha256OfFile(outputOf(i)), await origin.contentSha256(files[i % URLS].path))
    }
    for (const file of files) {
      assert.equal(
        file.bodyBytesSent,
        LENGTH_BYTES,
        JSON.stringify(origin.requests.filter(({ path }) => path === file.path)),
      )
    }
    assert.equal((await readdir(path.join(processes.directory, 'outputs'))).length, COMMANDS)
  }

  const startedPeers = async () => {
    const log = await readFile(path.join(account.home, 'logs', 'dfclient.log'), 'utf8')
    return log.split('\n').filter(line => line.includes('"msg":"peer started"')).length
  }

  it('start one peer, which downloads each URL once', TEST, async () => {
    const outcomes = await Promise.all(Array.from({ length: COMMANDS }, (_, i) => run(i)))
    await assertAllThere(outcomes)
    assert.equal(await startedPeers(), 1)
  })

  it('all succeed although their peer is killed in the middle', TEST, async () => {
    for (const file of files) file.set({ rateBytesPerSecond: SLOW })
    const outcomes = Promise.all(Array.from({ length: COMMANDS }, (_, i) => run(i)))
    await account.when(tasks => tasks.length === URLS && tasks.some(({ heldBytes }) => heldBytes > 0))
    await account.killPeer()
    await assertAllThere(await outcomes)
    assert.equal(await startedPeers(), 2)
  })
})
