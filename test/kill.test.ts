import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import type { RunSnapshot } from '../src/wire/local.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { type Account, type CommandOutcome, type Processes, startProcesses } from './support/processes.ts'
import { sha256OfFile } from './support/system.ts'

const MIB = 1024 ** 2
const LENGTH_BYTES = 24 * MIB + 17
/** Slow enough for the file to have a middle. */
const RATE = 16 * MIB
const TEST = { timeout: 60_000 }

let origin: OriginServer
let processes: Processes
let file: ServedFile

before(async () => {
  origin = await startOriginServer()
})
after(() => origin.close())

beforeEach(async () => {
  processes = await startProcesses()
  file = origin.serve('/file', { lengthBytes: LENGTH_BYTES, seed: 5, rateBytesPerSecond: RATE })
})
afterEach(() => processes.stop())

async function assertComplete(account: Account, outcome: CommandOutcome): Promise<void> {
  const expected = await origin.contentSha256(file.path)
  assert.deepEqual([outcome.status, outcome.message], [0, undefined])
  assert.equal(outcome.digest, expected)
  assert.equal(await sha256OfFile(account.output), expected)
  const { bytes } = outcome
  assert.equal(bytes.local + bytes.origin + bytes.peers + bytes.supernode, LENGTH_BYTES)
  assert.deepEqual(await filesBeside(account.output), ['output'])
}

/** Whatever lies where the output is, the peer's own directories aside. */
async function filesBeside(output: string): Promise<string[]> {
  const names = await readdir(path.dirname(output))
  return names.filter(name => !['data', 'meta', 'logs'].includes(name))
}

/** Where each of the supernode's requests to the origin for content began, in bytes; to ask whether a copy is current is none. */
function startsOfSupernode(): number[] {
  return file.requests.flatMap(({ headers }) => {
    const reader = /^dragonfly\/\d\S* \((dfget|supernode)\)$/.exec(headers['user-agent'])?.[1]
    assert.ok(reader, headers['user-agent'])
    const isQuestion = headers.range === 'bytes=0-0' || headers['if-none-match'] !== undefined
    return reader === 'supernode' && !isQuestion
      ? [Number(/^bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0)]
      : []
  })
}

type Moment = {
  readonly name: string
  readonly isReached: (tasks: readonly RunSnapshot[]) => boolean
}

const held = (tasks: readonly RunSnapshot[]) => Math.max(0, ...tasks.map(task => task.heldBytes))
const MOMENTS: readonly Moment[] = [
  { name: 'before the layout', isReached: tasks => tasks.some(task => task.phase === 'announcing') },
  { name: 'after the first piece', isReached: tasks => held(tasks) > 0 },
  { name: 'half way', isReached: tasks => held(tasks) >= LENGTH_BYTES / 2 },
  { name: 'near the end', isReached: tasks => held(tasks) >= LENGTH_BYTES * 0.9 },
]

describe('a resident peer that is killed', () => {
  it('disturbs nobody at any moment, and goes on with its verified pieces', TEST, async () => {
    file.set({ headDelayMs: 1_000 })
    const untouched = processes.account()
    const victims = MOMENTS.map(moment => ({ ...moment, account: processes.account() }))
    const outcomes = [untouched, ...victims.map(({ account }) => account)].map(async account => ({
      account,
      outcome: await account.dfget(file.url).outcome,
    }))
    const killed = victims.map(async ({ name, account, isReached }) => {
      const { tasks } = await account.when(isReached)
      await account.killPeer()
      return { name, heldBytes: held(tasks) }
    })
    const [fine, ...restarted] = await Promise.all(outcomes)
    await assertComplete(fine.account, fine.outcome)
    for (const [i, { account, outcome }] of restarted.entries()) {
      await assertComplete(account, outcome)
      const { name, heldBytes } = await killed[i]
      // The last moment may be past before it is used; then the command has what it wants from the first peer.
      const wasInTime = name !== 'near the end' || outcome.bytes.local > 0
      if (wasInTime) assert.ok(outcome.bytes.local >= heldBytes, `${name}: ${outcome.bytes.local}`)
    }
    assert.ok(file.bodyBytesSent <= LENGTH_BYTES * 1.01)
  })
})

describe('a supernode that is killed and does not come back', () => {
  for (const { name, isReached } of MOMENTS) {
    it(
      `${name}: every peer finishes, and the origin sends none of them more than what it lacks`,
      TEST,
      async () => {
        if (name === 'before the layout') file.set({ headDelayMs: 1_000 })
        const accounts = Array.from({ length: 3 }, () => processes.account())
        const commands = accounts.map(account => account.dfget(file.url))
        await Promise.all(accounts.map(account => account.when(tasks => tasks.length > 0)))
        await accounts[0].when(isReached)
        await processes.killSupernode()
        const statuses = await Promise.all(accounts.map(account => account.status()))
        const sentBytes = file.bodyBytesSent
        const outcomes = await Promise.all(commands.map(command => command.outcome))
        for (const [i, outcome] of outcomes.entries()) await assertComplete(accounts[i], outcome)
        // At worst nobody has met anybody, so that each gets from the origin what it lacks itself.
        const lackedBytes = statuses.map(status => LENGTH_BYTES - held(status?.tasks ?? []))
        const sum = lackedBytes.reduce((total, bytes) => total + bytes, 0)
        assert.ok(file.bodyBytesSent <= sentBytes + sum + accounts.length * MIB)
      },
    )
  }
})

describe('a supernode that is killed and started again', () => {
  for (const { name, isReached } of MOMENTS) {
    it(`${name}: every peer finishes, and its copy goes on where it was`, TEST, async () => {
      if (name === 'before the layout') file.set({ headDelayMs: 1_000 })
      const accounts = Array.from({ length: 3 }, () => processes.account())
      const commands = accounts.map(account => account.dfget(file.url))
      const { tasks } = await accounts[0].when(isReached)
      await processes.killSupernode()
      const before = startsOfSupernode().length
      await processes.restartSupernode()
      const outcomes = await Promise.all(commands.map(command => command.outcome))
      for (const [i, outcome] of outcomes.entries()) await assertComplete(accounts[i], outcome)
      // What a peer held by then had come from the supernode. What it asks for anew begins behind that.
      const starts = startsOfSupernode()
      assert.ok(starts.length > 0)
      for (const start of starts.slice(before)) assert.ok(start >= held(tasks), `${starts}`)
    })
  }

  it(
    'while nobody downloads: serves a new peer from its disk, and the origin sends no byte',
    TEST,
    async () => {
      const first = processes.account()
      await assertComplete(first, await first.dfget(file.url).outcome)
      await first.killPeer()
      await processes.killSupernode()
      await processes.restartSupernode()
      const sentBytes = file.bodyBytesSent
      const late = processes.account()
      const outcome = await late.dfget(file.url).outcome
      await assertComplete(late, outcome)
      assert.equal(outcome.bytes.supernode, LENGTH_BYTES)
      assert.equal(file.bodyBytesSent, sentBytes)
    },
  )
})

describe('a command that is killed', () => {
  it(
    'leaves no output; its peer stops the download, and the next command goes on with the pieces',
    TEST,
    async () => {
      const account = processes.account()
      const command = account.dfget(file.url)
      await account.when(tasks => held(tasks) >= LENGTH_BYTES / 2)
      await command.kill()
      await account.when(tasks => tasks.length === 0)
      assert.deepEqual(await filesBeside(account.output), [])
      const outcome = await account.dfget(file.url).outcome
      await assertComplete(account, outcome)
      assert.ok(outcome.bytes.local >= LENGTH_BYTES / 2)
      assert.ok(file.bodyBytesSent <= LENGTH_BYTES * 1.01)
    },
  )

  it('is no loss to another command that waits for the same download', TEST, async () => {
    const account = processes.account()
    const command = account.dfget(file.url)
    const other = account.dfget(file.url, { output: path.join(account.home, 'other') })
    await account.when(tasks => held(tasks) > 0)
    await command.kill()
    const { status, digest } = await other.outcome
    assert.deepEqual([status, digest], [0, await origin.contentSha256(file.path)])
    assert.deepEqual(await filesBeside(account.output), ['other'])
    assert.ok(file.bodyBytesSent <= LENGTH_BYTES * 1.01)
  })
})

describe('a resident peer that is killed when all is done', () => {
  it('has everything for the next one', TEST, async () => {
    const account = processes.account()
    await assertComplete(account, await account.dfget(file.url).outcome)
    await account.killPeer()
    const sentBytes = file.bodyBytesSent
    const outcome = await account.dfget(file.url).outcome
    await assertComplete(account, outcome)
    assert.equal(outcome.bytes.local, LENGTH_BYTES)
    assert.equal(file.bodyBytesSent, sentBytes)
  })
})
