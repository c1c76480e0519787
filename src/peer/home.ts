import { createHash } from 'node:crypto'
import { chmod, lstat, mkdir, realpath } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { DragonflyError } from '../core/error.ts'

/** Where an account's peer keeps things. */
export type Home = {
  readonly root: string
  readonly logFile: string
  /** The control socket between commands and the resident peer. */
  readonly socket: string
}

/** Longest path that a unix socket can have (`sun_path`, minus the final zero). */
const SOCKET_PATH_MAX = 107

/**
 * Makes the directories, for this account only.
 * @throws DragonflyError HOME_UNUSABLE where that cannot be had
 */
export async function openHome(root: string): Promise<Home> {
  try {
    await mkdir(root, { recursive: true, mode: 0o700 })
    const real = await realpath(root)
    // Root may write everywhere; its peer in another account's home would be that account's to play with.
    if ((await lstat(real)).uid !== process.getuid!()) {
      throw new DragonflyError('HOME_UNUSABLE', `${real} belongs to another account`)
    }
    for (const name of ['meta', 'logs']) {
      await mkdir(path.join(real, name), { recursive: true, mode: 0o700 })
    }
    const meta = path.join(real, 'meta')
    await chmod(meta, 0o700)
    await assertPrivate(meta)
    return {
      root: real,
      logFile: path.join(real, 'logs', 'dfclient.log'),
      socket: await socketPath(path.join(meta, 'peer.sock')),
    }
  } catch (thrown) {
    if (thrown instanceof DragonflyError) throw thrown
    throw new DragonflyError('HOME_UNUSABLE', `${root} cannot be used: ${(thrown as Error).message}`, {
      cause: thrown,
    })
  }
}

/** A home too deep for a socket path has its socket in a private directory beside the system's temporary files. */
async function socketPath(preferred: string): Promise<string> {
  if (Buffer.byteLength(preferred) <= SOCKET_PATH_MAX) return preferred
  const directory = path.join(os.tmpdir(), `dragonfly-${process.getuid!()}`)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await assertPrivate(directory)
  return path.join(directory, `${createHash('sha256').update(preferred).digest('hex').slice(0, 32)}.sock`)
}

/** Whoever can write where the socket is can put their own in its place, and be told the account's credentials. */
async function assertPrivate(directory: string): Promise<void> {
  const stats = await lstat(directory)
  const isPrivate =
    stats.isDirectory() && stats.uid === process.getuid!() && (stats.mode & OPEN_TO_OTHERS) === 0
  if (!isPrivate) throw new DragonflyError('HOME_UNUSABLE', `${directory} is not this account's alone`)
}

const OPEN_TO_OTHERS = 0o077
