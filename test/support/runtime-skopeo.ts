import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { runProgram } from './programs.ts'
import { digestOf } from './registry-images.ts'
import { loggedIn, type RuntimeClient, type RuntimePlace } from './runtime-client.ts'
import { setUp } from './runtime-hosts.ts'

/** skopeo, which copies into plain directories. */
export async function skopeoClient(place: RuntimePlace): Promise<RuntimeClient> {
  const etc = await setUp('podman', place)
  const registries = path.join(etc, 'containers/registries.conf.d/50-dragonfly.conf')
  const targetOf = (repository: string, tag: string) =>
    path.join(place.directory, `${repository}-${tag}`.replaceAll('/', '-'))
  return {
    async pull(repository, tag, credentials) {
      const source = `docker://${place.registry}/${repository}:${tag}`
      const target = `dir:${targetOf(repository, tag)}`
      const words = ['--insecure-policy', '--registries-conf', registries, 'copy', source, target]
      const environment = await loggedIn(place, credentials)
      const { status, stdout, stderr } = await runProgram('skopeo', words, environment)
      return { isDone: status === 0, said: stdout + stderr }
    },
    async check(repository, tag, { own }) {
      const directory = targetOf(repository, tag)
      const manifest = await readFile(path.join(directory, 'manifest.json'))
      assert.equal(digestOf(manifest), own.digest)
      const names = (await readdir(directory)).filter(name => /^[0-9a-f]{64}$/.test(name))
      const expected = [own.config, ...own.layers].map(({ digest }) => digest.replace('sha256:', ''))
      assert.deepEqual(names.sort(), [...new Set(expected)].sort())
      for (const name of names)
        assert.equal(digestOf(await readFile(path.join(directory, name))), `sha256:${name}`)
    },
    async stop() {},
  }
}
