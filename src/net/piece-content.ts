import type { Bitmap } from '../core/bitmap.ts'
import type { Generation } from '../core/generation.ts'
import type { PieceLayout } from '../core/piece-layout.ts'
import type { TaskId } from '../core/task-id.ts'

/** What a piece server needs to know of the store: the seam between the two. */

export type PieceContent = {
  readonly layout: PieceLayout
  readonly held: Bitmap
  readonly generation: Generation
  /** Whether all of `start ≤ position < end` is held; false once the content was cleaned. */
  holdsRange(start: number, end: number): boolean
  /** Reads at `position`; returns how many bytes, 0 at the end. */
  read(into: Uint8Array, position: number): Promise<number>
  /** Keeps the content from being cleaned; the returned function lets it go. */
  retain(): () => void
}

export type PieceCatalog = {
  find(taskId: TaskId): { readonly content: PieceContent; readonly token: string } | null
}
