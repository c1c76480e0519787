import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { Bitmap } from '../core/bitmap.ts'
import type { Generation } from '../core/generation.ts'
import type { TaskId } from '../core/task-id.ts'
import {
  encodeHeldAnswer,
  HELD_ANSWER_BYTES_MAX,
  type HeldAnswer,
  parseHeldAnswer,
  parsePiecePath,
  piecePath,
} from './piece-routes.ts'

const TASK = '0123456789abcdef'.repeat(4) as TaskId
const GENERATION = '0123456789abcdef' as Generation
const MIB = 1024 * 1024

function heldAnswer(lengthBytes: number | null, size: number, members: number[]): HeldAnswer {
  const held = new Bitmap(size)
  for (const index of members) held.add(index)
  return { generation: GENERATION, lengthBytes, pieceLength: MIB, held }
}

test('paths are parsed as they are built', () => {
  for (const kind of ['content', 'held'] as const) {
    assert.deepEqual(parsePiecePath(piecePath({ kind, taskId: TASK })), { kind, taskId: TASK })
  }
  assert.equal(piecePath({ kind: 'content', taskId: TASK }), `/tasks/${TASK}`)
  assert.equal(piecePath({ kind: 'held', taskId: TASK }), `/tasks/${TASK}/pieces`)
})

test('other paths are none', () => {
  const others = [
    '',
    '/',
    '/tasks/',
    `/tasks/${TASK}/`,
    `/tasks/${TASK}/piece`,
    `/tasks/${TASK}?a`,
    `/tasks/${TASK.slice(1)}`,
    `//tasks/${TASK}`,
    `/tasks/${TASK.toUpperCase()}`,
  ]
  for (const path of others) assert.equal(parsePiecePath(path), null, path)
})

test('a held answer survives the wire', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2000 }), fc.array(fc.nat()), (size, seeds) => {
      const members = size === 0 ? [] : seeds.map(seed => seed % size)
      const answer = heldAnswer(size * MIB, size, members)
      const parsed = parseHeldAnswer(JSON.parse(encodeHeldAnswer(answer)))
      assert.deepEqual([...parsed!.held.members()], [...answer.held.members()])
      assert.deepEqual({ ...parsed, held: null }, { ...answer, held: null })
    }),
  )
})

test('the form on the wire is this', () => {
  const json = '{"generation":"0123456789abcdef","lengthBytes":10485760,"pieceLength":1048576,"held":"hQI="}'
  assert.equal(encodeHeldAnswer(heldAnswer(10 * MIB, 10, [0, 2, 7, 9])), json)
})

test('while the length is unknown the bitmap may have any size', () => {
  const parsed = parseHeldAnswer(JSON.parse(encodeHeldAnswer(heldAnswer(null, 12, [0, 11]))))
  assert.equal(parsed?.lengthBytes, null)
  assert.deepEqual([...parsed!.held.members()], [0, 11])
})

test('the largest task fits the limit', () => {
  assert.ok(encodeHeldAnswer(heldAnswer(65_536 * MIB, 65_536, [])).length < HELD_ANSWER_BYTES_MAX)
})

test('what no honest source sends is refused', () => {
  const good = JSON.parse(encodeHeldAnswer(heldAnswer(10 * MIB, 10, [1])))
  assert.ok(parseHeldAnswer({ ...good, more: 1 }))
  const changes = [
    { generation: 'x' },
    { lengthBytes: -1 },
    { lengthBytes: 1.5 },
    { lengthBytes: '10' },
    { lengthBytes: undefined },
    { lengthBytes: 100 * MIB },
    { lengthBytes: 2 ** 52 },
    { pieceLength: 0 },
    { pieceLength: 2 ** 40 },
    { held: 5 },
    { held: 'AAA' },
    { held: 'A A=' },
    { held: 'AAAAAAAA' },
    { held: '' },
    { lengthBytes: null, held: 'A'.repeat(16_384) },
    { held: 'A'.repeat(1_000_000) },
  ]
  for (const change of changes)
    assert.equal(parseHeldAnswer({ ...good, ...change }), null, JSON.stringify(change).slice(0, 60))
  for (const value of [null, 5, 'x', [], undefined]) assert.equal(parseHeldAnswer(value), null)
})
