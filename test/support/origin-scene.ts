import { readdir } from 'node:fs/promises'
import path from 'node:path'

export const MIB = 1024 * 1024
export const LENGTH_BYTES = 3 * MIB + 17
/** Of an origin that says nothing about the version. */
export const NAMELESS = { etag: null, hasLastModified: false } as const

/** Files of tasks in an account's home. */
export async function leftIn(home: string): Promise<string[]> {
  return (await Promise.all(['data', 'meta/tasks'].map(folder => readdir(path.join(home, folder))))).flat()
}
