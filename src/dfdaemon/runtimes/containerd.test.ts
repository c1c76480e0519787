import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { containerdSetup } from './containerd.ts'
import { parseDaemonAddress } from './daemon-address.ts'
import { parseRegistryName } from './registry-name.ts'
import type { PresentFiles, SetupPlan } from './runtime-setup.ts'
import { parseRuntimeVersion } from './runtime-version.ts'

const MAIN = '/etc/containerd/config.toml'
const CERTS = '/etc/containerd/certs.d'
const HOST = '[host."http://127.0.0.1:65001"]\n  capabilities = ["pull", "resolve"]\n'
const HEAD = '# dfdaemon setup containerd; taken back by: dfdaemon setup containerd --undo\n'
const V2 = '[plugins."io.containerd.grpc.v1.cri".registry]\n'
const V3 = '[plugins."io.containerd.cri.v1.images".registry]\n'
const SETTING = `  config_path = "${CERTS}"\n`

function memory(files: Record<string, string>): PresentFiles {
  return {
    read: path => files[path] ?? null,
    list: pattern => {
      const [before, after] = pattern.split('*')
      return Object.keys(files)
        .filter(path => path.startsWith(before) && path.endsWith(after ?? ''))
        .sort()
    },
  }
}

function plan(files: Record<string, string>, version: string | null, ...registries: string[]): SetupPlan {
  return containerdSetup.plan(
    {
      daemon: parseDaemonAddress('http://127.0.0.1:65001'),
      registries: (registries.length > 0 ? registries : ['docker.io']).map(parseRegistryName),
      version: version === null ? null : parseRuntimeVersion(version),
      usesProxy: false,
    },
    memory(files),
  )
}

describe('config.toml of containerd', () => {
  for (const [title, version, present, expected] of [
    ['is made in form 2 for containerd 1.x', '1.7.2', null, `version = 2\n\n${V2}${SETTING}`],
    ['is made in form 3 for containerd 2.x', '2.0.1', null, `version = 3\n\n${V3}${SETTING}`],
    ['is made in form 3 for an unknown version', null, null, `version = 3\n\n${V3}${SETTING}`],
    ['of form 2 stays so under containerd 2.x', '2.1', 'version = 2\n', `version = 2\n\n${V2}${SETTING}`],
    ['of form 3 has another table', '2.1', 'version = 3', `version = 3\n\n${V3}${SETTING}`],
    ['of form 4 has the table of form 3', '2.3', 'version = 4\n', `version = 4\n\n${V3}${SETTING}`],
    [
      'without a version is of form 1',
      '1.6',
      '# nothing\n',
      `# nothing\n\n[plugins.cri.registry]\n${SETTING}`,
    ],
    [
      'has the table already',
      '1.6',
      `version = 2\n  ${V2}  a = 1 # b\n`,
      `version = 2\n  ${V2}  ${SETTING}  a = 1 # b\n`,
    ],
    [
      'has an empty setting already',
      '1.6',
      `version = 2\n${V2}config_path = '' # b\n[x]\n`,
      `version = 2\n${V2}config_path = "${CERTS}" # b\n[x]\n`,
    ],
    ['has the table as its last line', '1.6', `version = 2\n${V2.trim()}`, `version = 2\n${V2}${SETTING}`],
    [
      'has a table below it only',
      '1.6',
      `version = 2\n${V2.replace(']', '.headers]')}a = ["b"]\n`,
      `version = 2\n${V2.replace(']', '.headers]')}a = ["b"]\n\n${V2}${SETTING}`,
    ],
    [
      'names two directories, which 2.2 takes for one',
      '2.2',
      `version = 3\n${V3}config_path = "/a:/b"\n`,
      `version = 3\n${V3}config_path = "/a"\n`,
    ],
  ] as const) {
    it(title, () => {
      assert.equal(plan(present === null ? {} : { [MAIN]: present }, version).files.get(MAIN), expected)
    })
  }

  it('that names a directory is left, and that directory is used', () => {
    for (const [version, value] of [
      ['1.6', '/srv/hosts:/etc/docker/certs.d'],
      ['2.1', '/srv/hosts'],
    ]) {
      const { files } = plan({ [MAIN]: `version = 2\n${V2}config_path = "${value}"\n` }, version)
      assert.deepEqual([...files.keys()], ['/srv/hosts/docker.io/hosts.toml'])
    }
  })

  it('that imports a file which says something of the plug-in leaves it to that file', () => {
    const drop = '/etc/containerd/conf.d/a.toml'
    const text = '[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "pause"\n'
    const main = {
      [MAIN]: 'version = 2\nimports = ["conf.d/*.toml"]\n',
      '/etc/containerd/conf.d/b.toml': 'oom_score = 1\n',
    }
    const { files } = plan({ ...main, [drop]: text }, '1.6')
    assert.deepEqual([files.get(MAIN), files.get(drop)], [undefined, `${text}\n${V2}${SETTING}`])
  })

  it('whose imports hold deprecated mirrors is not touched', () => {
    const drop = '/etc/containerd/conf.d/a.toml'
    const mirrors = `version = 3\n${V3.replace(']', '.mirrors."quay.io"]')}endpoint = ["https://a"]\n`
    assert.throws(() => plan({ [drop]: mirrors }, '2.2'), {
      code: 'CONFIG_INVALID',
      message: /a\.toml has the deprecated registry\.mirrors \(quay\.io\)/,
    })
    assert.ok(plan({ [drop]: mirrors }, '1.7').files.has(MAIN))
  })

  it('with certificates in the deprecated place is not touched, with credentials there it is', () => {
    const configs = V2.trim().replace(']', '.configs."quay.io"')
    assert.throws(() => plan({ [MAIN]: `version = 2\n${configs}.tls]\nca_file = "a"\n` }, '1.6'), {
      message: /registry\.configs\.\*\.tls \(quay\.io\)/,
    })
    assert.ok(plan({ [MAIN]: `version = 2\n${configs}.auth]\nusername = "a"\n` }, '1.6').files.has(MAIN))
  })

  it('that disables the plug-in is remarked upon', () => {
    const { notes } = plan({ [MAIN]: 'disabled_plugins = ["cri"]\n' }, '1.6')
    assert.ok(notes.some(note => note.includes('disables the CRI plug-in')))
  })
})

describe('hosts.toml of containerd', () => {
  const hosts = (name: string) => `${CERTS}/${name}/hosts.toml`
  for (const [registry, name, server] of [
    ['docker.io', 'docker.io', 'server = "https://registry-1.docker.io"\n'],
    ['index.docker.io', 'docker.io', 'server = "https://registry-1.docker.io"\n'],
    ['Quay.io', 'quay.io', 'server = "https://quay.io"\n'],
    ['registry.example:5000', 'registry.example:5000', 'server = "https://registry.example:5000"\n'],
    ['http://registry.example', 'registry.example', 'server = "http://registry.example"\n'],
    ['localhost:5000', 'localhost:5000', 'server = "http://localhost:5000"\n'],
    ['_default', '_default', ''],
  ]) {
    it(`of ${registry} falls back to the registry itself`, () => {
      assert.equal(plan({}, '1.6', registry).files.get(hosts(name)), `${HEAD}${server}\n${HOST}`)
    })
  }

  it('of a registry without TLS comes with what dfdaemon must be told', () => {
    const { notes } = plan({}, '1.6', 'http://registry.example', 'quay.io')
    assert.ok(
      notes.some(note =>
        note.endsWith('registries:\n  - name: registry.example\n    remote: http://registry.example'),
      ),
    )
    assert.ok(plan({}, '1.6', 'quay.io').notes.every(note => !note.includes('dfdaemon.yml')))
  })

  it('puts dfdaemon before the hosts that are there, and what stands above them stays', () => {
    const own = 'server = "https://a"\n\n# cache\n[host."https://cache"]\n  capabilities = ["pull"]\n'
    const { files } = plan({ [hosts('docker.io')]: own }, '1.6')
    assert.equal(files.get(hosts('docker.io')), own.replace('# cache', `${HOST}\n# cache`))
  })

  it('that names dfdaemon already is left, whatever else it says', () => {
    const own = '[host."http://127.0.0.1:65001"]\n'
    assert.ok(!plan({ [hosts('docker.io')]: own }, '1.6').files.has(hosts('docker.io')))
  })

  it('names the certificates that containerd took from the directory without it', () => {
    const directory = `${CERTS}/quay.io`
    const files = {
      [`${directory}/ca.crt`]: '',
      [`${directory}/me.cert`]: '',
      [`${directory}/me.key`]: '',
      [`${directory}/x.cert`]: '',
    }
    assert.equal(
      plan(files, '1.6', 'quay.io').files.get(`${directory}/hosts.toml`),
      `${HEAD}server = "https://quay.io"\nca = ["${directory}/ca.crt"]\nclient = [["${directory}/me.cert", "${directory}/me.key"]]\n\n${HOST}`,
    )
  })

  it('is the one with underscores where containerd reads that first', () => {
    const { files } = plan({ [hosts('a.example_5000_')]: 'server = "https://x"\n' }, '1.6', 'a.example:5000')
    assert.ok(files.has(hosts('a.example_5000_')))
    assert.ok(!files.has(hosts('a.example:5000')))
  })
})
