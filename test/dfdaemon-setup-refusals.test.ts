import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, it } from 'node:test'
import {
  BACKUP,
  CONFIG_TOML,
  DAEMON_JSON,
  DROP_IN,
  HOSTS_TOML,
  OWN_TOML,
  openSetupRoot,
} from './support/setup-root.ts'

describe('what is refused changes nothing', () => {
  const REFUSALS: readonly {
    title: string
    runtime: string
    flags?: readonly string[]
    own?: Record<string, string | Uint8Array>
    code?: string
    says: RegExp
  }[] = [
    {
      title: 'JSON that is none',
      runtime: 'docker',
      own: { [DAEMON_JSON]: '{"a":1,}' },
      says: /daemon\.json cannot be read: it is not JSON/,
    },
    {
      title: 'JSON that is a list',
      runtime: 'docker',
      own: { [DAEMON_JSON]: '[]' },
      says: /is no JSON object/,
    },
    {
      title: 'mirrors that are no list',
      runtime: 'docker',
      own: { [DAEMON_JSON]: '{"registry-mirrors":"a"}' },
      says: /no list of URLs/,
    },
    {
      title: 'bytes that are no text',
      runtime: 'docker',
      own: { [DAEMON_JSON]: Uint8Array.of(0x7b, 0xff, 0x7d) },
      says: /is not a file of text/,
    },
    {
      title: 'TOML that is none',
      runtime: 'containerd',
      own: { [CONFIG_TOML]: 'version = \n' },
      says: /config\.toml cannot be read: it is not TOML, see line 1/,
    },
    {
      title: 'a hosts.toml that is no TOML',
      runtime: 'containerd',
      own: { [HOSTS_TOML]: 'server' },
      says: /hosts\.toml cannot be read/,
    },
    {
      title: 'deprecated mirrors',
      runtime: 'containerd',
      own: {
        [CONFIG_TOML]:
          'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\nendpoint = ["https://a"]\n',
      },
      says: /deprecated registry\.mirrors \(docker\.io\), beside which containerd refuses config_path/,
    },
    {
      title: 'a table that is written inline',
      runtime: 'containerd',
      own: {
        [CONFIG_TOML]: 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nregistry = { headers = {} }\n',
      },
      says: /not edited by a program/,
    },
    {
      title: 'a registry that podman knows already',
      runtime: 'podman',
      own: { '/etc/containers/registries.conf': '[[registry]]\nlocation = "docker.io"\nblocked = true\n' },
      says: /registries\.conf has a \[\[registry\]\] for docker\.io of its own[\s\S]*location = "127\.0\.0\.1:65001\/docker\.io"\ninsecure = true/,
    },
    {
      title: 'the old form of registries.conf',
      runtime: 'crio',
      own: { '/etc/containers/registries.conf': '[registries.search]\nregistries = ["docker.io"]\n' },
      says: /old form 1/,
    },
    {
      title: 'a registry that podman knows with a mirror that names no registry',
      runtime: 'podman',
      own: {
        [DROP_IN]:
          '[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "127.0.0.1:65001"\n',
      },
      says: /50-dragonfly\.conf has a \[\[registry\]\] for docker\.io of its own/,
    },
    {
      title: 'a registry that podman takes for a part of Docker Hub',
      runtime: 'podman',
      flags: ['--registry', 'registry'],
      code: 'USAGE',
      says: /^registry cannot be named to a mirror/,
    },
    {
      title: 'a registry that is no component of a path',
      runtime: 'crio',
      flags: ['--registry', '[::1]:5000'],
      code: 'USAGE',
      says: /^\[::1\]:5000 cannot be named to a mirror/,
    },
    {
      title: 'a docker registry other than Docker Hub',
      runtime: 'docker',
      flags: ['--registry', 'quay.io'],
      code: 'USAGE',
      says: /mirrors for docker\.io only, not for quay\.io\.\nWith --proxy/,
    },
    {
      title: 'dockerd with a mirror on its command line',
      runtime: 'docker',
      own: { '/etc/default/docker': 'DOCKER_OPTS="--registry-mirror=https://a"\n' },
      says: /\/etc\/default\/docker gives dockerd --registry-mirror/,
    },
    {
      title: 'dockerd with another proxy',
      runtime: 'docker',
      flags: ['--proxy'],
      own: {
        '/etc/systemd/system/docker.service.d/proxy.conf': '[Service]\nEnvironment=HTTPS_PROXY=http://p\n',
      },
      says: /proxy\.conf names a proxy for docker already/,
    },
    {
      title: 'containerd before 1.5',
      runtime: 'containerd',
      flags: ['--runtime-version', '1.4.13'],
      code: 'USAGE',
      says: /from version 1\.5 on/,
    },
    {
      title: 'podman before 2.0',
      runtime: 'podman',
      flags: ['--runtime-version', '1.6'],
      code: 'USAGE',
      says: /from version 2\.0 on/,
    },
    { title: '--write with --undo', runtime: 'docker', flags: ['--undo'], code: 'USAGE', says: /opposites/ },
    {
      title: 'a backup that is not ours',
      runtime: 'docker',
      own: { [DAEMON_JSON]: '{}', [DAEMON_JSON + BACKUP]: 'mine' },
      says: /daemon\.json\.dragonfly-backup is in the way/,
    },
    {
      title: 'a record that is none',
      runtime: 'docker',
      own: { '/etc/dragonfly/setup/docker.json': '{"files":1}' },
      says: /docker\.json is no record/,
    },
  ]

  for (const { title, runtime, flags = [], own = {}, code = 'CONFIG_INVALID', says } of REFUSALS) {
    it(title, async t => {
      const root = await openSetupRoot(t)
      for (const [file, text] of Object.entries(own)) root.put(file, text)
      const before = root.snapshot()
      const outcome = await root.setup(runtime, '--write', ...flags)
      assert.equal(outcome.code, code)
      assert.match(outcome.message, says)
      assert.deepEqual(root.snapshot(), before)
    })
  }

  it('bad values of flags', async t => {
    const root = await openSetupRoot(t)
    for (const flags of [
      ['--daemon', 'ftp://a'],
      ['--daemon', 'http://a/path'],
      ['--registry', 'a b'],
      ['--registry', '../etc'],
      ['--registry', 'quay.io/team'],
      ['--runtime-version', 'new'],
    ]) {
      const { status } = await root.setup('containerd', '--write', ...flags)
      assert.equal(status, 1, flags.join(' '))
    }
    assert.deepEqual(root.snapshot(), {})
  })

  it('a disk that fails in the middle: what was written goes back', async t => {
    const root = await openSetupRoot(t)
    root.put(CONFIG_TOML, OWN_TOML)
    const before = root.snapshot()
    const rename = fs.renameSync
    t.mock.method(fs, 'renameSync', (from: string, to: string) => {
      if (to.endsWith('hosts.toml')) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
      rename(from, to)
    })
    const { code } = await root.setup('containerd', '--write')
    assert.equal(code, 'DISK_FULL')
    assert.deepEqual(root.snapshot(), before)
  })
})
