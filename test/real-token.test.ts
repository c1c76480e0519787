import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { obstacleTo } from './support/programs.ts'
import { type Registry, startRegistry } from './support/registry.ts'
import { makeImage, makeLayer, uniqueBytes } from './support/registry-images.ts'
import { obstacleToPull, type Runtime, type RuntimePlace, removeWithAll } from './support/runtime-client.ts'
import { startThreeHosts } from './support/runtime-hosts.ts'
import { CONTAINERD, PODMAN, SKOPEO } from './support/runtime-table.ts'
import { startTokenServer, type TokenServer, userOf } from './support/token-server.ts'

const MIB = 1024 ** 2
const TEST = { timeout: 60_000 }
const ALLOWED = 'alice:a-password-of-alice'
const OTHER = 'bob:a-password-of-bob'
/** Whom the registry gives manifest and configuration, and forbids the layer. */
const FORBIDDEN = 'carol:a-password-of-carol'

const image = makeImage([makeLayer('private-1', MIB), makeLayer('private-2', MIB)])
const harmless = makeImage([makeLayer('harmless', 1024)])
const LAYER = image.own.layers[0].digest

describe('a registry that asks for tokens', { skip: obstacleTo(['docker-registry']) }, () => {
  let directory: string
  let tokens: TokenServer
  let registry: Registry
  let world: Awaited<ReturnType<typeof startThreeHosts>>

  before(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-real-'))
    const [alice, bob, carol] = [ALLOWED, OTHER, FORBIDDEN].map(user => user.split(':'))
    tokens = await startTokenServer([
      { name: alice[0], password: alice[1], repositories: ['lib/private'] },
      { name: bob[0], password: bob[1], repositories: ['lib/harmless'] },
      { name: carol[0], password: carol[1], repositories: ['lib/private'] },
    ])
    registry = await startRegistry(path.join(directory, 'registry'), tokens)
    registry.relay.forbid(LAYER, authorization => userOf(authorization) === carol[0])
    world = await startThreeHosts(registry.address)
    await registry.push('lib/private', '1', image)
    await registry.push('lib/harmless', '1', harmless)
  })
  after(async () => {
    await world?.stop()
    await registry?.stop()
    await tokens?.stop()
    await removeWithAll(directory)
  })

  function placeOn(number: 0 | 1): RuntimePlace {
    const { mirror, ip } = world.hosts[number]
    return { registry: registry.address, mirror, directory: path.join(directory, ip) }
  }

  async function bothAnswers(repository: string, { method = 'GET', token = '' }) {
    const headers: Record<string, string> = token === '' ? {} : { authorization: `Bearer ${token}` }
    const target = `/v2/${repository}/blobs/${LAYER}`
    const answers = [registry.address, world.hosts[0].mirror].map(async address => {
      const answer = await fetch(`http://${address}${target}`, { method, headers })
      const { status, headers: fields } = answer
      const told = ['www-authenticate', 'content-type', 'content-length'].map(name => fields.get(name))
      return { status, told, body: await answer.text() }
    })
    const [own, through] = await Promise.all(answers)
    return { own, through }
  }

  const refused = [
    { credentials: OTHER, words: /unauthorized|authentication required|authorization failed/i },
    { credentials: FORBIDDEN, words: /403 \(?Forbidden/ },
  ]

  async function assertRefused(runtime: Runtime, { credentials, words }: (typeof refused)[number]) {
    const beside = path.join(directory, `${runtime.name}-${credentials.split(':')[0]}`)
    const stranger = await runtime.start({ ...placeOn(0), directory: beside })
    try {
      const { isDone, said } = await stranger.pull('lib/private', '1', credentials)
      assert.ok(!isDone)
      assert.match(said, words)
      await assert.rejects(stranger.check('lib/private', '1', image))
    } finally {
      await stranger.stop()
    }
  }

  for (const runtime of [SKOPEO, PODMAN, CONTAINERD]) {
    const { name, start } = runtime
    const options = { ...TEST, skip: obstacleToPull(runtime) }
    it(
      `gives ${name} the image of whom it lets in, from the swarm too, and nothing to others`,
      options,
      async () => {
        const pair = [await start(placeOn(0)), await start(placeOn(1))]
        try {
          for (const client of pair) {
            const { isDone, said } = await client.pull('lib/private', '1', ALLOWED)
            assert.ok(isDone, said)
            await client.check('lib/private', '1', image)
          }
          const sent = registry.relay.blobBytes()
          assert.ok(sent <= uniqueBytes([image]) * 1.01, `${sent} bytes`)
          for (const one of refused) await assertRefused(runtime, one)
        } finally {
          for (const client of pair) await client.stop()
        }
      },
    )
  }

  it('refuses a layer that is held here to others exactly as it would itself', TEST, async () => {
    const allowed = tokens.tokenFor('lib/private', ['pull'])
    const { own, through } = await bothAnswers('lib/private', { token: allowed })
    assert.deepEqual([own.status, through.status], [200, 200])
    assert.equal(through.body, own.body)

    const other = tokens.tokenFor('lib/harmless', ['pull'])
    const forbidden = tokens.tokenFor('lib/private', ['pull'], 'carol')
    const refusals = [
      { repository: 'lib/private', token: '', status: 401 },
      { repository: 'lib/private', token: other, status: 401 },
      { repository: 'lib/private', token: 'nonsense', status: 401 },
      { repository: 'lib/private', token: forbidden, status: 403 },
      // Whom the registry lets in, but not for what another repository holds.
      { repository: 'lib/harmless', token: other, status: 404 },
    ]
    for (const { repository, token, status } of refusals) {
      for (const method of ['GET', 'HEAD']) {
        const answers = await bothAnswers(repository, { method, token })
        assert.equal(answers.own.status, status)
        assert.deepEqual(answers.through, answers.own)
      }
    }
  })
})
