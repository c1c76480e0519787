import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ConsumerReport } from '../src/swarm/task-swarm.ts'
import { Checkers } from './checkers.ts'
import type { Fault } from './faults.ts'
import type { SimPeer } from './peer.ts'
import { type Plan, scenarioOf } from './plan.ts'
import { World } from './world.ts'

const MIB = 1024 ** 2
const CHANGE: Fault = { kind: 'origin-change', at: 1 }

/** A small world that has run to its end, and somebody who looks at it afterwards. */
function finished(faults: readonly Fault[] = []) {
  const plan: Plan = { scenario: { peers: 8, lengthBytes: 4 * MIB, pieceLength: MIB }, faults, healAt: 0 }
  const world = new World(scenarioOf(plan))
  world.run()
  const checkers = new Checkers(world, plan)
  return { world, checkers, supernode: world.supernodes[0], peer: world.peers[0] }
}

type Scene = ReturnType<typeof finished>

const NONE: ConsumerReport = { done: [], failed: [], released: [], slow: [], fromOrigin: [] }

function damage({ peer }: Scene): void {
  peer.disk.write(0, 12345)
}

const RULES: Record<string, (scene: Scene) => void> = {
  'assigned twice': ({ checkers, supernode }) => {
    const twice = [{ consumer: 1, piece: 0, source: 0 }]
    checkers.onAssigned(supernode, 1, twice)
    checkers.onAssigned(supernode, 1, twice)
  },
  'slots exceeded': ({ checkers, supernode }) => {
    for (const consumer of [1, 2])
      checkers.onAssigned(supernode, consumer, [{ consumer, piece: 0, source: 3 }])
  },
  'window exceeded': ({ checkers, supernode }) => {
    const many = Array.from({ length: 25 }, (_, piece) => ({ consumer: 1, piece, source: 100 + piece }))
    checkers.onAssigned(supernode, 1, many)
  },
  'ended twice': ({ checkers, supernode }) => {
    checkers.onAssigned(supernode, 1, [{ consumer: 1, piece: 0, source: 0 }])
    const report = { ...NONE, released: [{ piece: 0, source: 0 }] }
    checkers.onReport(supernode, 1, report)
    checkers.onReport(supernode, 1, report)
  },
  'upload quota exceeded': ({ checkers }) => checkers.onUpload('p1', 99),
  'token of another generation accepted': ({ checkers, peer }) => checkers.onReceived(peer, 0, 7),
  'complete without every piece': ({ checkers, peer }) => {
    peer.disk.journal.delete(2)
    checkers.onFinished(peer)
  },
  'wrong file': scene => {
    damage(scene)
    scene.checkers.onFinished(scene.peer)
  },
  'bytes not accounted for': ({ checkers, peer }) => {
    peer.run!.machine.bytes.peers++
    checkers.onFinished(peer)
  },
  'unjustified DISK_FULL': ({ checkers, peer }) => checkers.onFailed(peer, 'DISK_FULL'),
  'wrong piece in a journal': scene => {
    damage(scene)
    scene.checkers.look()
  },
  'assignment without end': ({ checkers, supernode }) => {
    checkers.onAssigned(supernode, 1, [{ consumer: 1, piece: 0, source: 0 }])
    checkers.lookAtEnd()
  },
  'bytes not conserved': ({ checkers, peer }) => {
    peer.desk.sentBytes += 1000
    checkers.lookAtEnd()
  },
  'origin quota exceeded': ({ checkers, world }) => {
    world.origin.sentBytes.set('p1', 1)
    world.peers[0].down.carried += 1
    checkers.lookAtEnd()
  },
  'members left over': ({ checkers }) => checkers.lookAfter(),
  'slots left over': ({ checkers, supernode }) => {
    supernode.hosts.occupy(0)
    checkers.lookAfter()
  },
  'download without end': ({ checkers, world }) => {
    world.watch.onRestarted(world.peers[0] as SimPeer)
    checkers.onLate()
  },
}

describe('checkers', () => {
  test('find nothing in a world where nothing is wrong', () => {
    const { checkers, world } = finished()
    for (const peer of world.peers) checkers.onFinished(peer)
    checkers.lookAtEnd()
    assert.deepEqual(checkers.violations, [])
  })

  for (const [rule, breakIt] of Object.entries(RULES)) {
    test(`find: ${rule}`, () => {
      const scene = finished()
      breakIt(scene)
      const rules = scene.checkers.violations.map(violation => violation.rule)
      assert.ok(rules.includes(rule), rules.join(', '))
    })
  }

  test('excuse a slot that is given again when the clock has jumped', () => {
    const { checkers, supernode, world } = finished()
    checkers.onAssigned(supernode, 1, [{ consumer: 1, piece: 0, source: 3 }])
    supernode.clock.jump(20)
    world.queue.after(1, () => {})
    world.queue.step()
    checkers.onAssigned(supernode, 2, [{ consumer: 2, piece: 0, source: 3 }])
    assert.deepEqual(checkers.violations, [])
  })

  test('excuse the end of an assignment that crossed an announce', () => {
    const { checkers, supernode } = finished()
    const pieces = [{ piece: 0, source: 0 }]
    checkers.onAssigned(supernode, 1, [{ consumer: 1, ...pieces[0] }])
    checkers.onJoined(supernode, 1)
    checkers.onReport(supernode, 1, { ...NONE, released: pieces })
    assert.deepEqual(checkers.violations, [])
  })

  test('excuse a failure that a fault is to blame for', () => {
    const { checkers, peer } = finished([CHANGE])
    checkers.onFailed(peer, 'ORIGIN_CHANGED')
    assert.deepEqual(checkers.violations, [])
    checkers.onFailed(peer, 'ORIGIN_NOT_FOUND')
    checkers.onFailed(peer, 'DISK_ERROR')
    assert.deepEqual(
      checkers.violations.map(({ rule }) => rule),
      ['unjustified ORIGIN_NOT_FOUND', 'unjustified DISK_ERROR'],
    )
  })
})
