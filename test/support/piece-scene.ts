import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after } from 'node:test'
import type { TaskId } from '../../src/core/task-id.ts'
import { BufferPool } from '../../src/net/buffer-pool.ts'
import { type FetchedPiece, PieceClient, type PieceRequest } from '../../src/net/piece-client.ts'
import type { DispatcherOptions } from '../../src/net/source-dispatcher.ts'
import { systemClock } from '../../src/ops/system-clock.ts'
import { patternBytes } from './memory-content.ts'
import { honestAnswer, type ScriptedRequest, startScriptedSource } from './scripted-source.ts'

const MIB = 1024 * 1024
export const PIECE = 10_000
export const TASK = 'ab'.repeat(32) as TaskId
export const CONTENT = patternBytes(40 * PIECE)

export type PieceScene = Awaited<ReturnType<typeof startPieceScene>>

/** A source as the test says, and a client with one connection and a pipeline of two unless told otherwise. */
export async function startPieceScene(
  answer: (request: ScriptedRequest) => void,
  changes: Partial<DispatcherOptions> = {},
) {
  const source = await startScriptedSource(answer)
  const client = new PieceClient({
    clock: systemClock,
    timeouts: { connectMs: 5000, headMs: 5000, idleMs: 5000 },
    connectionsPerSource: 1,
    pipelineDepth: 2,
    idleCloseMs: 60_000,
    maxConnections: 10,
    ...changes,
  })
  const buffers = new BufferPool(8 * MIB)
  after(async () => {
    client.close()
    await source.close()
  })
  const request = (index: number, more: Partial<PieceRequest> = {}): PieceRequest => ({
    host: '127.0.0.1',
    port: source.port,
    taskId: TASK,
    token: 'token',
    hash: () => createHash('sha256'),
    limiter: null,
    range: { start: index * PIECE, end: (index + 1) * PIECE },
    buffers,
    signal: new AbortController().signal,
    ...more,
  })
  return {
    source,
    client,
    buffers,
    request,
    fetch: (index: number, more?: Partial<PieceRequest>) => client.fetch(request(index, more)),
  }
}

/** Sends what was asked for. */
export const honest = (request: ScriptedRequest) => honestAnswer(request, CONTENT)

export function assertPiece(piece: FetchedPiece, index: number): void {
  const expected = CONTENT.subarray(index * PIECE, (index + 1) * PIECE)
  assert.ok(Buffer.from(piece.bytes).equals(expected))
  assert.deepEqual(piece.digest, createHash('sha256').update(expected).digest())
  assert.equal(piece.bytes.buffer, piece.buffer.buffer)
  assert.ok(piece.elapsedMs >= 0)
}

/** Waits, turn by turn of the event loop, for what a test cannot be told of. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(resolve => setImmediate(resolve))
}
