import assert from 'node:assert/strict'
import { after, afterEach, beforeEach, describe, it } from 'node:test'
import { taskIdFor } from '../../test/support/control-peer.ts'
import { type KeptLog, keptLog } from '../../test/support/kept-log.ts'
import {
  greet,
  type ScriptedSupernode,
  startScriptedSupernode,
} from '../../test/support/scripted-supernode.ts'
import { type HostPort, parseHostPort } from '../core/host-port.ts'
import { seededRandom } from '../core/random.ts'
import { systemClock } from '../ops/system-clock.ts'
import type { SupernodeSearch } from './supernode-finder.ts'
import { SupernodePool } from './supernode-pool.ts'
import type { TaskLink, TaskLinkHandler } from './task-link.ts'

const REQUEST = {
  taskId: taskIdFor({ url: 'http://origin.test/a' }),
  url: 'http://origin.test/a',
  headers: [],
}
const OTHER = { ...REQUEST, taskId: taskIdFor({ url: 'http://origin.test/b' }) }
const AS_BOB = { ...REQUEST, headers: [['Authorization', 'bob']] as [string, string][] }
const named = (nodes: readonly HostPort[]): SupernodeSearch => {
  const first = async () => nodes
  return { first, known: first, again: async () => [] }
}
const DEAD: HostPort = { host: '127.0.0.1', port: 1 }

describe('links to supernodes', () => {
  let pool: SupernodePool
  let log: KeptLog
  const started: ScriptedSupernode[] = []
  const start = async (...args: Parameters<typeof startScriptedSupernode>) => {
    const supernode = await startScriptedSupernode(...args)
    started.push(supernode)
    return { supernode, address: parseHostPort(supernode.node, 0) }
  }
  beforeEach(() => {
    log = keptLog()
    const identity = { peerId: 'me', hostName: 'here', address: '', port: 1, uploadSlots: 1, zone: null }
    pool = new SupernodePool({ identity, clock: systemClock, random: seededRandom(1), log })
  })
  afterEach(() => pool.close())
  after(() => Promise.all(started.map(supernode => supernode.close())))

  const warnings = () => log.lines.filter(line => line.level === 'warn')

  /** What the link said to its handler, and a wait for it to say something so many times. */
  function listen(link: (handler: TaskLinkHandler) => TaskLink) {
    const said: string[] = []
    let look = () => {}
    const note = (what: string) => () => {
      said.push(what)
      look()
    }
    const handler: TaskLinkHandler = {
      onReady: note('ready'),
      onLost: note('lost'),
      onUnavailable: note('unavailable'),
      onLayout: note('layout'),
      onDigests: note('digests'),
      onAssigned: note('assigned'),
      onRevoked: note('revoked'),
      onStatus: note('status'),
      onError: (code, message) => note(`${code}: ${message}`)(),
    }
    const count = (what: string) => said.filter(entry => entry === what).length
    const heard = (what: string, times = 1) =>
      new Promise<void>(resolve => {
        look = () => {
          if (count(what) >= times) resolve()
        }
        look()
      })
    return { link: link(handler), said, heard }
  }

  it('take the first supernode of the list that answers', async () => {
    const { supernode, address } = await start()
    const { heard, link, said } = listen(handler => pool.link(named([DEAD, address]), REQUEST, handler))
    await heard('ready')
    assert.deepEqual(said, ['ready'])
    assert.equal(link.numbersOf('127.0.0.1:9').length, 1)
    assert.equal(supernode.channels.length, 1)
    assert.deepEqual(
      warnings().map(line => [line.message, (line.facts as { code: string }).code]),
      [['supernode not reached', 'SUPERNODE_UNREACHABLE']],
    )
  })

  it('move to the next one when theirs is lost, and still know the sources of the first', async () => {
    const first = await start()
    const second = await start((message, say) => {
      if (message.type === 'hello')
        say({ type: 'welcome', version: 1, supernodeId: 'b', address: '127.0.0.2:9' })
    })
    const { heard, link } = listen(handler =>
      pool.link(named([first.address, second.address]), REQUEST, handler),
    )
    await heard('ready')
    await first.supernode.close()
    await heard('ready', 2)
    assert.equal(second.supernode.channels.length, 1)
    assert.deepEqual(link.numbersOf('127.0.0.1:9'), [])
    assert.deepEqual(link.addressOf('127.0.0.1:9'), { host: '127.0.0.1', port: 9 })
  })

  it('say that there is none, and go on trying', async () => {
    const { heard, said } = listen(handler => pool.link(named([DEAD]), REQUEST, handler))
    await heard('unavailable', 2)
    assert.deepEqual(new Set(said), new Set(['unavailable']))
  })

  it('do not hammer a supernode that lets them in and throws them out', async () => {
    const { supernode, address } = await start((message, say) => {
      greet(message, say)
      say({ type: 'error', taskId: '', code: 'SUPERNODE_OVERLOADED', message: 'go away' })
    })
    const startedAt = performance.now()
    const { heard } = listen(handler => pool.link(named([address]), REQUEST, handler))
    await heard('lost', 3)
    assert.ok(performance.now() - startedAt > 250, 'pauses of at least 100 and 200 ms')
    assert.equal(supernode.channels.length, 3)
    assert.ok(warnings().every(line => line.message === 'channel refused'))
  })

  it('share a channel, say that they leave, and close it behind the last', async () => {
    const { supernode, address } = await start()
    const a = listen(handler => pool.link(named([address]), REQUEST, handler))
    const b = listen(handler => pool.link(named([address]), OTHER, handler))
    await Promise.all([a.heard('ready'), b.heard('ready')])
    assert.equal(supernode.channels.length, 1)
    const [{ heard, socket }] = supernode.channels
    a.link.close()
    await supernode.when(() => heard.length === 2)
    assert.equal(socket.readyState, socket.OPEN)
    b.link.close()
    b.link.close()
    await supernode.when(() => socket.readyState === socket.CLOSED)
    assert.deepEqual(
      heard.slice(1).map(message => message.type === 'leave' && message.taskId),
      [REQUEST.taskId, OTHER.taskId],
    )
    assert.deepEqual([a.said, b.said], [['ready'], ['ready']])
  })

  it('close the channel that was still being opened for them', async () => {
    const { supernode, address } = await start(() => {})
    const { link, said } = listen(handler => pool.link(named([address]), REQUEST, handler))
    await supernode.when(({ channels }) => channels[0]?.heard.length === 1)
    link.close()
    await supernode.when(({ channels }) => channels[0]?.socket.readyState === 3)
    assert.deepEqual(said, [])
  })

  it('hear nothing that was said to a run for another caller, not even later', async () => {
    const { supernode, address } = await start()
    const keeper = listen(handler => pool.link(named([address]), OTHER, handler))
    const ann = listen(handler => pool.link(named([address]), REQUEST, handler))
    await Promise.all([keeper.heard('ready'), ann.heard('ready')])
    const bob = listen(handler => pool.link(named([address]), AS_BOB, handler))
    await bob.heard('ready')
    assert.equal(supernode.channels.length, 2)
    bob.link.close()
    ann.link.close()
    const late = listen(handler => pool.link(named([address]), AS_BOB, handler))
    await late.heard('ready')
    assert.equal(supernode.channels.length, 3, 'not the one on which ann may still be answered')
    const again = listen(handler => pool.link(named([address]), REQUEST, handler))
    await again.heard('ready')
    assert.equal(supernode.channels.length, 3)
  })

  it('end at once with the pool, whatever they wait for', async () => {
    const silent = await start(() => {})
    const waiting = listen(handler => pool.link(named([silent.address]), REQUEST, handler))
    const backing = listen(handler => pool.link(named([DEAD]), OTHER, handler))
    await silent.supernode.when(({ channels }) => channels[0]?.heard.length === 1)
    pool.close()
    await silent.supernode.when(({ channels }) => channels[0].socket.readyState === 3)
    const after = listen(handler => pool.link(named([silent.address]), REQUEST, handler))
    assert.deepEqual([waiting.said, after.said], [[], []])
    assert.ok(backing.said.every(entry => entry === 'unavailable'))
    assert.equal(silent.supernode.channels.length, 1)
  })
})
