import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { killAllIn } from './processes.ts'
import { obstacleTo, type Program } from './programs.ts'
import type { Image } from './registry-images.ts'
import { digestOf, type Layer } from './registry-images.ts'

export type Runtime = {
  readonly name: Program
  readonly needsRoot: boolean
  readonly readsZstd: boolean
  /** Goes on where a broken answer ended; others fail. */
  readonly resumes: boolean
  /** Asks the registry where dfdaemon is down. Docker's would be docker.io. */
  readonly fallsBack: boolean
  start(place: RuntimePlace): Promise<RuntimeClient>
}

/** A container runtime of one host, with directories of its own. */
export type RuntimeClient = {
  /**
   * With the configuration that dfdaemon wrote, and the registry's own name.
   * @param credentials `user:password`
   */
  pull(repository: string, tag: string, credentials?: string): Promise<PullResult>
  /** Rejects unless the image lies there: digests of manifest, configuration and layers, and what was unpacked. */
  check(repository: string, tag: string, image: Image): Promise<void>
  stop(): Promise<void>
}

export type PullResult = {
  readonly isDone: boolean
  /** Everything that it said. */
  readonly said: string
}

export type RuntimePlace = {
  /** `host:port` as images are called by. */
  readonly registry: string
  /** `host:port` of dfdaemon. */
  readonly mirror: string
  readonly directory: string
}

/** Why a test with this runtime and a registry cannot run here, or false. */
export function obstacleToPull({ name, needsRoot }: Runtime): string | false {
  return obstacleTo(['docker-registry', name], { root: needsRoot })
}

/** Resolves when the image is pulled and lies there whole. */
export async function assertPulls(client: RuntimeClient, repository: string, image: Image): Promise<void> {
  const { isDone, said } = await client.pull(repository, '1')
  assert.ok(isDone, said)
  await client.check(repository, '1', image)
}

/**
 * Environment in which podman and skopeo show these to the registry and to its mirror, as after `podman login` at both; `--creds` would be
 * for the registry alone.
 */
export async function loggedIn(
  { registry, mirror, directory }: RuntimePlace,
  credentials: string | undefined,
): Promise<Record<string, string>> {
  const file = path.join(directory, 'auth.json')
  const auth = Buffer.from(credentials ?? '').toString('base64')
  const auths = credentials === undefined ? {} : { [registry]: { auth }, [mirror]: { auth } }
  await writeFile(file, JSON.stringify({ auths }))
  return { REGISTRY_AUTH_FILE: file }
}

export async function assertUnpacked(directory: string, layers: readonly Layer[]): Promise<void> {
  for (const { file } of layers) {
    const content = await readFile(path.join(directory, file.path))
    assert.equal(digestOf(content), `sha256:${file.sha256}`, file.path)
  }
}

/** What a runtime that was killed left mounted would keep its directory from being removed. */
export async function unmountAllIn(directory: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8'))
    .split('\n')
    .map(line => line.split(' ')[1] ?? '')
  for (const mount of mounts.filter(one => one.startsWith(`${directory}/`)).reverse()) {
    spawnSync('umount', ['-l', mount])
  }
}

/** Ends whatever was started in the directory, by whomever, and removes it. */
export async function removeWithAll(directory: string): Promise<void> {
  await killAllIn(directory)
  await unmountAllIn(directory)
  await rm(directory, { recursive: true, force: true, maxRetries: 5 })
}
