import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, it } from 'node:test'
import {
  BACKUP,
  CONFIG_TOML,
  DAEMON_JSON,
  DROP_IN,
  HOSTS_TOML,
  OWN_JSON,
  OWN_TOML,
  openSetupRoot,
} from './support/setup-root.ts'

/** What somebody else does to the files of `dfdaemon setup` stays. */

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
