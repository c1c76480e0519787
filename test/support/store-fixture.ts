/** What the tests of this room share. */

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import type { Sha256 } from '../../src/core/digest.ts'
import { type Generation, NO_VALIDATOR } from '../../src/core/generation.ts'
import { type PieceLayout, pieceCount, pieceRange } from '../../src/core/piece-layout.ts'
import type { TaskId } from '../../src/core/task-id.ts'
import type { TaskFile } from '../../src/store/task-file.ts'
import type { NewTask } from '../../src/store/task-store.ts'

export const PIECE_LENGTH = 16

export const sha256: Sha256 = bytes => createHash('sha256').update(bytes).digest()

export function temporaryDirectory(t: TestContext): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'dragonfly-store-'))
  t.after(() => fs.rmSync(directory, { recursive: true, force: true }))
  return directory
}

export function newTask(lengthBytes: number | null, changes: Partial<NewTask> = {}): NewTask {
  return {
    taskId: 'ab'.repeat(32) as TaskId,
    name: 'file.bin',
    url: 'http://origin.test/file.bin',
    generation: '0123456789abcdef' as Generation,
    validator: NO_VALIDATOR,
    layout: { lengthBytes, pieceLength: PIECE_LENGTH },
    ...changes,
  }
}

/** Bytes that differ from position to position and from seed to seed. */
export function contentOf(lengthBytes: number, seed = 1): Uint8Array {
  return Uint8Array.from(
    { length: lengthBytes },
    (_, position) => (position * 31 + seed * 101 + (position >> 4)) & 255,
  )
}

export function pieceOf(content: Uint8Array, index: number): Uint8Array {
  return content.subarray(index * PIECE_LENGTH, (index + 1) * PIECE_LENGTH)
}

export async function writePieces(
  file: TaskFile,
  content: Uint8Array,
  indices: Iterable<number>,
): Promise<void> {
  await Promise.all(
    Array.from(indices, index =>
      file.writePiece(index, pieceOf(content, index), sha256(pieceOf(content, index))),
    ),
  )
}

export async function writeMissing(file: TaskFile, content: Uint8Array): Promise<void> {
  const layout: PieceLayout = { lengthBytes: content.length, pieceLength: PIECE_LENGTH }
  const missing = Array.from({ length: pieceCount(layout) }, (_, index) => index).filter(
    i => !file.held.has(i),
  )
  await writePieces(file, content, missing)
}

/** Reads every held piece through the task file and tells whether each is what `content` has there. */
export async function holdsOnly(file: TaskFile, content: Uint8Array): Promise<boolean> {
  for (const index of file.held.members()) {
    const { start, end } = pieceRange({ ...file.layout, lengthBytes: content.length }, index)
    const bytes = new Uint8Array(end - start)
    await file.read(bytes, start)
    if (Buffer.compare(bytes, content.subarray(start, end)) !== 0) return false
  }
  return true
}

/** Descriptors of this process that point below `directory`, given time to close; none where the system does not tell. */
export async function openDescriptorsBelow(directory: string): Promise<number> {
  if (!fs.existsSync('/proc/self/fd')) return 0
  for (let turn = 0; turn < 1000 && countDescriptors(directory) > 0; turn++) await new Promise(setImmediate)
  return countDescriptors(directory)
}

function countDescriptors(directory: string): number {
  return fs.readdirSync('/proc/self/fd').filter(name => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${name}`).startsWith(directory)
    } catch {
      return false
    }
  }).length
}
