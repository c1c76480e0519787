import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { parseCidr } from '../../src/core/ip-address.ts'
import { seededRandom } from '../../src/core/random.ts'
import { Dfdaemon } from '../../src/dfdaemon/dfdaemon.ts'
import type { ListenerLimits } from '../../src/dfdaemon/listener.ts'
import type { DfdaemonOptions, Registry } from '../../src/dfdaemon/options.ts'
import { ScriptedFetcher } from './dfdaemon-fetcher.ts'
import { type FakeRegistry, startFakeRegistry } from './dfdaemon-registry.ts'
import { type KeptLog, keptLog } from './kept-log.ts'
import { MovedClock } from './moved-clock.ts'

/** A daemon before a small registry, with a fetcher that the test speaks for, and a clock that it moves. */
export type DfdaemonWorld = {
  readonly daemon: Dfdaemon
  readonly registry: FakeRegistry
  readonly fetcher: ScriptedFetcher
  readonly clock: MovedClock
  readonly log: KeptLog
  stop(): Promise<void>
}

export function registryAt(remote: string, isDirect = false): Registry {
  return { remote, trust: { authorities: null, isInsecure: false }, isDirect }
}

export async function startDfdaemonWorld(
  options: (registry: FakeRegistry) => Partial<DfdaemonOptions> = () => ({}),
  limits?: ListenerLimits,
): Promise<DfdaemonWorld> {
  const registry = await startFakeRegistry()
  const fetcher = await ScriptedFetcher.create()
  const clock = new MovedClock()
  const log = keptLog()
  const daemon = await Dfdaemon.start(
    {
      host: '127.0.0.1',
      port: 0,
      tls: null,
      mirror: { usual: registryAt(registry.url), registries: new Map() },
      proxy: { rules: [], hijack: null },
      clients: { allowed: [parseCidr('127.0.0.0/8')], credentials: null },
      proxies: null,
      fetcher,
      accessMemoryMs: 60_000,
      shown: { args: [], settings: {} },
      clock,
      random: seededRandom(1),
      log,
      ...options(registry),
    },
    limits,
  )
  return {
    daemon,
    registry,
    fetcher,
    clock,
    log,
    async stop() {
      await daemon.stop()
      await registry.close()
      await fetcher.remove()
    },
  }
}

export type Got = {
  readonly status: number
  readonly statusText: string
  readonly headers: IncomingMessage['headers']
  readonly rawHeaders: string[]
  readonly body: Buffer
  /** Whether the whole body came. */
  readonly isWhole: boolean
}

type Ask = {
  method?: string
  headers?: Record<string, string | string[]> | string[]
  body?: Buffer
  onRequest?: (request: ClientRequest) => void
  onResponse?: (response: IncomingMessage) => void
}

/** One request, on a connection of its own. */
export function ask(port: number, path: string, options: Ask = {}): Promise<Got> {
  const { method = 'GET', headers, body, onRequest, onResponse } = options
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, method, headers, agent: false }, response => {
      const parts: Buffer[] = []
      onResponse?.(response)
      response.on('data', part => parts.push(part))
      response.on('error', () => {})
      response.on('close', () =>
        resolve({
          status: response.statusCode!,
          statusText: response.statusMessage!,
          headers: response.headers,
          rawHeaders: response.rawHeaders,
          body: Buffer.concat(parts),
          isWhole: response.complete,
        }),
      )
    })
    outgoing.once('error', reject)
    onRequest?.(outgoing)
    outgoing.end(body)
  })
}

/** Sends `text` as it is and resolves with all that comes until the connection is closed. */
export function sendRaw(port: number, text: string | Buffer): Promise<string> {
  return new Promise(resolve => {
    let said = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    socket.setEncoding('latin1').on('data', part => {
      said += part
    })
    socket.on('error', () => {}).on('close', () => resolve(said))
  })
}

/** Deterministic bytes that differ from place to place. */
export function bytesOf(lengthBytes: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(lengthBytes)
  const random = seededRandom(seed)
  for (let i = 0; i < lengthBytes; i++) bytes[i] = random.next() * 256
  return bytes
}
