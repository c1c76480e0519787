import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { kill } from './processes.ts'
import { runProgram, startProgram, whenReady } from './programs.ts'
import { digestOf } from './registry-images.ts'
import { type RuntimeClient, type RuntimePlace, unmountAllIn } from './runtime-client.ts'
import { setUp } from './runtime-hosts.ts'

/** A containerd of its own, with ctr, which pulls in its own process. */
export async function startContainerd(place: RuntimePlace): Promise<RuntimeClient> {
  const etc = await setUp('containerd', place)
  const directory = path.join(place.directory, 'containerd')
  const [root, state, temporary] = ['root', 'state', 'temporary'].map(name => path.join(directory, name))
  await mkdir(temporary, { recursive: true })
  const socket = path.join(directory, 'socket')
  const config = path.join(directory, 'config.toml')
  await writeFile(
    config,
    [
      'version = 2',
      `root = ${JSON.stringify(root)}`,
      `state = ${JSON.stringify(state)}`,
      'oom_score = 0',
      'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]',
      `[grpc]\naddress = ${JSON.stringify(socket)}`,
      `[ttrpc]\naddress = ${JSON.stringify(`${socket}.ttrpc`)}`,
    ].join('\n'),
  )
  const ctr = (...words: string[]) => runProgram('ctr', ['-a', socket, '-n', 'test', ...words])
  const child = startProgram('containerd', ['-c', config], { TMPDIR: temporary })
  await whenReady(child, async () => (await ctr('version')).status === 0)
  const nameOf = (repository: string, tag: string) => `${place.registry}/${repository}:${tag}`
  return {
    async pull(repository, tag, credentials) {
      const { status, stdout, stderr } = await ctr(
        ...['images', 'pull', '--hosts-dir', path.join(etc, 'containerd/certs.d')],
        ...(credentials === undefined ? [] : ['--user', credentials]),
        nameOf(repository, tag),
      )
      return { isDone: status === 0, said: stdout + stderr }
    },
    async check(repository, tag, { top, own }) {
      const { stdout } = await ctr('images', 'ls', `name==${nameOf(repository, tag)}`)
      assert.ok(stdout.includes(` ${top.digest} `), stdout)
      const blobs = path.join(root, 'io.containerd.content.v1.content/blobs/sha256')
      for (const { digest } of [top, own, own.config, ...own.layers]) {
        const content = await readFile(path.join(blobs, digest.replace('sha256:', '')))
        assert.equal(digestOf(content), digest)
      }
    },
    async stop() {
      await kill(child)
      await unmountAllIn(directory)
    },
  }
}
