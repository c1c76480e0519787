import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parse as parseToml } from 'smol-toml'
import { gatherSettings } from '../src/cli/dfdaemon-settings.ts'
import { DROP_IN, openSetupRoot } from './support/setup-root.ts'

/** Podman names a registry in the path of its mirror, so that both sides must know the same names. */

describe('setup podman', () => {
  const flags = [
    '--registry',
    'docker.io',
    '--registry',
    'quay.io',
    '--registry',
    'http://registry.example:5000',
  ]

  it('names each registry to the mirror', async t => {
    const root = await openSetupRoot(t)
    await root.setup('podman', '--write', ...flags)
    const { registry } = parseToml(root.text(DROP_IN)) as {
      registry: { prefix: string; mirror: { location: string; insecure: boolean }[] }[]
    }
    const mirrorAt = (component: string) => [`127.0.0.1:65001/${component}`, true]
    assert.deepEqual(
      registry.map(({ prefix, mirror }) => [
        prefix,
        ...mirror.map(({ location, insecure }) => [location, insecure]),
      ]),
      [
        ['docker.io', mirrorAt('docker.io')],
        ['quay.io', mirrorAt('quay.io')],
        ['registry.example:5000', mirrorAt('registry.example.5000')],
      ],
    )
  })

  it('says what dfdaemon.yml must have, in words that dfdaemon reads', async t => {
    const root = await openSetupRoot(t)
    const { said } = await root.setup('podman', '--write', ...flags)
    const [yaml] = /^registries:\n(?:[- ] .*\n)+/m.exec(said) ?? []
    root.put('dfdaemon.yml', yaml ?? '')
    const { registries } = await gatherSettings({}, { environment: {}, named: root.at('dfdaemon.yml') })
    assert.deepEqual(registries, [
      { name: 'docker.io', remote: 'https://registry-1.docker.io' },
      { name: 'quay.io', remote: 'https://quay.io' },
      { name: 'registry.example:5000', remote: 'http://registry.example:5000' },
    ])
  })
})
