import assert from 'node:assert/strict'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { announcement, ControlPeer } from '../../test/support/control-peer.ts'
import { type GuardedOrigin, startGuardedOrigin } from '../../test/support/guarded-origin.ts'
import { claimOfAll } from '../../test/support/lying-peer.ts'
import { MovedClock } from '../../test/support/moved-clock.ts'
import { startSystem, type TestSystem } from '../../test/support/system.ts'
import type { PeerMessages } from '../wire/control.ts'

const MIB = 1024 * 1024
const SWEEP_MS = 60_000

describe('a peer that announces while the origin takes its time', () => {
  let origin: GuardedOrigin
  let system: TestSystem
  let clock: MovedClock
  let gate: PromiseWithResolvers<void>
  let message: PeerMessages['announce']
  beforeEach(async () => {
    gate = Promise.withResolvers()
    clock = new MovedClock()
    origin = await startGuardedOrigin({
      lengthBytes: 2 * MIB,
      judge: async request => {
        await gate.promise
        return request.url === '/gone' ? { to: 'refusal', status: 404 } : { to: 'content' }
      },
    })
    system = await startSystem({ clock })
    message = announcement({ url: `${origin.url}/file` })
  })
  afterEach(async () => {
    gate.resolve()
    ControlPeer.endAll()
    await system.stop()
    await origin.close()
  })

  const answersTo = (peer: ControlPeer, { taskId }: PeerMessages['announce']) =>
    peer.received.filter(said => (said.type === 'layout' || said.type === 'error') && said.taskId === taskId)
  /** The supernode has read all that was sent before. */
  const isHeard = async ({ socket }: ControlPeer) => {
    socket.ping()
    await once(socket, 'pong')
  }
  const status = async () => (await (await fetch(`http://${system.node}/`)).json()) as Record<string, number>
  const leaving = ({ taskId }: PeerMessages['announce']) => ({ type: 'leave', taskId }) as const

  it('and leaves, is not let in', async () => {
    const peer = await ControlPeer.greeted(system.node)
    peer.send(message).send(leaving(message))
    await isHeard(peer)
    gate.resolve()
    const other = await ControlPeer.greeted(system.node)
    await other.announce(message)
    assert.equal(system.supernode.consumerCount, 1)
    await isHeard(peer)
    assert.equal(answersTo(peer, message).length, 0)
  })

  it('and leaves with everything, is not let in, and the task is let go', async () => {
    gate.resolve()
    const peer = await ControlPeer.greeted(system.node)
    const claim = await claimOfAll(peer, { url: message.url })
    await system.restartSupernode({ homeDir: `${system.directory}/another` })
    gate = Promise.withResolvers()
    const holder = await ControlPeer.greeted(system.node)
    holder.send(claim).send(leaving(claim))
    await isHeard(holder)
    gate.resolve()
    const other = await ControlPeer.greeted(system.node)
    await other.announce(claim)
    other.send(leaving(claim))
    await isHeard(other)
    for (let i = 0; i < 2; i++) clock.moveOn(SWEEP_MS)
    assert.equal((await status()).tasks, 0)
    assert.equal(answersTo(holder, claim).length, 0)
  })

  it('and leaves and announces again, is let in once', async () => {
    const peer = await ControlPeer.greeted(system.node)
    peer.send(message).send(leaving(message)).send(message)
    await isHeard(peer)
    gate.resolve()
    await (await ControlPeer.greeted(system.node)).announce(message)
    await isHeard(peer)
    assert.equal(answersTo(peer, message).length, 1)
    assert.equal(system.supernode.consumerCount, 2)
  })

  it('and leaves, does not hear what went wrong', async () => {
    const gone = announcement({ url: `${origin.url}/gone` })
    const peer = await ControlPeer.greeted(system.node)
    peer.send(gone).send(leaving(gone))
    await isHeard(peer)
    gate.resolve()
    const said = await (await ControlPeer.greeted(system.node)).announce(gone)
    assert.equal(said.type, 'error')
    await isHeard(peer)
    assert.equal(answersTo(peer, gone).length, 0)
  })

  it('and whose channel closes, is not let in', async () => {
    const peer = await ControlPeer.greeted(system.node)
    peer.send(message)
    await isHeard(peer)
    peer.socket.close()
    while ((await status()).peers > 0) await new Promise(setImmediate)
    gate.resolve()
    await (await ControlPeer.greeted(system.node)).announce(message)
    assert.equal(system.supernode.consumerCount, 1)
  })
})
