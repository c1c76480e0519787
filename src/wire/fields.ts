import { type Digest, isDigest } from '../core/digest.ts'
import { DragonflyError } from '../core/error.ts'
import { type Generation, isGeneration } from '../core/generation.ts'
import { isTaskId, type TaskId } from '../core/task-id.ts'

/** Readers of untrusted fields: each returns the typed value or throws PROTOCOL_INVALID. */
export type FieldReader<T> = (value: unknown) => T

const TEXT_MAX = 16 * 1024
const LIST_MAX = 1 << 17
const TEXTS_MAX = 4096
const PAIRS_MAX = 256

function refuse(what: string): never {
  throw new DragonflyError('PROTOCOL_INVALID', `a message field is not ${what}`)
}

export const taskId: FieldReader<TaskId> = value => (isTaskId(value) ? value : refuse('a task id'))

export const generation: FieldReader<Generation> = value =>
  isGeneration(value) ? value : refuse('a generation')

export const digest: FieldReader<Digest> = value => (isDigest(value) ? value : refuse('a digest'))

export const text: FieldReader<string> = value =>
  typeof value === 'string' && value.length <= TEXT_MAX ? value : refuse('a short text')

export const uint: FieldReader<number> = value =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : refuse('a natural number')

export const flag: FieldReader<boolean> = value =>
  typeof value === 'boolean' ? value : refuse('true or false')

export const bytes: FieldReader<Uint8Array> = value =>
  value instanceof Uint8Array ? value : refuse('a byte string')

export const uints: FieldReader<number[]> = value => {
  if (!Array.isArray(value) || value.length > LIST_MAX) refuse('a list of numbers')
  for (const item of value) uint(item)
  return value
}

export const texts: FieldReader<string[]> = value => {
  if (!Array.isArray(value) || value.length > TEXTS_MAX) refuse('a list of texts')
  return value.map(text)
}

export const textPairs: FieldReader<(readonly [string, string])[]> = value => {
  if (!Array.isArray(value) || value.length > PAIRS_MAX) refuse('a list of pairs')
  return value.map(pair => {
    if (!Array.isArray(pair) || pair.length !== 2) refuse('a pair')
    return [text(pair[0]), text(pair[1])] as const
  })
}

export function orNull<T>(reader: FieldReader<T>): FieldReader<T | null> {
  return value => (value === null || value === undefined ? null : reader(value))
}

export type FieldsOf<T extends Record<string, FieldReader<unknown>>> = {
  [Name in keyof T]: ReturnType<T[Name]>
}
