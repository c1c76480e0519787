import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { parse as parseToml } from 'smol-toml'
import { gatherSettings } from '../src/cli/dfdaemon-settings.ts'
import {
  BACKUP,
  CONFIG_TOML,
  DAEMON_JSON,
  DROP_IN,
  HOSTS_TOML,
  OWN_JSON,
  OWN_TOML,
  openSetupRoot,
  type SetupRoot,
} from './support/setup-root.ts'

/** What each runtime has of its own before, and a file that is edited or made. */
const CASES = [
  {
    runtime: 'docker',
    flags: [],
    own: { [DAEMON_JSON]: OWN_JSON },
    changed: DAEMON_JSON,
    command: 'systemctl reload docker',
  },
  { runtime: 'docker', flags: [], own: {}, changed: DAEMON_JSON, command: 'systemctl reload docker' },
  {
    runtime: 'docker',
    flags: ['--proxy', '--registry', 'quay.io'],
    own: {},
    changed: '/etc/systemd/system/docker.service.d/50-dragonfly.conf',
    command: 'systemctl daemon-reload && systemctl restart docker',
  },
  {
    runtime: 'containerd',
    flags: ['--runtime-version', '1.6.20'],
    own: { [CONFIG_TOML]: OWN_TOML },
    changed: CONFIG_TOML,
    command: 'systemctl restart containerd',
  },
  { runtime: 'containerd', flags: [], own: {}, changed: HOSTS_TOML, command: 'systemctl restart containerd' },
  { runtime: 'crio', flags: [], own: {}, changed: DROP_IN, command: 'systemctl reload crio' },
  { runtime: 'podman', flags: [], own: { [DROP_IN]: '# mine\n' }, changed: DROP_IN, command: null },
  {
    runtime: 'podman',
    flags: ['--registry', 'quay.io', '--registry', 'registry.example:5000'],
    own: {},
    changed: DROP_IN,
    command: null,
  },
] as const

for (const { runtime, flags, own, changed, command } of CASES) {
  describe(`setup ${[runtime, ...flags].join(' ')}, ${Object.keys(own).length > 0 ? 'with' : 'without'} files of its own`, () => {
    const prepare = async (t: TestContext): Promise<SetupRoot> => {
      const root = await openSetupRoot(t)
      for (const [file, text] of Object.entries(own)) {
        root.put(file, text)
        fs.chmodSync(root.at(file), 0o640)
        if (process.getuid?.() === 0) fs.chownSync(root.at(file), 12, 34)
        fs.utimesSync(root.at(file), 1_000_000_000, 1_000_000_000)
      }
      return root
    }

    it('prints what --write would put in place, and changes nothing', async t => {
      const root = await prepare(t)
      const before = root.snapshot()
      const printed = await root.setup(runtime, ...flags)
      assert.equal(printed.status, 0)
      assert.deepEqual(root.snapshot(), before)
      const { status } = await root.setup(runtime, ...flags, '--write')
      assert.equal(status, 0)
      const old: readonly string[] = before[changed.slice(1)]
        ? (own as Record<string, string>)[changed].split('\n')
        : []
      const added = root
        .text(changed)
        .split('\n')
        .filter(line => line !== '' && !old.includes(line))
      assert.ok(added.length > 0)
      for (const line of added) assert.ok(printed.said.includes(line), `${line} is not in ${printed.said}`)
    })

    it('keeps a backup with mode, owner and time, and the new file has mode and owner of the old', async t => {
      const root = await prepare(t)
      const before = root.snapshot()
      const { said } = await root.setup(runtime, ...flags, '--write')
      const after = root.snapshot()
      const modeAndOwner = (entry: unknown) => (entry as unknown[]).slice(0, 3)
      for (const file of Object.keys(own)) {
        assert.deepEqual(after[`${file.slice(1)}${BACKUP}`], before[file.slice(1)])
        assert.deepEqual(modeAndOwner(after[file.slice(1)]), modeAndOwner(before[file.slice(1)]))
        assert.ok(said.includes(`${file}${BACKUP}`))
      }
      const backups = Object.keys(after).filter(name => name.endsWith(BACKUP))
      assert.equal(backups.length, Object.keys(own).length)
      assert.ok(
        said.endsWith(command === null ? 'It counts from the next pull on.\n' : `Now run: ${command}\n`),
        said,
      )
    })

    it('changes nothing the second time', async t => {
      const root = await prepare(t)
      await root.setup(runtime, ...flags, '--write')
      const before = root.snapshot()
      const again = await root.setup(runtime, ...flags, '--write')
      assert.equal(again.status, 0)
      assert.match(again.said, /nothing was changed/)
      assert.deepEqual(root.snapshot(), before)
    })

    it('--undo brings back what was, to the byte, and a second one has nothing to do', async t => {
      const root = await prepare(t)
      const before = root.snapshot()
      await root.setup(runtime, ...flags, '--write')
      assert.notDeepEqual(root.snapshot(), before)
      const undone = await root.setup(runtime, '--undo')
      assert.equal(undone.status, 0)
      assert.deepEqual(root.snapshot(), before)
      assert.ok(undone.said.includes(command ?? 'next pull'))
      assert.match((await root.setup(runtime, '--undo')).said, /^Nothing to take back/)
      assert.deepEqual(root.snapshot(), before)
    })
  })
}

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

/** Foreign edits after --write, and what must be left of the file after --undo; null means no file. */
const EDITS: readonly {
  title: string
  runtime: string
  own: Record<string, string>
  file: string
  edit: (text: string) => string
  left: string | null
}[] = [
  {
    title: 'docker: another key and another mirror stay',
    runtime: 'docker',
    own: { [DAEMON_JSON]: OWN_JSON },
    file: DAEMON_JSON,
    edit: text => text.replace('"debug":true', '"debug":false,\n\t"mtu": 1400'),
    left: OWN_JSON.replace('[ "https://mirror.example" ]', '["https://mirror.example"]').replace(
      '"debug":true',
      '"debug":false,\n\t"mtu": 1400',
    ),
  },
  {
    title: 'docker: our list goes where nothing else is in it',
    runtime: 'docker',
    own: {},
    file: DAEMON_JSON,
    edit: text => text.replace('{', '{\n  "debug": true,'),
    left: '{\n  "debug": true\n}\n',
  },
  {
    title: 'docker: a file of ours with another layout goes',
    runtime: 'docker',
    own: {},
    file: DAEMON_JSON,
    edit: text => JSON.stringify(JSON.parse(text)),
    left: null,
  },
  {
    title: 'containerd: other settings and comments stay',
    runtime: 'containerd',
    own: { [CONFIG_TOML]: `${OWN_TOML}\n[plugins."io.containerd.grpc.v1.cri".registry]\n` },
    file: CONFIG_TOML,
    edit: text => `${text}\n[debug]\n  level = "info" # new\n`,
    left: `${OWN_TOML}\n[plugins."io.containerd.grpc.v1.cri".registry]\n\n[debug]\n  level = "info" # new\n`,
  },
  {
    title: 'containerd: a config_path that was empty is empty again',
    runtime: 'containerd',
    own: {
      [CONFIG_TOML]: 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "" # none\n',
    },
    file: CONFIG_TOML,
    edit: text => `oom_score = 1\n${text}`,
    left: 'oom_score = 1\nversion = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "" # none\n',
  },
  {
    title: 'containerd: a setting that names another directory by now is left',
    runtime: 'containerd',
    own: { [CONFIG_TOML]: OWN_TOML },
    file: CONFIG_TOML,
    edit: text => text.replace('/etc/containerd/certs.d', '/srv/hosts'),
    left: `${OWN_TOML}\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/srv/hosts"\n`,
  },
  {
    title: 'containerd: another host stays',
    runtime: 'containerd',
    own: {},
    file: HOSTS_TOML,
    edit: text => `${text}\n# cache\n[host."https://cache.example"]\n  capabilities = ["pull"]\n`,
    left: '# dfdaemon setup containerd; taken back by: dfdaemon setup containerd --undo\nserver = "https://registry-1.docker.io"\n\n# cache\n[host."https://cache.example"]\n  capabilities = ["pull"]\n',
  },
  {
    title: 'podman: another registry and another mirror stay',
    runtime: 'podman',
    own: {},
    file: DROP_IN,
    edit: text =>
      `${text}\n[[registry.mirror]]\nlocation = "cache.example"\n\n[[registry]]\nlocation = "quay.io"\nblocked = true\n`,
    left: '# dfdaemon setup podman, or crio; taken back by the same with --undo\n\n[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n\n\n[[registry.mirror]]\nlocation = "cache.example"\n\n[[registry]]\nlocation = "quay.io"\nblocked = true\n',
  },
]

describe('--undo of a file that somebody edited since', () => {
  for (const { title, runtime, own, file, edit, left } of EDITS) {
    it(title, async t => {
      const root = await openSetupRoot(t)
      for (const [name, text] of Object.entries(own)) root.put(name, text)
      await root.setup(runtime, '--write', '--runtime-version', runtime === 'containerd' ? '1.6' : '20.10')
      const edited = edit(root.text(file))
      assert.notEqual(edited, root.text(file))
      root.put(file, edited)
      const { status, said } = await root.setup(runtime, '--undo')
      assert.equal(status, 0)
      if (left === null) assert.ok(!fs.existsSync(root.at(file)))
      else {
        assert.equal(root.text(file), left)
        assert.match(
          said,
          new RegExp(`${file}: edited by somebody since; only what leads to dfdaemon was taken out`),
        )
      }
      assert.deepEqual(
        Object.keys(root.snapshot()).filter(
          name => name.endsWith(BACKUP) || name.startsWith('etc/dragonfly'),
        ),
        [],
      )
    })
  }

  it('podman: only the registries that somebody added stay of many', async t => {
    const root = await openSetupRoot(t)
    await root.setup('podman', '--write', '--registry', 'quay.io', '--registry', 'registry.example:5000')
    const own = '\n[[registry]]\nlocation = "gcr.io"\nblocked = true\n'
    fs.appendFileSync(root.at(DROP_IN), own)
    await root.setup('podman', '--undo')
    const head = '# dfdaemon setup podman, or crio; taken back by the same with --undo\n'
    assert.equal(root.text(DROP_IN).replace(/\n{3,}/, '\n\n'), head + own)
  })

  it('an edit stays through a second --write, and --undo after that', async t => {
    const root = await openSetupRoot(t)
    root.put(DAEMON_JSON, OWN_JSON)
    await root.setup('docker', '--write')
    root.put(DAEMON_JSON, root.text(DAEMON_JSON).replace('journald', 'syslog'))
    assert.equal((await root.setup('docker', '--write', '--daemon', 'http://10.0.0.1:65001')).status, 0)
    const { 'registry-mirrors': mirrors, 'log-driver': driver } = JSON.parse(root.text(DAEMON_JSON))
    assert.deepEqual([mirrors, driver], [['http://10.0.0.1:65001', 'https://mirror.example'], 'syslog'])
    await root.setup('docker', '--undo')
    assert.deepEqual(JSON.parse(root.text(DAEMON_JSON)), { ...JSON.parse(OWN_JSON), 'log-driver': 'syslog' })
  })

  it('an edit of the drop-in for docker stays through a second --write', async t => {
    const root = await openSetupRoot(t)
    const file = '/etc/systemd/system/docker.service.d/50-dragonfly.conf'
    await root.setup('docker', '--proxy', '--write')
    fs.appendFileSync(root.at(file), 'Environment=A=1\n')
    await root.setup('docker', '--proxy', '--write', '--daemon', 'http://10.0.0.1:65001')
    assert.match(root.text(file), /^Environment=A=1$/m)
    assert.match(root.text(file), /^Environment="HTTP_PROXY=http:\/\/10\.0\.0\.1:65001"/m)
    assert.doesNotMatch(root.text(file), /127\.0\.0\.1:65001/)
    await root.setup('docker', '--undo')
    assert.match(root.text(file), /^Environment=A=1$/m)
    assert.doesNotMatch(root.text(file), /PROXY/)
  })

  it('a file that cannot be read any more is left, and so is everything else', async t => {
    const root = await openSetupRoot(t)
    root.put(CONFIG_TOML, OWN_TOML)
    await root.setup('containerd', '--write')
    fs.appendFileSync(root.at(CONFIG_TOML), '[broken\n')
    const before = root.snapshot()
    const { code, message } = await root.setup('containerd', '--undo')
    assert.equal(code, 'CONFIG_INVALID')
    assert.match(message, /config\.toml cannot be read: it is not TOML, see line \d+; it was left as it is/)
    assert.deepEqual(root.snapshot(), before)
  })

  it('a file that somebody removed stays away, and its backup stays', async t => {
    const root = await openSetupRoot(t)
    root.put(DAEMON_JSON, OWN_JSON)
    await root.setup('docker', '--write')
    fs.rmSync(root.at(DAEMON_JSON))
    const { said } = await root.setup('docker', '--undo')
    assert.match(said, /daemon\.json: removed by somebody since/)
    assert.ok(!fs.existsSync(root.at(DAEMON_JSON)))
    assert.equal(root.text(DAEMON_JSON + BACKUP), OWN_JSON)
  })
})

describe('a command that was killed in the middle', () => {
  it('can be taken back, and can be run again', async t => {
    for (const flag of ['--undo', '--write']) {
      const root = await openSetupRoot(t)
      root.put(CONFIG_TOML, OWN_TOML)
      const before = root.snapshot()
      await root.setup('containerd', '--write')
      const after = root.snapshot()
      // As it is after the record and the backup, before the files.
      fs.cpSync(root.at(CONFIG_TOML + BACKUP), root.at(CONFIG_TOML), { preserveTimestamps: true })
      fs.rmSync(root.at(HOSTS_TOML))
      assert.equal((await root.setup('containerd', flag)).status, 0)
      const withoutTimes = (snapshot: Record<string, unknown>) =>
        Object.entries(snapshot).map(([name, facts]) => [name, (facts as unknown[]).slice(0, 4)])
      assert.deepEqual(withoutTimes(root.snapshot()), withoutTimes(flag === '--undo' ? before : after))
    }
  })
})

describe('two runtimes', () => {
  it('are taken back each for itself, in any order', async t => {
    const root = await openSetupRoot(t)
    fs.mkdirSync(root.at('/etc/dragonfly'), { recursive: true })
    const before = root.snapshot()
    await root.setup('docker', '--write')
    await root.setup('containerd', '--write')
    await root.setup('docker', '--undo')
    assert.ok(fs.existsSync(root.at(HOSTS_TOML)) && !fs.existsSync(root.at(DAEMON_JSON)))
    await root.setup('containerd', '--undo')
    assert.deepEqual(root.snapshot(), before)
  })
})

describe('other registries the next time', () => {
  it('are those of the last command: what the former alone needed is gone', async t => {
    const root = await openSetupRoot(t)
    await root.setup('containerd', '--write', '--registry', 'quay.io', '--registry', 'gcr.io')
    await root.setup('containerd', '--write', '--registry', 'gcr.io', '--registry', '_default')
    assert.deepEqual(fs.readdirSync(root.at('/etc/containerd/certs.d')).sort(), ['_default', 'gcr.io'])
    await root.setup('containerd', '--undo')
    assert.deepEqual(root.snapshot(), {})
  })
})

describe('links below the root', () => {
  it('one that stays inside is followed, and stays a link', async t => {
    const root = await openSetupRoot(t)
    root.put('/srv/daemon.json', OWN_JSON)
    fs.mkdirSync(root.at('/etc/docker'), { recursive: true })
    fs.symlinkSync('../../srv/daemon.json', root.at(DAEMON_JSON))
    await root.setup('docker', '--write')
    assert.ok(fs.lstatSync(root.at(DAEMON_JSON)).isSymbolicLink())
    assert.deepEqual(
      JSON.parse(root.text('/srv/daemon.json'))['registry-mirrors'][0],
      'http://127.0.0.1:65001',
    )
    await root.setup('docker', '--undo')
    assert.ok(fs.lstatSync(root.at(DAEMON_JSON)).isSymbolicLink())
    assert.equal(root.text('/srv/daemon.json'), OWN_JSON)
  })

  for (const [title, link, target] of [
    ['a file', DAEMON_JSON, 'daemon.json'],
    ['a directory', '/etc/docker', '.'],
    ['the record’s directory', '/etc/dragonfly', '.'],
  ]) {
    it(`${title} that leads out is refused, and nothing outside changes`, async t => {
      const [root, outside] = [await openSetupRoot(t), await openSetupRoot(t)]
      outside.put('/daemon.json', OWN_JSON)
      fs.mkdirSync(path.dirname(root.at(link)), { recursive: true })
      fs.symlinkSync(outside.at(target), root.at(link))
      const before = outside.snapshot()
      const { code, message } = await root.setup('docker', '--write')
      assert.equal(code, 'CONFIG_INVALID')
      assert.match(message, /a link out of/)
      assert.deepEqual(outside.snapshot(), before)
    })
  }
})
