import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { fc } from '../../test/support/properties.ts'
import * as fields from './fields.ts'

const TASK = '0123456789abcdef'.repeat(4)
const DIGEST = `sha256:${TASK}`

/** Values of every kind that msgpack knows, and some that it does not. */
const strange: unknown[] = [
  undefined,
  null,
  true,
  -1,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 53,
  7n,
  '',
  '0',
  [],
  [1, [2]],
  {},
  { length: 3 },
  Object.create(null),
  JSON.parse('{"__proto__": [1]}'),
  new Map([[1, 2]]),
  new Date(0),
  new Uint16Array(2),
  new ArrayBuffer(2),
  Symbol('x'),
]

const table: Record<string, { read: fields.FieldReader<unknown>; good: unknown[]; bad: unknown[] }> = {
  'a task id': { read: fields.taskId, good: [TASK], bad: [TASK.toUpperCase(), TASK.slice(1), `${TASK}0`] },
  'a generation': { read: fields.generation, good: [TASK.slice(0, 16)], bad: [TASK, TASK.slice(0, 15)] },
  'a digest': { read: fields.digest, good: [DIGEST], bad: [TASK, DIGEST.toUpperCase(), `${DIGEST} `] },
  'a text': {
    read: fields.text,
    good: ['', '0', 'ä€😀', 'x'.repeat(16_384)],
    bad: ['x'.repeat(16_385), new String('x'), 5],
  },
  'a natural number': {
    read: fields.uint,
    good: [0, 1, 2 ** 32, 2 ** 53 - 1],
    bad: [-1, 0.1, 2 ** 53, '1', 1n],
  },
  'a byte string': { read: fields.bytes, good: [new Uint8Array(0), Buffer.from('x')], bad: ['x', [1]] },
  'a list of numbers': {
    read: fields.uints,
    good: [[], [0, 2 ** 53 - 1], new Array(1 << 17).fill(0)],
    bad: [[-1], ['1'], [null], [[1]], new Array((1 << 17) + 1).fill(0), new Uint8Array(3), new Array(3)],
  },
  'a list of pairs': {
    read: fields.textPairs,
    good: [[], [['a', 'b']], new Array(256).fill(['a', ''])],
    bad: [['ab'], [['a']], [['a', 'b', 'c']], [['a', 1]], new Array(257).fill(['a', ''])],
  },
  'a list of texts': {
    read: fields.texts,
    good: [[], ['a', ''], new Array(4096).fill('a')],
    bad: [[1], 'ab', new Array(4097).fill('a'), ['x'.repeat(16_385)]],
  },
}

for (const [name, { read, good, bad }] of Object.entries(table)) {
  test(`${name} is read as it is, and anything else is refused with PROTOCOL_INVALID`, () => {
    for (const value of good) assert.deepEqual(read(value), value)
    for (const value of [...bad, ...strange]) {
      if (good.some(each => isDeepStrictEqual(each, value))) continue
      assert.throws(() => read(value), { name: 'DragonflyError', code: 'PROTOCOL_INVALID' }, String(name))
    }
  })

  test(`${name} is read from any value or refused, never anything else`, () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withMap: true, withTypedArray: true }), value => {
        try {
          read(value)
        } catch (thrown) {
          assert.equal((thrown as { code?: string }).code, 'PROTOCOL_INVALID')
        }
      }),
    )
  })
}

test('what may be missing is null when it is, and otherwise as strict as ever', () => {
  const read = fields.orNull(fields.uint)
  assert.equal(read(undefined), null)
  assert.equal(read(null), null)
  assert.equal(read(0), 0)
  assert.throws(() => read('0'), { code: 'PROTOCOL_INVALID' })
})
