import assert from 'node:assert/strict'
import { appendFile, mkdtemp, open, rename, rm, truncate, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { keptLog } from '../../../test/support/kept-log.ts'
import { MovedClock } from '../../../test/support/moved-clock.ts'
import { openFileArmory } from './file-armory.ts'

const NOWHERE = { securityDomain: null, idc: null, location: null, rack: null }

async function setup(t: TestContext, text = 'cidr,idc\n10.0.0.0/8,one\n', name = 'armory.csv') {
  const [clock, log] = [new MovedClock(), keptLog()]
  const folder = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-armory-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = path.join(folder, name)
  await writeFile(file, text)
  const openIt = async () => {
    const armory = await openFileArmory({ file, defaultPlace: NOWHERE, clock, log })
    t.after(() => armory.close())
    const idc = async () => (await armory.where({ hostName: '', addresses: ['10.0.0.1'] })).place.idc
    return { armory, idc }
  }
  const errors = () => log.lines.filter(({ level }) => level === 'error')
  return { clock, log, folder, file, openIt, errors }
}

async function until(clock: MovedClock, isSo: () => unknown): Promise<void> {
  const giveUpMs = performance.now() + 20_000
  while (!(await isSo())) {
    assert.ok(performance.now() < giveUpMs, 'it comes to be so')
    clock.moveOn(200)
    await new Promise(resolve => setImmediate(resolve))
  }
}

test('a bad file at the start is an error that names file and line', async t => {
  const { openIt, file } = await setup(t, 'cidr,idc\n10.0.0.0/8,one\n10.0.0.0/8,two\n10.0.0.1/8,three\n')
  await assert.rejects(openIt(), {
    code: 'CONFIG_INVALID',
    message:
      `the armory file ${file} is not valid: line 3: 10.0.0.0/8 has another place in line 2; ` +
      'line 4: "10.0.0.1/8" has bits set behind its prefix; write 10.0.0.0/8, or a longer prefix',
  })
  await rm(file)
  await assert.rejects(openIt(), { code: 'CONFIG_INVALID', message: /cannot be read: ENOENT/ })
  await writeFile(file, Buffer.from([0x63, 0xff, 0xfe]))
  await assert.rejects(openIt(), { code: 'CONFIG_INVALID', message: /it is not UTF-8/ })
  await truncate(file, 256 * 1024 ** 2 + 1)
  await assert.rejects(openIt(), { code: 'CONFIG_INVALID', message: /more than 268435456 bytes/ })
})

test('files that are written over, replaced, removed and made anew are noticed', async t => {
  const { openIt, file, clock, errors } = await setup(t)
  const { idc } = await openIt()
  assert.equal(await idc(), 'one')
  await writeFile(file, 'cidr,idc\n10.0.0.0/8,two\n')
  await until(clock, async () => (await idc()) === 'two')
  await writeFile(`${file}~`, 'cidr,idc\n10.0.0.0/8,six\n')
  await rename(`${file}~`, file)
  await until(clock, async () => (await idc()) === 'six')
  await rm(file)
  await until(clock, () => errors().length === 1)
  assert.equal(await idc(), 'six')
  await writeFile(file, 'cidr,idc\n10.0.0.0/8,ten\n')
  await until(clock, async () => (await idc()) === 'ten')
  assert.equal(errors().length, 1)
})

test('each bad state is complained about once, and a good one after it is taken over', async t => {
  const { openIt, file, clock, errors } = await setup(t)
  const { idc } = await openIt()
  for (const [index, text] of ['', 'cidr,idc\nnonsense,two\n', 'cidr,idc\n10.0.0.0/8\n'].entries()) {
    await writeFile(file, text)
    await until(clock, () => errors().length === index + 1)
    for (let round = 0; round < 20; round++) {
      clock.moveOn(2_000)
      await new Promise(resolve => setImmediate(resolve))
    }
    assert.equal(errors().length, index + 1)
    assert.equal(await idc(), 'one')
  }
  assert.match(JSON.stringify(errors()[1]), /line 2: .{0,4}nonsense.{0,4} is not a CIDR block/)
  await writeFile(file, 'cidr,idc\n10.0.0.0/8,two\n')
  await until(clock, async () => (await idc()) === 'two')
})

test('a file is not read while it is being written', async t => {
  const { openIt, file, clock, log } = await setup(t)
  const { idc } = await openIt()
  const loads = () => log.lines.filter(({ message }) => message === 'armory file loaded').length
  const handle = await open(file, 'w')
  await handle.write('cidr,idc\n')
  // Each look sees another size, whether the system told it of the change or not.
  for (let index = 0; index < 20; index++) {
    clock.moveOn(50)
    for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
    await appendFile(file, `10.0.${index}.0/24,two\n`)
    assert.equal(await idc(), 'one')
  }
  await handle.close()
  await until(clock, async () => (await idc()) === 'two')
  assert.equal(loads(), 2)
})

test('a folder in which much goes on does not put off the look at the file', async t => {
  const { openIt, file, folder, clock } = await setup(t)
  const { idc } = await openIt()
  await writeFile(file, 'cidr,idc\n10.0.0.0/8,two\n')
  const giveUpMs = performance.now() + 20_000
  while ((await idc()) !== 'two') {
    assert.ok(performance.now() < giveUpMs)
    await writeFile(path.join(folder, 'other'), '')
    clock.moveOn(10)
  }
})
