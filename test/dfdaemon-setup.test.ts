import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, it, type TestContext } from 'node:test'
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

/** What `dfdaemon setup` puts in place, and takes back. */

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
