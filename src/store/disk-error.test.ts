import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DragonflyError } from '../core/error.ts'
import { errnoOf, toDiskError } from './disk-error.ts'

const systemError = (code: string) => Object.assign(new Error(`${code}: as the system says`), { code })

test('no space and no quota are a full disk, all else is a disk error', () => {
  const rows = [
    ['ENOSPC', 'DISK_FULL'],
    ['EDQUOT', 'DISK_FULL'],
    ['EIO', 'DISK_ERROR'],
    ['EACCES', 'DISK_ERROR'],
  ]
  for (const [errno, code] of rows) {
    const cause = systemError(errno)
    const error = toDiskError(cause, 'cannot write')
    assert.equal(error.code, code)
    assert.equal(error.cause, cause)
    assert.equal(error.message, `cannot write: ${errno}: as the system says`)
    assert.equal(errnoOf(error), errno)
  }
})

test('an error of ours passes unchanged', () => {
  const error = new DragonflyError('CANCELLED', 'enough')
  assert.equal(toDiskError(error, 'cannot write'), error)
  assert.equal(errnoOf(error), '')
})
