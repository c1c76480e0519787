import {
  closeFile,
  OPEN_TO_READ,
  openFile,
  openNewFile,
  readFully,
  renameFile,
  statDescriptor,
  syncData,
  syncDirectories,
  writeAll,
} from './disk.ts'
import { errnoOf } from './disk-error.ts'

const FILE_BYTES_MAX = 2 * 1024 * 1024

/** What is in a small file of ours; null where there is none, undefined where it is not JSON. @throws DragonflyError DISK_ERROR */
export async function readJsonFile(file: string): Promise<unknown> {
  let descriptor: number
  try {
    descriptor = await openFile(file, OPEN_TO_READ)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null
    throw error
  }
  try {
    const { size } = await statDescriptor(descriptor)
    if (size > FILE_BYTES_MAX) return undefined
    const bytes = Buffer.alloc(Number(size))
    return JSON.parse(bytes.toString('utf8', 0, await readFully(descriptor, bytes, 0)))
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  } finally {
    await closeFile(descriptor)
  }
}

/** For the owner's eyes only, and whole or not at all. @throws DragonflyError DISK_FULL, DISK_ERROR */
export async function writeJsonFile(file: string, content: object): Promise<void> {
  const descriptor = await openNewFile(`${file}.new`)
  try {
    await writeAll(descriptor, Buffer.from(`${JSON.stringify(content, null, 2)}\n`), 0)
    await syncData(descriptor)
  } finally {
    await closeFile(descriptor)
  }
  await renameFile(`${file}.new`, file)
  await syncDirectories([file])
}
