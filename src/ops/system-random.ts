import { randomBytes } from 'node:crypto'
import type { Random } from '../core/random.ts'

export const systemRandom: Random = { next: () => Math.random() }

/** An unguessable name of 128 bits, hex. */
export function randomName(): string {
  return randomBytes(16).toString('hex')
}
