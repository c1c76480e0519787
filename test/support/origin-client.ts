import assert from 'node:assert/strict'
import type { ErrorCode } from '../../src/core/error.ts'
import { DragonflyError } from '../../src/core/error.ts'
import { systemClock } from '../../src/ops/system-clock.ts'
import {
  createOrigins,
  type OriginBody,
  type OriginOptions,
  type OriginRequest,
} from '../../src/origin/origin.ts'

/** Origins with time-outs that a test can wait for, and none where `timeouts` says nothing. */
export function createTestOrigins(
  options: Omit<Partial<OriginOptions>, 'timeouts'> & { timeouts?: Partial<OriginOptions['timeouts']> } = {},
) {
  const timeouts = { connectMs: 20_000, headMs: 20_000, idleMs: 20_000, ...options.timeouts }
  return createOrigins({ clock: systemClock, ...options, timeouts })
}

/** A request for everything, where `parts` does not say otherwise. */
export function requestFor(url: string, parts: Partial<OriginRequest> = {}): OriginRequest {
  return {
    url,
    headers: [],
    startByte: 0,
    endByte: null,
    validator: null,
    isRevalidation: false,
    signal: new AbortController().signal,
    ...parts,
  }
}

export async function readAll(body: OriginBody, bufferBytes = 64 * 1024): Promise<Buffer> {
  const parts: Buffer[] = []
  const buffer = new Uint8Array(bufferBytes)
  for (let count = await body.read(buffer); count > 0; count = await body.read(buffer)) {
    parts.push(Buffer.from(buffer.subarray(0, count)))
  }
  return Buffer.concat(parts)
}

/** Resolves with the failure, whose code must be `code`. */
export async function failsWith(code: ErrorCode, action: Promise<unknown>): Promise<DragonflyError> {
  const outcome = await action.then(
    () => 'it succeeded',
    (thrown: unknown) => thrown,
  )
  assert.ok(outcome instanceof DragonflyError, `a ${code} was expected: ${outcome}`)
  assert.equal(outcome.code, code, outcome.message)
  return outcome
}
