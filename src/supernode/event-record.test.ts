import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { TaskId } from '../core/task-id.ts'
import { silentLog } from '../ops/log.ts'
import { systemClock } from '../ops/system-clock.ts'
import { EventRecord } from './event-record.ts'

const TASK = 'a'.repeat(64) as TaskId

let directory: string
before(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-record-'))
})
after(() => rm(directory, { recursive: true }))

async function openRecord(name: string, limits: { bytesMax?: number; waitingBytesMax?: number } = {}) {
  const warnings: object[] = []
  const file = path.join(directory, name)
  const record = await EventRecord.open({
    file,
    clock: systemClock,
    log: { ...silentLog, warn: facts => warnings.push(facts) },
    bytesMax: 1e6,
    waitingBytesMax: 1e6,
    seedSlots: 8,
    window: 4,
    ...limits,
  })
  return { record, warnings, read: async () => (await readFile(file, 'utf8')).trimEnd().split('\n') }
}

describe('a recording', () => {
  it('has what was written when it is closed, in order', async () => {
    const { record, read, warnings } = await openRecord('whole')
    const trace = record.beginSwarm(TASK, { lengthBytes: 100, pieceLength: 10 })
    for (let host = 1; host <= 500; host++) trace.left(host)
    await record.close()
    const events = (await read()).map(line => JSON.parse(line))
    assert.deepEqual(
      events.slice(0, 2).map(({ e }) => e),
      ['start', 'swarm'],
    )
    assert.deepEqual(
      events.slice(2).map(({ host }) => host),
      Array.from({ length: 500 }, (_, i) => i + 1),
    )
    assert.deepEqual(warnings, [])
  })

  it('stops at its limit with one warning, and never with half a line', async () => {
    const { record, read, warnings } = await openRecord('limited', { bytesMax: 500 })
    const trace = record.beginSwarm(TASK, { lengthBytes: 100, pieceLength: 10 })
    for (let host = 1; host <= 100; host++) trace.left(host)
    await record.close()
    const lines = await read()
    for (const line of lines) JSON.parse(line)
    assert.ok(lines.length > 3 && lines.join('\n').length <= 500)
    assert.equal(warnings.length, 1)
  })

  it('what it had before counts towards the limit', async () => {
    const first = await openRecord('again')
    first.record.beginSwarm(TASK, { lengthBytes: 100, pieceLength: 10 })
    await first.record.close()
    const again = await openRecord('again', { bytesMax: 200 })
    await again.record.close()
    assert.equal(again.warnings.length, 1)
    assert.deepEqual((await again.read()).length, 2)
  })

  it('stops where the disk is too slow, and does not fill the memory', async () => {
    const { record, read, warnings } = await openRecord('slow', { waitingBytesMax: 1_000 })
    const trace = record.beginSwarm(TASK, { lengthBytes: 100, pieceLength: 10 })
    for (let host = 1; host <= 1_000; host++) trace.left(host)
    await record.close()
    assert.ok((await read()).join('\n').length <= 1_000)
    assert.equal(warnings.length, 1)
  })
})
