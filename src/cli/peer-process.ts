import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { Agent, type IncomingMessage, request } from 'node:http'
import { sleep } from '../core/clock.ts'
import { DragonflyError, isErrorCode } from '../core/error.ts'
import { systemClock } from '../ops/system-clock.ts'
import type { Home } from '../peer/home.ts'

/** The command's side of the resident peer: find it, start it, speak to it. */

export type PeerFlags = { readonly ip?: string; readonly port?: number; readonly totallimit?: number }

const START_MS = 10_000
const LOOK_AGAIN_MS = 20

/** Sends one request over the peer's socket; null where nobody listens there. */
export function askPeer(
  home: Home,
  ask: { method: string; path: string; body?: unknown; signal?: AbortSignal },
): Promise<IncomingMessage | null> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      socketPath: home.socket,
      method: ask.method,
      path: ask.path,
      signal: ask.signal,
      agent: new Agent({ keepAlive: false }),
      headers: { host: 'peer', 'content-type': 'application/json' },
    })
    outgoing.once('response', resolve)
    outgoing.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(null)
      else
        reject(
          new DragonflyError('PEER_LOST', `the resident peer broke off: ${error.message}`, { cause: error }),
        )
    })
    outgoing.end(ask.body === undefined ? undefined : JSON.stringify(ask.body))
  })
}

/** Like `askPeer`, but starts the account's peer if there is none. Of several commands that do so at once, one peer remains. */
export async function askStartedPeer(
  home: Home,
  flags: PeerFlags,
  ask: Parameters<typeof askPeer>[1],
): Promise<IncomingMessage> {
  const present = await askPeer(home, ask)
  if (present) return present
  await startPeer(home, flags)
  const deadline = systemClock.now() + START_MS
  for (;;) {
    const answer = await askPeer(home, ask)
    if (answer) return answer
    if (systemClock.now() > deadline) {
      throw new DragonflyError('PEER_NOT_STARTED', `the resident peer of ${home.root} does not answer`)
    }
    await sleep(systemClock, LOOK_AGAIN_MS)
  }
}

/** Resolves when the new process listens, or has found that another one does. */
async function startPeer(home: Home, flags: PeerFlags): Promise<void> {
  const log = await open(home.logFile, 'a', 0o600)
  try {
    const child = spawn(
      process.execPath,
      [...process.execArgv, process.argv[1], 'server', ...serverArguments(home, flags)],
      {
        detached: true,
        stdio: ['ignore', 'ignore', log.fd, 'pipe'],
        cwd: '/',
      },
    )
    child.unref()
    let said = ''
    for await (const part of child.stdio[3] as AsyncIterable<Buffer>) {
      said += part
      if (said.includes('\n')) break
    }
    const { code, message } =
      said === '' ? { code: 'PEER_NOT_STARTED', message: 'it ended at once' } : JSON.parse(said)
    if (code === 'OK' || code === 'ALREADY_RUNNING') return
    throw new DragonflyError(
      isErrorCode(code) ? code : 'PEER_NOT_STARTED',
      `the resident peer did not start: ${message}`,
    )
  } finally {
    await log.close()
  }
}

function serverArguments(home: Home, flags: PeerFlags): string[] {
  const given = { home: home.root, ip: flags.ip, port: flags.port, totallimit: flags.totallimit }
  return Object.entries(given).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, String(value)],
  )
}
