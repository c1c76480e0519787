import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { Agent, type IncomingMessage, request } from 'node:http'
import { sleep } from '../core/clock.ts'
import { DragonflyError, ERROR_TABLE, isErrorCode, toDragonflyError } from '../core/error.ts'
import { systemClock } from '../ops/system-clock.ts'
import { VERSION } from '../ops/version.ts'
import type { Home } from '../peer/home.ts'
import { lockStart } from '../peer/home-lock.ts'
import { RELEASE_HEADER } from '../wire/local.ts'

/** The command's side of the resident peer: find it, start it, speak to it. */

/** A busy host needs seconds to start a process, and so does the former peer to end. */
const START_MS = 30_000
const LOOK_AGAIN_MS = 50

/** Sends one request over the peer's socket; null where nobody listens there. */
export function askPeer(
  home: Home,
  ask: {
    method: string
    path: string
    body?: unknown
    headers?: Record<string, string>
    signal?: AbortSignal
  },
): Promise<IncomingMessage | null> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      socketPath: home.socket,
      method: ask.method,
      path: ask.path,
      signal: ask.signal,
      agent: new Agent({ keepAlive: false }),
      headers: {
        host: 'peer',
        'content-type': 'application/json',
        [RELEASE_HEADER]: VERSION,
        ...ask.headers,
      },
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
  peerArguments: readonly string[],
  ask: Parameters<typeof askPeer>[1],
): Promise<IncomingMessage> {
  let deadline = systemClock.now() + START_MS
  for (;;) {
    const answer = await askPeer(home, ask)
    if (answer && answer.statusCode !== ERROR_TABLE.PEER_FINISHING.httpStatus) return answer
    if (answer) {
      answer.resume()
      await untilFinished(home, ask.signal)
      deadline = systemClock.now() + START_MS
      continue
    }
    if (systemClock.now() > deadline) {
      throw new DragonflyError('PEER_NOT_STARTED', `the resident peer of ${home.root} does not answer`)
    }
    if (!(await startInTurn(home, peerArguments))) await sleep(systemClock, LOOK_AGAIN_MS)
  }
}

/** A peer of another release ends when its running downloads are done; the home is free then. */
async function untilFinished(home: Home, signal?: AbortSignal): Promise<void> {
  const answer = await askPeer(home, { method: 'POST', path: '/finish', signal }).catch(thrown => {
    if (signal?.aborted) throw thrown
    return null
  })
  // However the connection ends, the peer is gone or about to be.
  await answer
    ?.resume()
    .toArray()
    .catch(() => {})
}

/**
 * Whether there is something new to ask: a peer was started here. Otherwise somebody else is about to start one, or the former is about
 * to end and holds the home still.
 */
async function startInTurn(home: Home, peerArguments: readonly string[]): Promise<boolean> {
  const unlock = await lockStart(home).catch(thrown => {
    if (toDragonflyError(thrown).code === 'ADDRESS_IN_USE') return null
    throw thrown
  })
  if (unlock === null) return false
  try {
    // Whoever had the turn before may have started it since we asked.
    const present = await askPeer(home, { method: 'GET', path: '/status' })
    present?.resume()
    return present !== null || (await startPeer(home, peerArguments))
  } finally {
    await unlock()
  }
}

/** Resolves when the new process listens; false where another one holds the home. */
async function startPeer(home: Home, peerArguments: readonly string[]): Promise<boolean> {
  const log = await open(home.logFile, 'a', 0o600)
  try {
    const child = spawn(
      process.execPath,
      [...process.execArgv, process.argv[1], 'server', ...peerArguments, '--home', home.root],
      {
        detached: true,
        stdio: ['ignore', 'ignore', log.fd, 'pipe'],
        cwd: '/',
        env: environmentOfPeer(),
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
    if (code === 'OK' || code === 'ALREADY_RUNNING') return code === 'OK'
    throw new DragonflyError(
      isErrorCode(code) ? code : 'PEER_NOT_STARTED',
      `the resident peer did not start: ${message}`,
    )
  } finally {
    await log.close()
  }
}

/** What is set for a command is not the peer's, who serves others too; it may hold credentials. */
function environmentOfPeer(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^DFGET_|_proxy$/i.test(name)))
}
