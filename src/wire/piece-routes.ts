import { Bitmap } from '../core/bitmap.ts'
import { type Generation, isGeneration } from '../core/generation.ts'
import { isValidLayout, PIECE_COUNT_MAX, pieceCount } from '../core/piece-layout.ts'
import { isTaskId, type TaskId } from '../core/task-id.ts'

/** The routes on which pieces are fetched, and the answer that says which of them a source holds. */

declare const atob: (base64: string) => string
declare const btoa: (latin1: string) => string

export type PieceRoute = {
  /** `content`: bytes of the task, by range. `held`: what is held of it, as JSON. */
  readonly kind: 'content' | 'held'
  readonly taskId: TaskId
}

/** What a source holds of one generation of a task. */
export type HeldAnswer = {
  readonly generation: Generation
  readonly lengthBytes: number | null
  readonly pieceLength: number
  /** While the length is unknown its size says nothing beyond the highest piece held. */
  readonly held: Bitmap
}

/** No honest answer is longer: one bit per piece in base64, and a few numbers. */
export const HELD_ANSWER_BYTES_MAX = 16 * 1024

export function piecePath(route: PieceRoute): string {
  return route.kind === 'content' ? `/tasks/${route.taskId}` : `/tasks/${route.taskId}/pieces`
}

/** Null for every other path; a query is no part of these routes. */
export function parsePiecePath(path: string): PieceRoute | null {
  const match = /^\/tasks\/([^/?#]+)(\/pieces)?$/.exec(path)
  if (!match || !isTaskId(match[1])) return null
  return { kind: match[2] === undefined ? 'content' : 'held', taskId: match[1] }
}

export function encodeHeldAnswer(answer: HeldAnswer): string {
  const { generation, lengthBytes, pieceLength } = answer
  return JSON.stringify({ generation, lengthBytes, pieceLength, held: encodeBase64(answer.held.encode()) })
}

/** Reads `encodeHeldAnswer`'s form, parsed from JSON; null for anything that no honest source sends. Unknown keys are passed over. */
export function parseHeldAnswer(value: unknown): HeldAnswer | null {
  if (typeof value !== 'object' || value === null) return null
  const { generation, lengthBytes, pieceLength, held } = value as Record<string, unknown>
  if (!isGeneration(generation) || !isValidLayout(lengthBytes, pieceLength) || typeof held !== 'string')
    return null
  const layout = { lengthBytes: lengthBytes as number | null, pieceLength: pieceLength as number }
  const bytes = decodeBase64(held)
  if (bytes === null) return null
  const size = layout.lengthBytes === null ? bytes.length * 8 : pieceCount(layout)
  if (size > PIECE_COUNT_MAX || bytes.length !== (size + 7) >> 3) return null
  return { generation, ...layout, held: Bitmap.decode(bytes, size) }
}

function encodeBase64(bytes: Uint8Array): string {
  let latin1 = ''
  for (const byte of bytes) latin1 += String.fromCharCode(byte)
  return btoa(latin1)
}

function decodeBase64(text: string): Uint8Array | null {
  if (text.length > HELD_ANSWER_BYTES_MAX || text.length % 4 !== 0) return null
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null
  return Uint8Array.from(atob(text), character => character.charCodeAt(0))
}
