import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, chmod, copyFile, link, mkdir, open, rename, rmdir, stat, unlink } from 'node:fs/promises'
import path from 'node:path'
import { DragonflyError } from '../core/error.ts'

/**
 * Checks the target before a byte is fetched. The returned function takes back the directories that were made for it, as far as they
 * are still empty.
 * @throws DragonflyError OUTPUT_INVALID
 */
export async function prepareOutput(output: string): Promise<() => Promise<void>> {
  const made: string[] = []
  const takeBack = async () => {
    for (const directory of made.toReversed()) await rmdir(directory).catch(() => {})
  }
  try {
    const directory = path.dirname(output)
    await makeDirectories(directory, made)
    await access(directory, constants.W_OK | constants.X_OK)
    const existing = await stat(output).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null
      throw error
    })
    if (existing?.isDirectory()) throw new Error('it is a directory')
    if (existing && !existing.isFile()) throw new Error('it is not a regular file')
    return takeBack
  } catch (cause) {
    await takeBack()
    throw new DragonflyError('OUTPUT_INVALID', `${output} cannot be written: ${(cause as Error).message}`, {
      cause,
    })
  }
}

/** What `recursive` of `mkdir` does, save that it ends where a parent is there and takes no entries, as in /proc. */
async function makeDirectories(directory: string, made: string[]): Promise<void> {
  try {
    await mkdir(directory)
    made.push(directory)
  } catch (error) {
    if (await isDirectory(directory)) return
    const parent = path.dirname(directory)
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === directory) throw error
    await makeDirectories(parent, made)
    await mkdir(directory).then(
      () => made.push(directory),
      async again => {
        if (!(await isDirectory(directory))) throw again
      },
    )
  }
}

async function isDirectory(file: string): Promise<boolean> {
  return (await stat(file).catch(() => null))?.isDirectory() ?? false
}

/**
 * Puts the peer's copy in the target's place in one step: a second name for the same file where the file system allows, a copy (shared
 * extents if possible) where not. Until the last step the target is what it was before, and so it stays if it must not be replaced.
 * @throws DragonflyError OUTPUT_INVALID, DISK_FULL
 */
export async function publish(
  shared: string,
  output: string,
  { mayReplace } = { mayReplace: true },
): Promise<void> {
  const put = mayReplace ? rename : putBeside
  try {
    await chmod(shared, 0o666 & ~process.umask())
    if (!(await publishByLink(shared, output, put))) await publishByCopy(shared, output, put)
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const isFull = code === 'ENOSPC' || code === 'EDQUOT'
    throw new DragonflyError(
      isFull ? 'DISK_FULL' : 'OUTPUT_INVALID',
      `${output} cannot be written: ${message}`,
      { cause },
    )
  }
}

type Put = (temporary: string, output: string) => Promise<void>

/** Fails where there is something already. */
const putBeside: Put = async (temporary, output) => {
  try {
    await link(temporary, output)
  } catch (error) {
    const hasLinks = !NO_LINK.has((error as NodeJS.ErrnoException).code ?? '')
    if (hasLinks || (await stat(output).catch(() => null)) !== null) throw error
    return rename(temporary, output)
  }
  await unlink(temporary)
}

/** The temporary name lies beside the shared copy, where the next peer of the account sweeps it up if we are killed here. */
async function publishByLink(shared: string, output: string, put: Put): Promise<boolean> {
  const temporary = `${shared}.${process.pid}`
  try {
    await link(shared, temporary)
  } catch (error) {
    if (NO_LINK.has((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
  try {
    await put(temporary, output)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EXDEV') return false
    throw error
  } finally {
    // rename(2) leaves both names where they are links to the same file already.
    await unlink(temporary).catch(() => {})
  }
}

/** The temporary name is the same for every run, so that what a killed one left is overwritten by the next. */
async function publishByCopy(shared: string, output: string, put: Put): Promise<void> {
  const temporary = path.join(path.dirname(output), temporaryName(path.basename(output)))
  try {
    await unlink(temporary).catch(() => {})
    await copyFile(shared, temporary, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
    const handle = await open(temporary, 'r+')
    try {
      await handle.datasync()
    } finally {
      await handle.close()
    }
    await put(temporary, output)
  } catch (error) {
    await unlink(temporary).catch(() => {})
    throw error
  }
}

/** The target's name may be as long as the file system allows, and leave no room for more. */
function temporaryName(name: string): string {
  return Buffer.byteLength(name) <= 200
    ? `.${name}.dfget`
    : `.${createHash('sha256').update(name).digest('hex')}.dfget`
}

const NO_LINK = new Set(['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])
