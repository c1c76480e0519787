import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import http, { type IncomingMessage } from 'node:http'
import path from 'node:path'
import { startProgram, whenReady } from './programs.ts'
import type { Layer } from './registry-images.ts'
import { assertUnpacked, type RuntimeClient, type RuntimePlace, unmountAllIn } from './runtime-client.ts'
import { setUp } from './runtime-hosts.ts'

/**
 * A dockerd of its own, without network, spoken to over its socket. It knows mirrors for docker.io only, so to it the registry of the test is
 * docker.io.
 */
export async function startDockerd(place: Omit<RuntimePlace, 'registry'>): Promise<RuntimeClient> {
  const etc = await setUp('docker', { ...place, registry: 'docker.io' })
  const directory = path.join(place.directory, 'dockerd')
  const [data, run, socket] = ['data', 'run', 'socket'].map(name => path.join(directory, name))
  const child = startProgram('dockerd', [
    ...['--config-file', path.join(etc, 'docker/daemon.json'), '--host', `unix://${socket}`],
    ...['--data-root', data, '--exec-root', run, '--pidfile', path.join(directory, 'pid')],
    ...['--iptables=false', '--ip6tables=false', '--bridge=none'],
    // That many more than one. The first of them comes after 5 s, each other after 5 s more than the one before.
    '--max-download-attempts=1',
    ...['--storage-driver=vfs', '--exec-opt', 'native.cgroupdriver=cgroupfs'],
  ])
  const ask = async (method: string, target: string): Promise<{ status: number; text: string }> => {
    const request = http.request({ socketPath: socket, method, path: target, agent: false }).end()
    const [answer] = (await once(request, 'response')) as [IncomingMessage]
    return { status: answer.statusCode ?? 0, text: Buffer.concat(await answer.toArray()).toString() }
  }
  await whenReady(child, () =>
    ask('GET', '/_ping').then(
      ({ status }) => status === 200,
      () => false,
    ),
  )
  return {
    async pull(repository, tag) {
      const { status, text } = await ask(
        'POST',
        `/images/create?fromImage=docker.io/${repository}&tag=${tag}`,
      )
      return { isDone: status === 200 && !text.includes('"errorDetail"'), said: text }
    },
    async check(repository, tag, { top, own }) {
      const { text } = await ask('GET', `/images/${repository}:${tag}/json`)
      const { Id, RepoDigests, RootFS } = JSON.parse(text)
      assert.equal(Id, own.config.digest)
      assert.deepEqual(RepoDigests, [`${repository}@${top.digest}`])
      assert.deepEqual(
        RootFS.Layers,
        own.layers.map(({ diffId }) => diffId),
      )
      await assertUnpacked(await unpackedAt(path.join(data, 'vfs/dir'), own.layers), own.layers)
    },
    async stop() {
      const ended = once(child, 'exit')
      // In order, so that it ends the containerd that it started.
      if (child.kill('SIGTERM')) await ended
      await unmountAllIn(directory)
    },
  }
}

/** vfs keeps for each layer what it and those below it hold. */
async function unpackedAt(directory: string, layers: readonly Layer[]): Promise<string> {
  for (const name of await readdir(directory)) {
    const files = await readdir(path.join(directory, name), { recursive: true })
    if (layers.every(({ file }) => files.includes(file.path))) return path.join(directory, name)
  }
  throw new Error(`nothing in ${directory} holds all layers`)
}
