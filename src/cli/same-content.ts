import { type FileHandle, open } from 'node:fs/promises'

const BLOCK_BYTES = 1024 * 1024

/**
 * Whether both are files of the same bytes. What cannot be read is not.
 * @throws the signal's reason
 */
export async function hasSameContent(
  [one, other]: readonly [string, string],
  signal: AbortSignal,
): Promise<boolean> {
  const handles: FileHandle[] = []
  try {
    for (const file of [one, other]) handles.push(await open(file))
    const [a, b] = await Promise.all(handles.map(handle => handle.stat()))
    if (a.dev === b.dev && a.ino === b.ino) return true
    return a.isFile() && b.isFile() && a.size === b.size && (await isSame([handles[0], handles[1]], signal))
  } catch {
    signal.throwIfAborted()
    return false
  } finally {
    for (const handle of handles) await handle.close()
  }
}

async function isSame([one, other]: readonly [FileHandle, FileHandle], signal: AbortSignal) {
  const [a, b] = [Buffer.alloc(BLOCK_BYTES), Buffer.alloc(BLOCK_BYTES)]
  for (let position = 0; ; ) {
    signal.throwIfAborted()
    const [{ bytesRead }, second] = await Promise.all([
      one.read(a, 0, BLOCK_BYTES, position),
      other.read(b, 0, BLOCK_BYTES, position),
    ])
    if (bytesRead !== second.bytesRead || !a.subarray(0, bytesRead).equals(b.subarray(0, bytesRead)))
      return false
    if (bytesRead === 0) return true
    position += bytesRead
  }
}
