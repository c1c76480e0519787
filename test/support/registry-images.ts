import { createCipheriv, createHash } from 'node:crypto'
import { gzipSync, zstdCompressSync } from 'node:zlib'

/** Container images as a registry keeps them, with content that is drawn from a seed (OCI image specification 1.0; Docker image manifest 2.2). */

export type Blob = { readonly digest: string; readonly bytes: Buffer }

export type Layer = Blob & {
  readonly compression: Compression
  /** Digest of the layer's tar file, which runtimes know it by once it is unpacked. */
  readonly diffId: string
  /** The one file that it adds. */
  readonly file: { readonly path: string; readonly sha256: string }
}

export type Manifest = Blob & {
  readonly mediaType: string
  readonly config: Blob
  readonly layers: readonly Layer[]
}

export type Image = {
  /** What a tag points at: of an index, the index itself. */
  readonly top: Blob & { readonly mediaType: string }
  /** For this machine. */
  readonly own: Manifest
  /** Of an index, for another kind of machine. */
  readonly other: Manifest | null
}

export type Compression = 'none' | 'gzip' | 'zstd'
type Format = 'oci' | 'docker'
type Platform = { readonly architecture: string; readonly os: 'linux' }

const TAR_BLOCK = 512
const OWN: Platform = { architecture: process.arch === 'arm64' ? 'arm64' : 'amd64', os: 'linux' }
const OTHER: Platform = { architecture: process.arch === 'arm64' ? 'amd64' : 'arm64', os: 'linux' }
const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'

const MEDIA_TYPES = {
  oci: {
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: {
      none: 'application/vnd.oci.image.layer.v1.tar',
      gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
      zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
    },
  },
  docker: {
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: {
      none: 'application/vnd.docker.image.rootfs.diff.tar',
      gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
      zstd: null,
    },
  },
} as const

const COMPRESS = {
  none: (tar: Buffer) => tar,
  gzip: (tar: Buffer) => gzipSync(tar, { level: 1 }),
  zstd: (tar: Buffer) => zstdCompressSync(tar),
} as const

/** A layer with one file, which does not compress; equal names make equal layers. */
export function makeLayer(name: string, lengthBytes: number, compression: Compression = 'gzip'): Layer {
  const content = contentOf(name, lengthBytes)
  const path = `data/${name}.bin`
  const tar = tarOf(path, content)
  return {
    ...blobOf(COMPRESS[compression](tar)),
    compression,
    diffId: digestOf(tar),
    file: { path, sha256: hashOf(content) },
  }
}

export function makeImage(layers: readonly Layer[], format: Format = 'oci'): Image {
  const own = manifestOf(layers, format, OWN)
  return { top: own, own, other: null }
}

/** For amd64 and arm64. */
export function makeIndex(layers: { own: readonly Layer[]; other: readonly Layer[] }): Image {
  const [own, other] = [manifestOf(layers.own, 'oci', OWN), manifestOf(layers.other, 'oci', OTHER)]
  const manifests = [
    { ...descriptorOf(other.mediaType, other), platform: OTHER },
    { ...descriptorOf(own.mediaType, own), platform: OWN },
  ]
  const index = jsonBlob({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests })
  return { top: { ...index, mediaType: INDEX_TYPE }, own, other }
}

/** Of what this machine takes of the images, each blob once. */
export function uniqueBytes(images: readonly Image[]): number {
  const blobs = images.flatMap(({ own }) => [own.config, ...own.layers])
  const lengths = new Map(blobs.map(({ digest, bytes }) => [digest, bytes.length]))
  return [...lengths.values()].reduce((sum, length) => sum + length, 0)
}

function manifestOf(layers: readonly Layer[], format: Format, { architecture, os }: Platform): Manifest {
  const types = MEDIA_TYPES[format]
  const config = jsonBlob({
    architecture,
    os,
    created: '2020-01-01T00:00:00Z',
    config: { Cmd: ['/none'] },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(({ file }) => ({ created: '2020-01-01T00:00:00Z', created_by: file.path })),
  })
  const manifest = jsonBlob({
    schemaVersion: 2,
    mediaType: types.manifest,
    config: descriptorOf(types.config, config),
    layers: layers.map(layer => {
      const mediaType = types.layer[layer.compression]
      if (mediaType === null) throw new Error(`${format} has no layers compressed with ${layer.compression}`)
      return descriptorOf(mediaType, layer)
    }),
  })
  return { ...manifest, mediaType: types.manifest, config, layers }
}

function descriptorOf(mediaType: string, { digest, bytes }: Blob) {
  return { mediaType, digest, size: bytes.length }
}

function jsonBlob(value: unknown): Blob {
  return blobOf(Buffer.from(JSON.stringify(value)))
}

function blobOf(bytes: Buffer): Blob {
  return { digest: digestOf(bytes), bytes }
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${hashOf(bytes)}`
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** The key stream of a cipher whose key is the name's hash: fast, and the same in each run. */
function contentOf(name: string, lengthBytes: number): Buffer {
  const key = createHash('sha256').update(name).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(lengthBytes))
}

/** POSIX ustar with one file. */
function tarOf(path: string, content: Buffer): Buffer {
  const header = Buffer.alloc(TAR_BLOCK)
  const put = (offset: number, text: string) => header.write(text, offset, 'latin1')
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`
  put(0, path)
  put(100, octal(0o644, 7))
  put(108, octal(0, 7))
  put(116, octal(0, 7))
  put(124, octal(content.length, 11))
  put(136, octal(0, 11))
  put(148, ' '.repeat(8))
  put(156, '0')
  put(257, 'ustar\x0000')
  put(
    148,
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      6,
    )} `,
  )
  const padding = Buffer.alloc(-content.length & (TAR_BLOCK - 1))
  return Buffer.concat([header, content, padding, Buffer.alloc(2 * TAR_BLOCK)])
}
