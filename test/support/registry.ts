import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { type BlobRelay, startBlobRelay } from './blob-relay.ts'
import { kill } from './processes.ts'
import { freePort, startProgram, whenReady } from './programs.ts'
import type { Blob, Image } from './registry-images.ts'
import type { TokenServer } from './token-server.ts'

/** A real registry, Debian's docker-registry, with a relay in front that everybody else asks. */

export type Registry = {
  /** `host:port` of the relay. */
  readonly address: string
  /** Past the relay. */
  readonly ownAddress: string
  readonly relay: BlobRelay
  /** Past the relay. */
  push(repository: string, tag: string, image: Image): Promise<void>
  /** `kill -9`. */
  kill(): Promise<void>
  /** On the same port, with what it kept. */
  restart(): Promise<void>
  stop(): Promise<void>
}

export async function startRegistry(directory: string, tokens: TokenServer | null = null): Promise<Registry> {
  await mkdir(directory, { recursive: true })
  const ownAddress = `127.0.0.1:${await freePort()}`
  const settings = path.join(directory, 'config.yml')
  const certificates = path.join(directory, 'tokens.pem')
  if (tokens) await writeFile(certificates, tokens.cert)
  // JSON is YAML.
  await writeFile(
    settings,
    JSON.stringify({
      version: 0.1,
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: path.join(directory, 'storage') } },
      http: { addr: ownAddress, relativeurls: true },
      ...(tokens ? { auth: { token: { ...tokens.settings, rootcertbundle: certificates } } } : {}),
    }),
  )
  let child = await startServer(settings, ownAddress)
  const relay = await startBlobRelay(ownAddress)
  return {
    address: relay.address,
    ownAddress,
    relay,
    async push(repository, tag, image) {
      const token = tokens?.tokenFor(repository, ['pull', 'push'])
      const fields: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {}
      const to = { base: `http://${ownAddress}/v2/${repository}`, fields }
      for (const manifest of [image.own, image.other]) {
        if (manifest === null) continue
        for (const blob of [manifest.config, ...manifest.layers]) await putBlob(to, blob)
        await putManifest(to, manifest.digest, manifest)
      }
      await putManifest(to, tag, image.top)
    },
    kill: () => kill(child),
    async restart() {
      child = await startServer(settings, ownAddress)
    },
    async stop() {
      await relay.stop()
      await kill(child)
    },
  }
}

async function startServer(settings: string, address: string): Promise<ChildProcess> {
  const child = startProgram('docker-registry', ['serve', settings])
  await whenReady(child, () =>
    fetch(`http://${address}/v2/`).then(
      answer => answer.status < 500,
      () => false,
    ),
  )
  return child
}

type Repository = { readonly base: string; readonly fields: Readonly<Record<string, string>> }

/** In one piece (OCI distribution specification, "POST then PUT"). */
async function putBlob({ base, fields }: Repository, { digest, bytes }: Blob): Promise<void> {
  const begun = await fetch(`${base}/blobs/uploads/`, { method: 'POST', headers: fields })
  assert.equal(begun.status, 202, await begun.text())
  const url = new URL(begun.headers.get('location')!, base)
  url.searchParams.set('digest', digest)
  const headers = { ...fields, 'content-type': 'application/octet-stream' }
  const put = await fetch(url, { method: 'PUT', headers, body: new Uint8Array(bytes) })
  assert.equal(put.status, 201, await put.text())
}

async function putManifest(
  { base, fields }: Repository,
  reference: string,
  { mediaType, bytes }: Image['top'],
): Promise<void> {
  const headers = { ...fields, 'content-type': mediaType }
  const url = `${base}/manifests/${reference}`
  const put = await fetch(url, { method: 'PUT', headers, body: new Uint8Array(bytes) })
  assert.equal(put.status, 201, await put.text())
}
