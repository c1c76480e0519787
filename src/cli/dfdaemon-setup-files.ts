import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { DragonflyError } from '../core/error.ts'
import { decodeUtf8 } from '../core/text.ts'
import type { PresentFiles } from '../dfdaemon/runtimes/runtime-setup.ts'

/** Configuration files below a root: `/`, or the directory of an image that is being built. Paths are as the runtime will see them. */

const FILE_BYTES_MAX = 4 * 1024 * 1024
const FILE_MODE = 0o644
const DIRECTORY_MODE = 0o755

export class SetupFiles implements PresentFiles {
  readonly root: string

  /** @throws DragonflyError USAGE */
  constructor(root: string) {
    try {
      this.root = fs.realpathSync(root)
    } catch (cause) {
      throw new DragonflyError('USAGE', `${root} is no directory`, { cause })
    }
  }

  /** @throws DragonflyError CONFIG_INVALID where it is no text, or a link leads out of the root */
  read(file: string): string | null {
    const real = this.#locate(file)
    const stat = fs.statSync(real, { throwIfNoEntry: false })
    if (stat === undefined) return null
    if (!stat.isFile() || stat.size > FILE_BYTES_MAX) throw refused(file, 'is not a file of text')
    try {
      return decodeUtf8(call(file, 'read', () => fs.readFileSync(real)))
    } catch (thrown) {
      if (thrown instanceof DragonflyError) throw thrown
      throw refused(file, 'is not a file of text')
    }
  }

  list(pattern: string): readonly string[] {
    const directory = path.dirname(pattern)
    const wanted = new RegExp(
      `^${path
        .basename(pattern)
        .replace(/[^*?\w]/g, '\\$&')
        .replaceAll('*', '[^.].*')
        .replaceAll('?', '.')}$`,
    )
    const real = this.#locate(directory)
    if (!fs.statSync(real, { throwIfNoEntry: false })?.isDirectory()) return []
    const names = call(directory, 'read', () => fs.readdirSync(real))
    return names
      .filter(name => wanted.test(name))
      .sort()
      .map(name => path.join(directory, name))
  }

  has(file: string): boolean {
    return fs.lstatSync(this.#locate(file), { throwIfNoEntry: false }) !== undefined
  }

  /** Whole or not at all. A file that is there keeps its mode and owner. */
  write(file: string, text: string): void {
    const real = this.#locate(file)
    call(file, 'written', () => {
      const { mode, uid, gid } = fs.statSync(real, { throwIfNoEntry: false }) ?? {}
      putWhole(real, {
        bytes: Buffer.from(text),
        mode: mode ?? FILE_MODE,
        owner: uid === undefined ? null : [uid, gid!],
      })
    })
  }

  /** With mode, owner and times. */
  copy(from: string, to: string): void {
    const [source, target] = [this.#locate(from), this.#locate(to)]
    call(to, 'written', () => {
      const { mode, uid, gid, atime, mtime } = fs.statSync(source)
      putWhole(target, { bytes: fs.readFileSync(source), mode, owner: [uid, gid], times: [atime, mtime] })
    })
  }

  move(from: string, to: string): void {
    const [source, target] = [this.#locate(from), this.#locate(to)]
    call(to, 'written', () => {
      fs.renameSync(source, target)
      syncDirectory(path.dirname(target))
    })
  }

  remove(file: string): void {
    const real = this.#locate(file)
    call(file, 'removed', () => fs.rmSync(real, { force: true }))
  }

  /** Directories that are missing above a file, the outermost first. */
  missingDirectories(file: string): string[] {
    const directory = path.dirname(file)
    return this.has(directory) || directory === '/' ? [] : [...this.missingDirectories(directory), directory]
  }

  makeDirectory(directory: string): void {
    const real = this.#locate(directory)
    call(directory, 'made', () => {
      fs.mkdirSync(real, { recursive: true })
      // The account's mask may keep the runtime out.
      fs.chmodSync(real, DIRECTORY_MODE)
    })
  }

  /** Leaves it where something is in it. */
  removeDirectory(directory: string): void {
    try {
      fs.rmdirSync(this.#locate(directory))
    } catch (thrown) {
      const { code } = thrown as NodeJS.ErrnoException
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOENT')
        throw toFailure(directory, 'removed', thrown)
    }
  }

  /** Where it is on this disk, links followed. One that leads out of the root would change a file of this machine instead of the image's. */
  #locate(file: string): string {
    const names = path.resolve('/', file).split('/').slice(1)
    let real = this.root
    for (const name of names) {
      const next = path.join(real, name)
      const stat = call(file, 'read', () => fs.lstatSync(next, { throwIfNoEntry: false }))
      if (!stat?.isSymbolicLink()) {
        real = next
        continue
      }
      try {
        real = fs.realpathSync(next)
      } catch (cause) {
        throw refused(file, `is or goes through a link to nowhere, ${next}`, cause)
      }
      const inside = path.relative(this.root, real)
      if (inside === '..' || inside.startsWith('../'))
        throw refused(file, `is or goes through a link out of ${this.root}, ${next}`)
    }
    return real
  }
}

type WholeFile = {
  readonly bytes: Buffer
  readonly mode: number
  /** Null leaves it with the account that runs this. */
  readonly owner: readonly [number, number] | null
  readonly times?: readonly [Date, Date]
}

function putWhole(file: string, { bytes, mode, owner, times }: WholeFile): void {
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${randomUUID()}`)
  const descriptor = fs.openSync(temporary, 'wx', 0o600)
  try {
    try {
      fs.writeFileSync(descriptor, bytes)
      const { uid, gid } = fs.fstatSync(descriptor)
      if (owner && (owner[0] !== uid || owner[1] !== gid)) fs.fchownSync(descriptor, ...owner)
      fs.fchmodSync(descriptor, mode & 0o7777)
      if (times) fs.futimesSync(descriptor, ...times)
      fs.fsyncSync(descriptor)
    } finally {
      fs.closeSync(descriptor)
    }
    fs.renameSync(temporary, file)
  } catch (thrown) {
    fs.rmSync(temporary, { force: true })
    throw thrown
  }
  syncDirectory(path.dirname(file))
}

/** A name is lasting when its directory is written. */
function syncDirectory(directory: string): void {
  const descriptor = fs.openSync(directory, 'r')
  try {
    fs.fsyncSync(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
}

function call<T>(file: string, done: string, action: () => T): T {
  try {
    return action()
  } catch (thrown) {
    throw toFailure(file, done, thrown)
  }
}

function toFailure(file: string, done: string, thrown: unknown): DragonflyError {
  const { code } = thrown as NodeJS.ErrnoException
  const isFull = code === 'ENOSPC' || code === 'EDQUOT'
  const advice = code === 'EACCES' || code === 'EPERM' ? '; run this as root' : ''
  return new DragonflyError(
    isFull ? 'DISK_FULL' : 'OUTPUT_INVALID',
    `${file} cannot be ${done}: ${code}${advice}`,
    {
      cause: thrown,
    },
  )
}

function refused(file: string, why: string, cause?: unknown): DragonflyError {
  return new DragonflyError('CONFIG_INVALID', `${file} ${why}; nothing was changed`, { cause })
}
