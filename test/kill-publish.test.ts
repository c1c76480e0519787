import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { publish } from '../src/cli/publish.ts'
import { seededRandom } from '../src/core/random.ts'
import { startOriginServer } from './support/origin-server.ts'
import { startProcesses } from './support/processes.ts'

const MIB = 1024 ** 2
const random = seededRandom(77)

async function temporary(t: TestContext, parent: string): Promise<string> {
  const directory = await mkdtemp(path.join(parent, 'dragonfly-publish-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Publishes until a moment of chance. */
async function publishUntilKilled(output: string, files: readonly string[]): Promise<void> {
  const program = path.join(import.meta.dirname, 'support/publish-loop.ts')
  const child = spawn(process.execPath, [program, output, ...files], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  await delay(random.next() * 20)
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

describe('whoever is killed while it puts a file in place', () => {
  const places = [
    ['on the file system of the copy', os.tmpdir()],
    ['on another file system', '/dev/shm'],
  ]
  for (const [name, parent] of places) {
    it(`${name}: leaves the old content or the new, whole, and nothing beside it after the next run`, async t => {
      const files = await temporary(t, os.tmpdir())
      const outputs = await temporary(t, parent)
      const contents = [Buffer.alloc(3 * MIB, 'first'), Buffer.alloc(3 * MIB, 'second')]
      const copies = ['first', 'second'].map(each => path.join(files, each))
      await Promise.all(copies.map((copy, i) => writeFile(copy, contents[i])))
      const output = path.join(outputs, 'output')
      for (let round = 0; round < 20; round++) {
        await publishUntilKilled(output, copies)
        const found = await readFile(output)
        assert.ok(contents.some(content => content.equals(found)))
      }
      await publish(copies[0], output)
      assert.ok(contents[0].equals(await readFile(output)))
      assert.deepEqual(await readdir(outputs), ['output'])
    })
  }

  it('as a whole command, at any moment: the same, and the next run succeeds', {
    timeout: 60_000,
  }, async t => {
    const origin = await startOriginServer()
    t.after(() => origin.close())
    const processes = await startProcesses()
    t.after(() => processes.stop())
    const outputs = await temporary(t, '/dev/shm')
    const output = path.join(outputs, 'output')
    const account = processes.account()
    const files = [1, 2].map(seed => origin.serve(`/${seed}`, { lengthBytes: 3 * MIB + seed, seed }))
    const contents = files.map(({ path: at }) => origin.expectedBytes(at))
    await account.dfget(files[0].url, { output }).outcome
    for (let round = 0; round < 12; round++) {
      const command = account.dfget(files[(round + 1) % 2].url, { output })
      await Promise.race([command.outcome, delay(100 + random.next() * 200)])
      await command.kill()
      const found = await readFile(output)
      assert.ok(contents.some(content => Buffer.from(content).equals(found)))
    }
    const { status } = await account.dfget(files[1].url, { output }).outcome
    assert.equal(status, 0)
    assert.ok(Buffer.from(contents[1]).equals(await readFile(output)))
    assert.deepEqual(await readdir(outputs), ['output'])
  })
})
