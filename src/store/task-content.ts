import type { Bitmap } from '../core/bitmap.ts'
import type { PieceDigests } from '../core/piece-digests.ts'
import type { PieceLayout } from '../core/piece-layout.ts'
import type { Journal } from './journal.ts'
import type { Completion, RecordHeader } from './record.ts'

/** The short piece that ends a task whose length is not known yet. */
export type Tail = { readonly index: number; readonly lengthBytes: number }

/** What a task file starts from: an open file and what is known to be in it. */
export type TaskContent = {
  readonly header: RecordHeader
  readonly layout: PieceLayout
  readonly held: Bitmap
  readonly digests: PieceDigests
  readonly tail: Tail | null
  readonly completion: Completion | null
  readonly path: string
  readonly descriptor: number
  readonly journal: Journal
}
