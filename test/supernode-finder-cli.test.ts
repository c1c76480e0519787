import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { runCli } from './support/cli-run.ts'
import { type DfgetWorld, startDfgetWorld, stopDfgetWorld } from './support/dfget-world.ts'
import { located, type ScriptedManager, startScriptedManager } from './support/scripted-manager.ts'

/** What dfget is told about managing nodes, and by whom. */

const MIB = 1024 ** 2

describe('dfget with a managing node', () => {
  let world: DfgetWorld
  let manager: ScriptedManager
  let files = 0
  before(async () => {
    world = await startDfgetWorld()
  })
  after(() => stopDfgetWorld(world))
  beforeEach(async () => {
    manager = await startScriptedManager(() => ({ body: located([world.system.node]) }))
  })
  afterEach(() => manager.close())

  async function dfget(home: string, flags: string[], env: NodeJS.ProcessEnv = {}) {
    const file = world.origin.serve(`/file-${++files}`, { lengthBytes: MIB, seed: files })
    const output = path.join(world.system.directory, `out-${files}`)
    const common = [
      '-u',
      file.url,
      '-o',
      output,
      '--home',
      home,
      '--ip',
      '127.0.0.1',
      '--json',
      '--standalone',
    ]
    const { status, stderr, json } = await runCli('dfget', [...common, ...flags], {
      env: { PATH: process.env.PATH, ...env },
    })
    const { bytes } = json() as { bytes?: { supernode: number } }
    return { status, stderr, isFromSwarm: bytes?.supernode === MIB }
  }
  const WELL = { status: 0, stderr: '', isFromSwarm: true }

  it('is told of it by flag, environment and file, and later remembers what it said', async () => {
    const config = path.join(world.system.directory, 'dfget.yml')
    await writeFile(config, `managers: ["${manager.url}"]\n`)
    const dead = 'http://127.0.0.1:1'
    const ways: [string[], NodeJS.ProcessEnv][] = [
      [['--config=', '--manager', `${dead},${manager.url}`], {}],
      [['--config=', '--manager', dead, '--manager', manager.url.slice('http://'.length)], {}],
      [['--config='], { DFGET_MANAGERS: manager.url }],
      [['--config', config], {}],
    ]
    for (const [index, [flags, env]] of ways.entries()) {
      const home = await world.newDirectory('home')
      assert.deepEqual(await dfget(home, flags, env), WELL)
      assert.equal(manager.asked.length, index + 1)
      assert.deepEqual(await dfget(home, ['--config=']), WELL, 'without a word of either')
      assert.equal(manager.asked.length, index + 1)
    }
  })

  it('asks nobody where supernodes are named, and says so', async () => {
    const home = await world.newDirectory('home')
    const named = ['--config=', '--manager', manager.url, '--node', world.system.node]
    assert.deepEqual(await dfget(home, named), {
      ...WELL,
      stderr: 'dfget: warning: --manager is not asked: supernodes are named\n',
    })
    assert.deepEqual(
      await dfget(home, ['--config=', '--node', world.system.node], { DFGET_MANAGERS: manager.url }),
      WELL,
    )
    assert.equal(manager.asked.length, 0)
  })

  it('--pattern source asks nobody either', async () => {
    const home = await world.newDirectory('home')
    const source = ['--config=', '-p', 'source', '--quiet']
    const { status, isFromSwarm } = await dfget(home, source, { DFGET_MANAGERS: manager.url })
    assert.deepEqual([status, isFromSwarm, manager.asked.length], [0, false, 0])
  })

  it('fails with --notbs where nobody is to be had', async () => {
    const home = await world.newDirectory('home')
    const { status } = await dfget(home, ['--config=', '--notbs', '--tries', '1', '--manager', '127.0.0.1:1'])
    assert.equal(status, 40)
  })

  it('refuses what is no managing node, and does not repeat it', async () => {
    for (const wrong of ['http://me:hush@h:1', 'ftp://hush:1', 'http://h:1/hush', 'hush hush']) {
      const args = ['--config=', '--manager', wrong, '-u', 'http://h/f', '--json']
      const { status, stdout, stderr } = await runCli('dfget', args)
      assert.equal(status, 1)
      assert.doesNotMatch(stdout + stderr, /hush/)
    }
  })

  it('shows it among the settings', async () => {
    const args = ['--config=', '--print-config', '--manager', 'manager:8004,https://other']
    const { stdout } = await runCli('dfget', args)
    assert.match(stdout, /^managers: # flag\n {2}- http:\/\/manager:8004\n {2}- https:\/\/other\n/m)
  })
})
