import { encodeUtf8 } from '../core/text.ts'
import {
  closeFile,
  OPEN_TO_READ,
  openFile,
  openNewFile,
  readFully,
  removeFile,
  renameFile,
  statDescriptor,
  statPath,
  writeAll,
} from './disk.ts'
import { errnoOf } from './disk-error.ts'
import { type DecodedRecord, decodeRecord, encodeHeader, type RecordHeader } from './record.ts'

/** Five times what the most pieces need; of a longer journal the rest is not read. */
const RECORD_BYTES_MAX = 32 * 1024 ** 2

type StoredRecord = DecodedRecord | { readonly kind: 'absent' }

/** @throws DragonflyError DISK_ERROR */
export async function readRecord(path: string): Promise<StoredRecord> {
  let descriptor: number
  try {
    descriptor = await openFile(path, OPEN_TO_READ)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return { kind: 'absent' }
    if (errnoOf(error) === 'ELOOP') return { kind: 'malformed' }
    throw error
  }
  try {
    const stats = await statDescriptor(descriptor)
    if (!stats.isFile()) return { kind: 'malformed' }
    const bytes = new Uint8Array(Math.min(Number(stats.size), RECORD_BYTES_MAX))
    return decodeRecord(bytes.subarray(0, await readFully(descriptor, bytes, 0)))
  } finally {
    await closeFile(descriptor)
  }
}

/** Puts a record that has only its header in place of whatever record is there. Returns its length in bytes, and the open file. */
export async function startRecord(
  path: string,
  header: RecordHeader,
): Promise<{ headerBytes: number; descriptor: number }> {
  const temporaryPath = `${path}.new`
  const bytes = encodeUtf8(encodeHeader(header))
  const descriptor = await openNewFile(temporaryPath)
  try {
    await writeAll(descriptor, bytes, 0)
    await renameFile(temporaryPath, path)
  } catch (error) {
    await closeFile(descriptor)
    await removeFile(temporaryPath)
    throw error
  }
  return { headerBytes: bytes.length, descriptor }
}

/** Renames to `<path>.v<version>`, or `….v<version>-2` and so on where that is taken. Nothing there is fine. */
export async function moveAside(path: string, version: number): Promise<void> {
  if ((await statPath(path)) === null) return
  let asidePath = `${path}.v${version}`
  for (let attempt = 2; (await statPath(asidePath)) !== null; attempt++) {
    asidePath = `${path}.v${version}-${attempt}`
  }
  await renameFile(path, asidePath)
}
