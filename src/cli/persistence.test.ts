import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DragonflyError } from '../core/error.ts'
import { interrupted, persist } from './persistence.ts'

test('a pause between tries ends at once when the command is interrupted', { timeout: 20_000 }, async t => {
  // Time stands still, so that no pause is ever over.
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const controller = new AbortController()
  const failure = new DragonflyError('ORIGIN_ERROR', 'it failed')
  const persisted = persist({ tries: 1_000, signal: controller.signal }, () => Promise.reject(failure))
  setImmediate(() => controller.abort(interrupted()))
  await assert.rejects(persisted, { code: 'CANCELLED' })
})
