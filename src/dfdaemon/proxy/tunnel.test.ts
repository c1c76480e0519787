import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { MovedClock } from '../../../test/support/moved-clock.ts'
import { Destinations } from '../destination.ts'
import { dial, join } from './tunnel.ts'

const OWN_PORT = 65_001

describe('a dialled connection', () => {
  const options = { proxies: null, signal: new AbortController().signal }

  test('that is not there after ten seconds is given up', async () => {
    const clock = new MovedClock()
    const destinations = new Destinations(
      () => OWN_PORT,
      () => process.nextTick(() => clock.moveOn(10_000)),
    )
    const dialled = dial({ host: 'slow.example', port: OWN_PORT }, { ...options, clock, destinations })
    await assert.rejects(dialled, { failure: 'timeout' })
    assert.equal(clock.timerCount, 0)
  })

  test('does not lead to the daemon, even where its name has come to mean it since it was checked', async () => {
    const answers = ['192.0.2.1', '127.0.0.1']
    const destinations = new Destinations(
      () => OWN_PORT,
      (_name, { all }, callback) => {
        const address = answers.shift()!
        process.nextTick(() => (all ? callback(null, [{ address, family: 4 }]) : callback(null, address, 4)))
      },
    )
    const to = { host: 'rebound.example', port: OWN_PORT }
    await destinations.checkName(to)
    const dialled = dial(to, { ...options, clock: new MovedClock(), destinations })
    await assert.rejects(dialled, { code: 'ORIGIN_LOOP' })
    assert.deepEqual(answers, [])
  })

  test('is given up when nobody wants it any more', async () => {
    const gone = new AbortController()
    const destinations = new Destinations(
      () => OWN_PORT,
      () => gone.abort(),
    )
    const to = { host: 'slow.example', port: OWN_PORT }
    const dialled = dial(to, { ...options, clock: new MovedClock(), destinations, signal: gone.signal })
    await assert.rejects(dialled, { failure: 'closed' })
  })
})

describe('two joined sockets', () => {
  const server = createServer({ allowHalfOpen: true })
  before(async () => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  after(() => server.close())

  /** Both ends of one connection. */
  async function pair(): Promise<[Socket, Socket]> {
    const accepted = once(server, 'connection')
    const one = connect((server.address() as AddressInfo).port, '127.0.0.1')
    const [other] = await accepted
    return [one, other]
  }

  test('read no more from one side than the other takes', async () => {
    const [[client, near], [far, consumer]] = [await pair(), await pair()]
    const clock = new MovedClock()
    join(near, far, clock)
    const total = 64 * 1024 * 1024
    const paused = once(near, 'pause')
    client.end(Buffer.alloc(total))
    await paused
    assert.ok(far.writableNeedDrain)
    assert.ok(near.bytesRead < total)
    let taken = 0
    for await (const chunk of consumer) taken += chunk.length
    assert.equal(taken, total)
    consumer.end()
    await once(client.resume(), 'close')
    assert.equal(clock.timerCount, 0)
  })
})
