import { type ChildProcess, spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { Agent, type IncomingMessage, request } from 'node:http'
import type { Readable } from 'node:stream'
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

type Ask = {
  method: string
  path: string
  body?: unknown
  headers?: Record<string, string>
  signal?: AbortSignal
}

/** Sends one request over the peer's socket; null where nobody listens there. */
export function askPeer(home: Home, ask: Ask): Promise<IncomingMessage | null> {
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
      if (isNobodyThere(error)) resolve(null)
      else if (ask.signal?.aborted) reject(ask.signal.reason)
      else
        reject(
          new DragonflyError('PEER_LOST', `the resident peer broke off: ${error.message}`, { cause: error }),
        )
    })
    outgoing.end(ask.body === undefined ? undefined : JSON.stringify(ask.body))
  })
}

/** No socket, one that a killed peer left, or one whose peer ended before it took the connection. */
function isNobodyThere({ syscall, code }: NodeJS.ErrnoException): boolean {
  return syscall === 'connect' && (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ECONNRESET')
}

/** How the resident peer is started: the file of dfget, and flags that say how the peer runs. */
export type PeerStart = { readonly program: string; readonly flags: readonly string[] }

/** Like `askPeer`, but starts the account's peer if there is none. Of several commands that do so at once, one peer remains. */
export async function askStartedPeer(home: Home, peerStart: PeerStart, ask: Ask): Promise<IncomingMessage> {
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
    if (!(await startInTurn(home, peerStart, ask.signal))) {
      await sleep(systemClock, LOOK_AGAIN_MS, ask.signal)
    }
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
async function startInTurn(home: Home, peerStart: PeerStart, signal?: AbortSignal): Promise<boolean> {
  const unlock = await lockStart(home).catch(thrown => {
    if (toDragonflyError(thrown).code === 'ADDRESS_IN_USE') return null
    throw thrown
  })
  if (unlock === null) return false
  try {
    // Whoever had the turn before may have started it since we asked.
    const present = await askPeer(home, { method: 'GET', path: '/status', signal })
    present?.resume()
    return present !== null || (await startPeer(home, peerStart, signal))
  } finally {
    await unlock()
  }
}

/** Resolves when the new process listens; false where another one holds the home. An interrupted command leaves it to start alone. */
async function startPeer(home: Home, { program, flags }: PeerStart, signal?: AbortSignal): Promise<boolean> {
  const log = await open(home.logFile, 'a', 0o600).catch(cause => {
    throw new DragonflyError('HOME_UNUSABLE', `the log cannot be written: ${cause.message}`, { cause })
  })
  try {
    const child = spawn(
      process.execPath,
      [...process.execArgv, program, 'server', ...flags, '--home', home.root],
      {
        detached: true,
        stdio: ['ignore', 'ignore', log.fd, 'pipe'],
        cwd: '/',
        env: environmentOfPeer(),
      },
    )
    child.unref()
    const { code, message } = parseFirstWords(await firstWords(child, signal))
    if (code === 'OK' || code === 'ALREADY_RUNNING') return code === 'OK'
    throw notStarted(message, { code })
  } finally {
    await log.close()
  }
}

/** The line by which a new process says that it listens, or why it does not; less where it ends before. */
function firstWords(child: ChildProcess, signal?: AbortSignal): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  // A process that could not be made has no streams.
  const stream = child.stdio?.[3] as Readable | undefined
  let said = ''
  const onAbort = () => reject(signal?.reason)
  const cancel = systemClock.schedule(START_MS, () => reject(notStarted('it says nothing')))
  const onError = (cause: Error) => reject(notStarted(cause.message, { cause }))
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort)
  child.once('error', onError)
  stream?.once('error', onError)
  stream?.on('data', part => {
    said += part
    if (said.includes('\n')) resolve(said)
  })
  stream?.once('close', () => resolve(said))
  return promise.finally(() => {
    cancel()
    signal?.removeEventListener('abort', onAbort)
    stream?.destroy()
  })
}

function parseFirstWords(said: string): { code: string; message: string } {
  if (said === '') return { code: '', message: 'it ended at once' }
  try {
    const { code, message } = JSON.parse(said) ?? {}
    return { code, message: message ?? 'it said nothing that is understood' }
  } catch {
    return { code: '', message: 'it ended in the middle of a word' }
  }
}

function notStarted(why: string, { code = '', cause }: { code?: string; cause?: unknown } = {}) {
  const known = isErrorCode(code) ? code : 'PEER_NOT_STARTED'
  return new DragonflyError(known, `the resident peer did not start: ${why}`, { cause })
}

/** What is set for a command is not the peer's, who serves others too; it may hold credentials. */
function environmentOfPeer(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^DFGET_|_proxy$/i.test(name)))
}
