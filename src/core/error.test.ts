import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DragonflyError, ERROR_TABLE, type ErrorCode, isErrorCode, toDragonflyError } from './error.ts'

const rows = Object.entries(ERROR_TABLE) as [ErrorCode, (typeof ERROR_TABLE)[ErrorCode]][]

test('every failure has an exit status that a shell can see', () => {
  for (const [code, { exitStatus }] of rows) {
    assert.ok(Number.isInteger(exitStatus) && exitStatus >= 1 && exitStatus <= 255, code)
  }
})

test('exit statuses group by cause, and are those of dfget 1.x where it told causes apart', () => {
  const groups: [prefix: RegExp, from: number, to: number][] = [
    [/^(USAGE|CONFIG_|OUTPUT_)/, 1, 1],
    [/^INTERNAL$/, 2, 2],
    [/^HOME_UNUSABLE$/, 77, 77],
    [/^USER_UNKNOWN$/, 78, 78],
    [/^REGISTRATION_REFUSED$/, 79, 79],
    [/^DOWNLOAD_TIMEOUT$/, 80, 80],
    [/^ORIGIN_/, 10, 19],
    [/^DIGEST_/, 20, 29],
    [/^(DISK_|PEER_|ADDRESS_)/, 30, 39],
    [/^(SUPERNODE_|PROTOCOL_|DOWNLOAD_|TOKEN_|PIECE_|TASK_|SOURCE_)/, 40, 49],
    [/^(MANAGER_|DATABASE_|CREDENTIAL_|REQUEST_)/, 50, 59],
    [/^CANCELLED$/, 130, 130],
  ]
  for (const [code, { exitStatus }] of rows) {
    const group = groups.find(([prefix]) => prefix.test(code))
    assert.ok(group, `${code} belongs to a group`)
    assert.ok(exitStatus >= group[1] && exitStatus <= group[2], code)
  }
})

test('every failure has an HTTP status for failures', () => {
  for (const [code, { httpStatus }] of rows) {
    assert.ok(Number.isInteger(httpStatus) && httpStatus >= 400 && httpStatus <= 599, code)
  }
})

test('every hint is a whole sentence', () => {
  for (const [code, { hint }] of rows) assert.match(hint, /^[A-Z].{10,}\.$/, code)
})

test('an error answers from its row', () => {
  for (const [code, row] of rows) {
    const error = new DragonflyError(code, 'what happened')
    assert.deepEqual(
      [error.code, error.hint, error.exitStatus, error.isRetryable],
      [code, row.hint, row.exitStatus, row.isRetryable],
    )
    assert.equal(String(error), 'DragonflyError: what happened')
  }
})

test('only keys of the table are codes', () => {
  for (const [code] of rows) assert.equal(isErrorCode(code), true)
  for (const value of ['', 'usage', 'toString', '__proto__', 7, null]) assert.equal(isErrorCode(value), false)
})

test('what was thrown keeps its identity or becomes INTERNAL with its cause', () => {
  const own = new DragonflyError('USAGE', 'no')
  assert.equal(toDragonflyError(own), own)
  const foreign = new TypeError('odd')
  const wrapped = toDragonflyError(foreign)
  assert.deepEqual([wrapped.code, wrapped.message, wrapped.cause], ['INTERNAL', 'odd', foreign])
  assert.equal(toDragonflyError('just text').message, 'just text')
})
