import { createHash } from 'node:crypto'
import { chmod, mkdir, realpath } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

/** Where an account's peer keeps things. */
export type Home = {
  readonly root: string
  readonly logFile: string
  /** The control socket between commands and the resident peer. */
  readonly socket: string
}

/** Longest path that a unix socket can have (`sun_path`, minus the final zero). */
const SOCKET_PATH_MAX = 107

/** Makes the directories, for this account only. */
export async function openHome(root: string): Promise<Home> {
  for (const directory of [root, path.join(root, 'meta'), path.join(root, 'logs')]) {
    await mkdir(directory, { recursive: true, mode: 0o700 })
  }
  await chmod(path.join(root, 'meta'), 0o700)
  const real = await realpath(root)
  return {
    root: real,
    logFile: path.join(real, 'logs', 'dfclient.log'),
    socket: await socketPath(path.join(real, 'meta', 'peer.sock')),
  }
}

/** A home too deep for a socket path has its socket in a private directory beside the system's temporary files. */
async function socketPath(preferred: string): Promise<string> {
  if (Buffer.byteLength(preferred) <= SOCKET_PATH_MAX) return preferred
  const directory = path.join(os.tmpdir(), `dragonfly-${os.userInfo().uid}`)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const { stat } = await import('node:fs/promises')
  const { uid, mode } = await stat(directory)
  if (uid !== os.userInfo().uid || (mode & 0o077) !== 0) throw new Error(`${directory} is open to others`)
  return path.join(directory, `${createHash('sha256').update(preferred).digest('hex').slice(0, 32)}.sock`)
}
