import type { Generation, Validator } from './generation.ts'
import type { PieceLayout } from './piece-layout.ts'

/** One version of a task's content. */
export type Version = {
  readonly generation: Generation
  readonly validator: Validator
  readonly layout: PieceLayout
}
