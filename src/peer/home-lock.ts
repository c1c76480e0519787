import { randomBytes } from 'node:crypto'
import { link, readFile, unlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import path from 'node:path'
import { DragonflyError } from '../core/error.ts'
import type { Home } from './home.ts'

/**
 * At most one resident peer per home. The lock is a name in Linux's abstract socket namespace (unix(7)): the kernel gives it to one
 * process and takes it back when that process ends in whatever way, so no lock is ever stale. The name is random and kept in the home,
 * so that no other account can guess and occupy it.
 * @throws DragonflyError ADDRESS_IN_USE where another process has it, HOME_UNUSABLE where nobody can
 */
export async function lockHome(home: Home): Promise<() => Promise<void>> {
  return lockNamed(home, 'dragonfly')
}

/** Of several commands that miss the peer at the same time, the holder starts one and the others look whether it is there. Throws as `lockHome` does. */
export async function lockStart(home: Home): Promise<() => Promise<void>> {
  return lockNamed(home, 'dragonfly-start')
}

async function lockNamed(home: Home, purpose: string): Promise<() => Promise<void>> {
  const server = createServer(socket => socket.destroy())
  try {
    const name = await lockName(path.join(home.root, 'meta', 'lock-name'))
    await listen(server, `\0${purpose}-${name}`)
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    throw code === 'EADDRINUSE'
      ? new DragonflyError('ADDRESS_IN_USE', `another process serves ${home.root}`, { cause })
      : new DragonflyError('HOME_UNUSABLE', `${home.root} cannot be locked: ${message}`, { cause })
  }
  return () => new Promise(resolve => server.close(() => resolve()))
}

/** The first of several processes that come at the same time decides. */
async function lockName(file: string): Promise<string> {
  const present = await readName(file)
  if (present !== null) return present
  const candidate = randomBytes(16).toString('hex')
  const temporary = `${file}.${candidate}`
  await writeFile(temporary, candidate, { mode: 0o600 })
  try {
    await link(temporary, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await unlink(temporary)
  }
  return lockName(file)
}

/** Null where there is none. A power failure can leave an empty file, and an empty name would be one for all homes: it goes. */
async function readName(file: string): Promise<string | null> {
  try {
    const name = await readFile(file, 'utf8')
    if (/^[0-9a-f]{32}$/.test(name)) return name
    await unlink(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return null
}

function listen(server: Server, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(address, resolve)
  })
}
