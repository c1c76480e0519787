import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, constants, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Clock } from '../core/clock.ts'
import { type Digest, digestOf, parseDigest } from '../core/digest.ts'
import { DragonflyError } from '../core/error.ts'
import { taskIdOf } from '../core/task-id.ts'
import type { ContentFetcher, ContentOrder } from '../dfdaemon/options.ts'
import type { Log } from '../ops/log.ts'
import type { LocalEvent, RunResult } from '../wire/local.ts'

/**
 * Fetches with a program that is called as dfdaemon 1.x called dfget: `-u URL -o FILE`, further flags, a `--header` for each header field.
 * What it prints is not read; status 0 means that the file is there. Nothing can be read of it before. The command line, and with it
 * what clients show of themselves, can be seen with `ps`, as it always could.
 */

export type ExternalDfget = { readonly fetcher: ContentFetcher; stop(): void }

type ExternalDfgetOptions = {
  readonly program: string
  /** Given in each call, after URL and output. */
  readonly flags: readonly string[]
  /** Where the files are until they are read. */
  readonly directory: string
  readonly clock: Clock
  readonly log: Log
}

const STATUS_UNAUTHORIZED = 100
const SWEEP_EVERY_MS = 2 * 60_000
/** Longer than anybody reads a file that was fetched for one answer. */
const KEPT_MS = 60 * 60_000

const OUR_FILE = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:\.pem)?$/

/** Where a staragent puts dfget: its plug-in, else its own. */
const STARAGENT_PLACES = ['/home/staragent/plugins/dragonfly/dfget', '/home/staragent/bin/dfget']

/** The first of the places that is a program, or a directory with one; null where there is none. */
export async function findStaragentDfget(
  places: readonly string[] = STARAGENT_PLACES,
): Promise<string | null> {
  for (const file of places.flatMap(place => [place, path.join(place, 'dfget')])) {
    const isFile = await stat(file).then(
      found => found.isFile(),
      () => false,
    )
    const mayRun = access(file, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (isFile && (await mayRun)) return file
  }
  return null
}

/** @throws DragonflyError PEER_NOT_STARTED where the program does not run, DISK_ERROR where the directory cannot be made */
export async function openExternalDfget(options: ExternalDfgetOptions): Promise<ExternalDfget> {
  const { program, directory, clock, log } = options
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch((cause: Error) => {
    throw new DragonflyError('DISK_ERROR', `${directory} cannot be used: ${cause.message}`, { cause })
  })
  await assertRuns(program)
  const sweepNow = () =>
    sweep(directory, clock.wallNow() - KEPT_MS).catch((cause: Error) =>
      log.warn({ directory, cause: cause.message }, 'old files not removed'),
    )
  let cancel = () => {}
  const sweepLater = () => {
    cancel = clock.schedule(SWEEP_EVERY_MS, () => {
      sweepLater()
      void sweepNow()
    })
  }
  await sweepNow()
  sweepLater()
  const fetcher: ContentFetcher = {
    isSilent: true,
    fetch: (order, signal) => fetchOne(options, order, signal),
  }
  return { fetcher, stop: () => cancel() }
}

async function* fetchOne(
  { program, flags, directory, clock }: ExternalDfgetOptions,
  order: ContentOrder,
  signal: AbortSignal,
): AsyncGenerator<LocalEvent> {
  const file = path.join(directory, randomUUID())
  const authorities = order.authorities ? `${file}.pem` : null
  const startedAt = clock.now()
  try {
    if (authorities !== null) await writeFile(authorities, order.authorities!, { flag: 'wx', mode: 0o600 })
    const status = await run(program, callOf({ order, file, authorities, flags }), signal)
    if (status !== 0) throw failureOf(program, status)
    yield { event: 'complete', result: await resultOf(order, file, (clock.now() - startedAt) / 1000) }
  } finally {
    await Promise.all([file, `${file}.pem`].map(name => rm(name, { force: true })))
  }
}

function callOf({
  order,
  file,
  authorities,
  flags,
}: {
  order: ContentOrder
  file: string
  authorities: string | null
  flags: readonly string[]
}): string[] {
  const headers = order.headers
    .filter(([name]) => !/^(?:host|accept-encoding)$/i.test(name))
    .flatMap(([name, value]) => ['--header', `${canonical(name)}:${value}`])
  return [
    ...['-u', order.url, '-o', file, ...flags, ...headers],
    ...(order.isInsecure ? ['--insecure'] : []),
    ...(authorities === null ? [] : ['--cacerts', authorities]),
  ]
}

/** As Go writes the names of header fields. */
function canonical(name: string): string {
  return name.toLowerCase().replace(/(?:^|-)[a-z]/g, letter => letter.toUpperCase())
}

function failureOf(program: string, status: number): DragonflyError {
  const message = `${program} ended with status ${status}`
  return new DragonflyError(status === STATUS_UNAUTHORIZED ? 'ORIGIN_UNAUTHORIZED' : 'PEER_LOST', message)
}

/** The program vouches for no SHA-256, so that what was promised is looked at here. */
async function resultOf(order: ContentOrder, file: string, seconds: number): Promise<RunResult> {
  const { size: lengthBytes } = await stat(file).catch(cause => {
    throw new DragonflyError('PEER_LOST', 'dfget ended with status 0, and there is no file', { cause })
  })
  const expected = order.digest === null ? undefined : parseDigest(order.digest)
  if (expected !== undefined && (await digestOfFile(file)) !== expected) {
    throw new DragonflyError('DIGEST_MISMATCH', `what dfget brought is not ${expected}`)
  }
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
  return {
    taskId: taskIdOf({ url: order.url, expectedDigest: expected }, sha256),
    path: file,
    lengthBytes,
    seconds,
    digest: expected ?? null,
    // Where the program has it from, it does not say.
    bytes: { peers: 0, supernode: 0, origin: 0, local: 0 },
    sources: 0,
    retries: 0,
    waitMs: {},
    boundFactor: null,
    node: null,
  }
}

async function digestOfFile(file: string): Promise<Digest> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return digestOf(hash.digest())
}

/** @throws DragonflyError PEER_NOT_STARTED where neither way of asking for the version succeeds */
async function assertRuns(program: string): Promise<void> {
  for (const word of ['version', '-v']) {
    if ((await run(program, [word], new AbortController().signal)) === 0) return
  }
  throw new DragonflyError(
    'PEER_NOT_STARTED',
    `${program} says no version, neither with "version" nor with "-v"`,
  )
}

/**
 * Exit status; -1 where a signal has ended it. When the signal aborts it is killed, and its end awaited.
 * @throws DragonflyError PEER_NOT_STARTED; the signal's reason
 */
async function run(program: string, words: readonly string[], signal: AbortSignal): Promise<number> {
  signal.throwIfAborted()
  const child = spawn(program, words, { stdio: 'ignore' })
  const onAbort = () => child.kill('SIGKILL')
  signal.addEventListener('abort', onAbort)
  const status = await endOf(child)
    .catch((cause: Error) => {
      throw new DragonflyError('PEER_NOT_STARTED', `${program} cannot be run: ${cause.message}`, { cause })
    })
    .finally(() => signal.removeEventListener('abort', onAbort))
  signal.throwIfAborted()
  return status
}

function endOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', status => resolve(status ?? -1))
  })
}

/** Removes what a daemon that was killed has left. */
async function sweep(directory: string, before: number): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (!entry.isFile() || !OUR_FILE.test(entry.name)) continue
    const file = path.join(directory, entry.name)
    const found = await stat(file).catch(() => null)
    if (found !== null && Math.max(found.atimeMs, found.mtimeMs) < before) await rm(file, { force: true })
  }
}
