import assert from 'node:assert/strict'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { runCli } from './support/cli-run.ts'
import { startDfgetWorld, stopDfgetWorld } from './support/dfget-world.ts'

/** Where pieces may come from, and what happens where they must not come from the origin. */

const MIB = 1024 ** 2
const LENGTH_BYTES = 20 * MIB
/** One that nobody listens on. */
const DEAD = '127.0.0.1:1'

const world = await startDfgetWorld()
const { origin, system, home } = world
after(() => stopDfgetWorld(world))

describe('where pieces may come from', () => {
  it('cdn: from the supernode alone, and nothing is given to others', async () => {
    const file = origin.serve('/cdn', { lengthBytes: LENGTH_BYTES })
    const [sharing, shy, third] = [
      await system.startPeer(),
      await system.startPeer(),
      await system.startPeer(),
    ]
    await system.download(sharing, file.url)
    const { bytes } = await system.download(shy, file.url, { pattern: 'cdn' })
    assert.deepEqual(bytes, { origin: 0, supernode: LENGTH_BYTES, peers: 0, local: 0 })
    await system.download(third, file.url)
    assert.equal(shy.sentBytes, 0)
    assert.ok(sharing.sentBytes > 0)
  })

  const dfget = async (url: string, ...flags: string[]) => {
    const output = path.join(system.directory, `out-${flags.join('')}`)
    const common = ['--home', home, '--ip', '127.0.0.1', '--config=', '--json']
    const { status, json } = await runCli('dfget', ['-u', url, '-o', output, ...common, ...flags])
    return { status, ...(json() as { code?: string; bytes?: object }) }
  }

  it('--pattern source: from the origin, whatever supernodes there are', async () => {
    const file = origin.serve('/source', { lengthBytes: MIB })
    const { status, bytes } = await dfget(file.url, '-p', 'source', '--node', system.node)
    assert.equal(status, 0)
    assert.deepEqual(bytes, { origin: MIB, supernode: 0, peers: 0, local: 0 })
    assert.equal(file.requests.length, 1)
  })

  it('--notbs: without a supernode there is nothing, and the origin is not even asked', async () => {
    const file = origin.serve('/notbs', { lengthBytes: MIB })
    const { status, code } = await dfget(file.url, '--notbs', '--node', DEAD)
    assert.deepEqual([status, code], [40, 'SUPERNODE_UNREACHABLE'])
    assert.equal(file.requests.length, 0)
    const withSupernode = await dfget(file.url, '--notbs', '--node', system.node)
    assert.equal(withSupernode.status, 0)
  })

  it('--pattern source with --notbs is a contradiction', async () => {
    const { status, code } = await dfget(`${origin.url}/any`, '-p', 'source', '--notbs')
    assert.deepEqual([status, code], [1, 'USAGE'])
  })
})
