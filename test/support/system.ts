import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { sleep } from '../../src/core/clock.ts'
import { seededRandom } from '../../src/core/random.ts'
import type { Http1Timeouts } from '../../src/net/http1-connection.ts'
import { silentLog } from '../../src/ops/log.ts'
import { systemClock } from '../../src/ops/system-clock.ts'
import { Peer, type PeerOptions } from '../../src/peer/peer.ts'
import { ORIGIN_READERS } from '../../src/supernode/origin-ranks.ts'
import { Supernode, type SupernodeOptions } from '../../src/supernode/supernode.ts'
import { DEFAULT_LIMITS, type DownloadLimits } from '../../src/transfer/download-options.ts'
import type { DownloadRequest, RunResult } from '../../src/wire/local.ts'

/** A supernode and peers in this process, on loopback, in a temporary directory, with short time limits. */

export const TEST_LIMITS: DownloadLimits = {
  ...DEFAULT_LIMITS,
  graceMs: 100,
  silenceMs: 4_000,
  stallMs: 6_000,
}
export const TEST_ORIGIN_TIMEOUTS: Http1Timeouts = { connectMs: 1_000, headMs: 1_500, idleMs: 800 }

export type TestSystem = {
  readonly directory: string
  readonly supernode: Supernode
  /** `host:port` of the supernode, as in `--node`. */
  readonly node: string
  /** One more supernode, with a home and ports of its own. */
  startSupernode(options?: Partial<SupernodeOptions>): Promise<Supernode>
  startPeer(options?: Partial<PeerOptions>): Promise<Peer>
  /** Starts a download, or joins one. Whoever gets the handle releases it. */
  begin(peer: Peer, url: string, request?: Partial<DownloadRequest>): ReturnType<Peer['download']>
  /** Downloads and waits; rejects with the DragonflyError of the download. */
  download(peer: Peer, url: string, request?: Partial<DownloadRequest>): Promise<RunResult>
  /** Resolves when the supernode has heard that every download is over, and has finished its own copies. */
  heardAll(): Promise<void>
  stopSupernode(): Promise<void>
  /** On the same ports and the same home. */
  restartSupernode(options?: Partial<SupernodeOptions>): Promise<void>
  /** Stops everything and removes the directory. */
  stop(): Promise<void>
}

export async function startSystem(options: Partial<SupernodeOptions> = {}): Promise<TestSystem> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-test-'))
  const base: SupernodeOptions = {
    port: 0,
    downloadPort: 0,
    homeDir: path.join(directory, 'supernode'),
    listenIp: '127.0.0.1',
    advertiseIp: null,
    uploadLimit: null,
    uploadSlots: null,
    originReaders: ORIGIN_READERS,
    originTimeouts: TEST_ORIGIN_TIMEOUTS,
    freshMs: 0,
    recordFile: null,
    clock: systemClock,
    random: seededRandom(1),
    log: silentLog,
    ...options,
  }
  let supernode: Supernode | null = await Supernode.start(base)
  const [port, downloadPort] = [supernode.port, supernode.downloadPort]
  const node = `127.0.0.1:${port}`
  const peers: Peer[] = []
  const others: Supernode[] = []
  let started = 0
  const system: TestSystem = {
    directory,
    node,
    get supernode() {
      if (!supernode) throw new Error('the supernode is stopped')
      return supernode
    },
    async startSupernode(changed = {}) {
      const homeDir = path.join(directory, `supernode-${others.length + 2}`)
      const other = await Supernode.start({ ...base, homeDir, ...changed })
      others.push(other)
      return other
    },
    async startPeer(peerOptions = {}) {
      const number = ++started
      const peer = await Peer.start({
        homeRoot: path.join(directory, `peer-${number}`),
        ip: `127.0.0.${10 + number}`,
        port: 0,
        totalLimit: null,
        limits: TEST_LIMITS,
        originTimeouts: TEST_ORIGIN_TIMEOUTS,
        clock: systemClock,
        random: seededRandom(number + 1),
        log: silentLog,
        ...peerOptions,
      })
      peers.push(peer)
      return peer
    },
    begin(peer, url, request = {}) {
      const usual = { headers: [], name: 'target', tag: '', digest: null, nodes: [node] }
      return peer.download({ url, ...usual, ...request })
    },
    async download(peer, url, request) {
      const { run, release } = await system.begin(peer, url, request)
      try {
        const result = await run.done
        return { ...result, digest: await run.contentDigest() }
      } finally {
        release()
      }
    },
    async heardAll() {
      const isAtRest = () => system.supernode.consumerCount + system.supernode.busyCount === 0
      while (!isAtRest()) await sleep(systemClock, 1)
    },
    async stopSupernode() {
      const stopping = supernode
      supernode = null
      await stopping?.stop()
    },
    async restartSupernode(changed = {}) {
      await system.stopSupernode()
      supernode = await Supernode.start({ ...base, port, downloadPort, ...changed })
    },
    async stop() {
      await Promise.all(peers.map(peer => peer.stop()))
      await system.stopSupernode()
      await Promise.all(others.map(other => other.stop()))
      await rm(directory, { recursive: true, force: true })
    },
  }
  return system
}

/** As in `--node`. */
export function nodeOf(supernode: Supernode): string {
  return `127.0.0.1:${supernode.port}`
}

export async function sha256OfFile(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const part of createReadStream(file)) hash.update(part)
  return `sha256:${hash.digest('hex')}`
}
