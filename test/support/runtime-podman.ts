import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { runProgram } from './programs.ts'
import {
  assertUnpacked,
  loggedIn,
  type RuntimeClient,
  type RuntimePlace,
  unmountAllIn,
} from './runtime-client.ts'
import { setUp } from './runtime-hosts.ts'

/** podman with a store of its own, in plain directories. */
export async function podmanClient(place: RuntimePlace): Promise<RuntimeClient> {
  const etc = await setUp('podman', place)
  const directory = path.join(place.directory, 'podman')
  const [root, temporary] = ['root', 'temporary'].map(name => path.join(directory, name))
  // podman takes no longer one than of 50 characters.
  const run = path.join(place.directory, 'run')
  await mkdir(temporary, { recursive: true })
  const environment = {
    CONTAINERS_REGISTRIES_CONF: path.join(etc, 'containers/registries.conf.d/50-dragonfly.conf'),
    TMPDIR: temporary,
  }
  const podman = (login: Record<string, string>, ...words: string[]) => {
    const store = ['--root', root, '--runroot', run, '--tmpdir', temporary, '--storage-driver', 'vfs']
    return runProgram(
      'podman',
      [...store, '--cgroup-manager', 'cgroupfs', '--events-backend', 'none', ...words],
      { ...environment, ...login },
    )
  }
  const nameOf = (repository: string, tag: string) => `${place.registry}/${repository}:${tag}`
  return {
    async pull(repository, tag, credentials) {
      const login = await loggedIn(place, credentials)
      const { status, stdout, stderr } = await podman(login, 'pull', nameOf(repository, tag))
      return { isDone: status === 0, said: stdout + stderr }
    },
    async check(repository, tag, { own }) {
      const name = nameOf(repository, tag)
      const { stdout } = await podman({}, 'image', 'inspect', name)
      const [{ Id, RepoDigests, RootFS }] = JSON.parse(stdout)
      assert.equal(`sha256:${Id}`, own.config.digest)
      assert.deepEqual(
        RootFS.Layers,
        own.layers.map(({ diffId }) => diffId),
      )
      assert.ok(
        RepoDigests.some((one: string) => one.endsWith(`@${own.digest}`)),
        RepoDigests.join(),
      )
      const mounted = await podman({}, 'image', 'mount', name)
      assert.equal(mounted.status, 0, mounted.stderr)
      await assertUnpacked(mounted.stdout.trim(), own.layers)
    },
    stop: () => unmountAllIn(directory),
  }
}
