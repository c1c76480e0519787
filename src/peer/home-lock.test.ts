import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { type Home, openHome } from './home.ts'
import { lockHome } from './home-lock.ts'

async function scratchHome(t: TestContext): Promise<Home> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'dragonfly-lock-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return openHome(directory)
}

describe('the lock of a home', () => {
  it('has one holder, and another after that one', async t => {
    const home = await scratchHome(t)
    const unlock = await lockHome(home)
    await assert.rejects(lockHome(home), { code: 'ADDRESS_IN_USE' })
    await unlock()
    await (await lockHome(home))()
  })

  it('goes to one of many that come at once', async t => {
    const home = await scratchHome(t)
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => lockHome(home)))
    const holders = outcomes.filter(outcome => outcome.status === 'fulfilled')
    assert.equal(holders.length, 1)
    await holders[0].value()
  })

  it('is of one home', async t => {
    const unlocks = [await lockHome(await scratchHome(t)), await lockHome(await scratchHome(t))]
    for (const unlock of unlocks) await unlock()
  })

  it('has a name that nobody else can read, and does without one that was lost', async t => {
    const home = await scratchHome(t)
    const file = path.join(home.root, 'meta', 'lock-name')
    for (const content of ['', 'short', '\n']) {
      writeFileSync(file, content)
      const unlock = await lockHome(home)
      assert.equal(statSync(file).size, 32)
      await assert.rejects(lockHome(home), { code: 'ADDRESS_IN_USE' })
      await unlock()
    }
    assert.equal(statSync(file).mode & 0o777, 0o600)
  })

  it('that cannot be had by anybody is no sign of another holder', async t => {
    const home = await scratchHome(t)
    mkdirSync(path.join(home.root, 'meta', 'lock-name'))
    await assert.rejects(lockHome(home), { code: 'HOME_UNUSABLE', message: /cannot be locked: EISDIR/ })
  })

  it('is free as soon as its holder is dead, killed or not', async t => {
    const home = await scratchHome(t)
    const module = (name: string) => JSON.stringify(path.join(import.meta.dirname, name))
    const script = `
      import { openHome } from ${module('home.ts')}
      import { lockHome } from ${module('home-lock.ts')}
      await lockHome(await openHome(${JSON.stringify(home.root)}))
      process.stdout.write('locked')`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 2],
    })
    await once(child.stdout!, 'data')
    await assert.rejects(lockHome(home), { code: 'ADDRESS_IN_USE' })
    child.kill('SIGKILL')
    await once(child, 'exit')
    await (await lockHome(home))()
  })
})
