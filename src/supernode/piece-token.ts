import { createHmac, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Generation } from '../core/generation.ts'
import type { TaskId } from '../core/task-id.ts'

const SECRET_BYTES = 32

/** What a token is for. */
type TokenScope = {
  readonly taskId: TaskId
  readonly generation: Generation
  /**
   * Where the content came from, if task and generation do not say it: who names a digest and has other content for it must not get a
   * token that opens what others have.
   */
  readonly provenance: string | null
}

/** Whoever has it may fetch the pieces: HMAC-SHA256 by the supernode, so it proves membership of the swarm. */
export function pieceToken(secret: Uint8Array, { taskId, generation, provenance }: TokenScope): string {
  return createHmac('sha256', secret)
    .update(JSON.stringify([taskId, generation, provenance]))
    .digest('base64url')
}

/** The supernode's secret; it stays the same over restarts, so that peers go on serving each other meanwhile. */
export async function loadSecret(homeDir: string): Promise<Uint8Array> {
  const file = path.join(homeDir, 'secret')
  try {
    await writeFile(file, randomBytes(SECRET_BYTES), { flag: 'wx', mode: 0o600 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const secret = await readFile(file)
  if (secret.length === SECRET_BYTES) return secret
  const fresh = randomBytes(SECRET_BYTES)
  await writeFile(file, fresh, { mode: 0o600 })
  return fresh
}
