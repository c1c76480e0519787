import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { after, beforeEach, describe, it } from 'node:test'
import { ask, bytesOf, type Got, registryAt, startDfdaemonWorld } from './support/dfdaemon-world.ts'

/** Questions for manifests and tokens that many ask at once: which of them are one, and how many run. */

const world = await startDfdaemonWorld()
const { daemon, registry } = world
after(() => world.stop())

beforeEach(() => {
  registry.intercept = null
})

const DIGEST = `sha256:${'a'.repeat(64)}`

async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
}

describe('questions that many ask', () => {
  /** Answers wait until the test lets them go. */
  function holdAnswers(): ServerResponse[] {
    const held: ServerResponse[] = []
    registry.intercept = (_, response) => {
      held.push(response)
      return true
    }
    return held
  }

  async function untilHeld(held: ServerResponse[], count: number): Promise<void> {
    while (held.length < count) await settled()
    await settled()
  }

  const token = '/token?service=fake&scope=repository:app:pull'
  for (const [what, path] of [
    ['manifests', '/v2/app/manifests/latest'],
    ['tokens', token],
    ['tokens by proxy', registry.url + token],
  ]) {
    it(`are one question where they show the same: ${what}`, async () => {
      const held = holdAnswers()
      const authorization = { Authorization: 'Basic dTpw' }
      const asked = Array.from({ length: 10 }, () => ask(daemon.port, path, { headers: authorization }))
      const others = ask(daemon.port, path, { headers: { Authorization: 'Basic eDp5' } })
      await untilHeld(held, 2)
      assert.equal(held.length, 2)
      for (const response of held) {
        const [, , ...who] = response.req.headers.authorization!
        response.writeHead(200, { 'Docker-Content-Digest': DIGEST }).end(who.join(''))
      }
      for (const got of await Promise.all(asked)) {
        assert.equal(got.status, 200)
        assert.equal(got.headers['docker-content-digest'], DIGEST)
        assert.equal(got.body.toString(), 'sic dTpw')
      }
      assert.equal((await others).body.toString(), 'sic eDp5')
    })
  }

  it('go on when the first who asked has left, and end when all have', async () => {
    const held = holdAnswers()
    const first = ask(daemon.port, '/v2/app/manifests/left', {
      onRequest: request => request.once('finish', () => leave.push(() => request.destroy())),
    })
    const leave: (() => void)[] = []
    await untilHeld(held, 1)
    const second = ask(daemon.port, '/v2/app/manifests/left', {
      onRequest: request => request.once('finish', () => leave.push(() => request.destroy())),
    })
    while (leave.length < 2) await settled()
    await settled()
    leave[0]()
    await assert.rejects(first)
    await settled()
    assert.equal(held[0].destroyed, false)
    const closed = new Promise(resolve => held[0].once('close', resolve))
    leave[1]()
    await assert.rejects(second)
    await closed
    assert.equal(held.length, 1)
  })

  it('are sixteen at a time for one registry, where they differ', async () => {
    const held = holdAnswers()
    const asked = Array.from({ length: 20 }, (_, index) => ask(daemon.port, `/v2/app/manifests/${index}`))
    await untilHeld(held, 16)
    assert.equal(held.length, 16)
    for (let index = 0; index < 20; index++) {
      await untilHeld(held, index + 1)
      held[index].writeHead(200, { 'content-length': 1 }).end('m')
    }
    for (const got of await Promise.all(asked)) assert.equal(got.body.toString(), 'm')
  })

  it('are refused with a time to come back where more than a thousand wait already', async () => {
    const held = holdAnswers()
    const { daemon: wide, stop } = await startDfdaemonWorld(() => ({
      mirror: { usual: registryAt(registry.url), registries: new Map() },
    }))
    const refused: Got[] = []
    const tenth = Promise.withResolvers<void>()
    const asked = Array.from({ length: 16 + 1024 + 10 }, async (_, index) => {
      refused.push(await ask(wide.port, `/v2/app/manifests/${index}`))
      if (refused.length === 10) tenth.resolve()
    })
    await tenth.promise
    await settled()
    assert.equal(refused.length, 10)
    assert.equal(held.length, 16)
    for (const { status, headers, body } of refused) {
      assert.equal(status, 503)
      assert.equal(headers['retry-after'], '1')
      assert.equal(JSON.parse(body.toString()).errors[0].code, 'TOOMANYREQUESTS')
    }
    await Promise.all([stop(), Promise.allSettled(asked)])
  })

  it('pass through for each where the answer is large', async () => {
    const large = bytesOf(5 * 1024 * 1024)
    registry.intercept = (_, response) => {
      response.writeHead(200).end(large)
      return true
    }
    const both = await Promise.all([1, 2].map(() => ask(daemon.port, '/v2/app/manifests/large')))
    for (const got of both) assert.ok(got.body.equals(large))
  })
})
