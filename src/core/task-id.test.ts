import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { parseDigest } from './digest.ts'
import { isTaskId, type TaskIdentity, taskIdOf } from './task-id.ts'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
const id = (identity: TaskIdentity) => taskIdOf(identity, sha256)

const URL_A = 'https://origin.example/a.tar'
const DIGEST = parseDigest(`sha256:${'ab'.repeat(32)}`)

test('task ids are the same in every release', () => {
  const table: [identity: TaskIdentity, expected: string][] = [
    [{ url: URL_A }, '4626e077a83eca2dd683575b0fd140d55a55425295b07f08a3bbba9d5d5bdc45'],
    [{ url: URL_A, tag: 'blue' }, '7f0fa835e17daaecc35e19f3bdb7504dc42e44fc8e12191f18e946bf3528bac1'],
    [{ url: URL_A, range: 'bytes=0-99' }, '7d18e2b8a852f179a46e9d52f77692ec5aa97285522a15743e0278feda62e630'],
    [
      { url: URL_A, expectedDigest: DIGEST },
      'c06e574d82fbfb9e759ea531bcb3402c1545d5a4633d9ab8670a4bb803be5d8c',
    ],
    [
      { url: 'https://origin.example/ü?a=1&X-Amz-Signature=ff' },
      'f785d906ca3a1d91606227d78073739f55f0bf709ebb1f1489d32554b83568f7',
    ],
  ]
  for (const [identity, expected] of table) assert.equal(id(identity), expected)
})

test('the hashed form is a version, a kind and fields behind their 32-bit big-endian lengths', () => {
  const hashed: Uint8Array[] = []
  taskIdOf({ url: 'u:x', tag: 't', range: 'r' }, bytes => {
    hashed.push(bytes)
    return new Uint8Array(32)
  })
  assert.deepEqual(Buffer.from(hashed[0]).toString('latin1'), '\x01\x00\0\0\0\x03u:x\0\0\0\x01t\0\0\0\x01r')
})

test('the same content under differently signed URLs is one task', () => {
  const signed = (signature: string, date: string) =>
    id({ url: `${URL_A}?versionId=3&X-Amz-Date=${date}&X-Amz-Signature=${signature}` })
  assert.equal(signed('aa', '1'), signed('bb', '2'))
  assert.equal(signed('aa', '1'), id({ url: `${URL_A}?versionId=3` }))
})

test('content named by its digest is one task wherever it comes from and whatever its tag', () => {
  fc.assert(
    fc.property(fc.webUrl(), fc.string(), (url, tag) => {
      assert.equal(id({ url, tag, expectedDigest: DIGEST }), id({ url: URL_A, expectedDigest: DIGEST }))
    }),
  )
})

test('a part of content named by its digest is another task', () => {
  assert.notEqual(
    id({ url: URL_A, expectedDigest: DIGEST, range: 'bytes=0-9' }),
    id({ url: URL_A, expectedDigest: DIGEST }),
  )
})

test('URL, tag and range tell tasks apart, and no byte can move from one field to the next', () => {
  const field = fc.stringMatching(/^[ab]{0,3}$/)
  const identity = fc.record({ url: field, tag: field, range: field })
  fc.assert(
    fc.property(identity, identity, (a, b) => {
      const isSame = a.url === b.url && a.tag === b.tag && a.range === b.range
      assert.equal(id(a) === id(b), isSame)
    }),
    { numRuns: 2000 },
  )
})

test('a field that is absent is the same as an empty one', () => {
  assert.equal(id({ url: URL_A, tag: '', range: '' }), id({ url: URL_A }))
})

test('a task id is 64 lower-case hex digits', () => {
  assert.equal(isTaskId(id({ url: URL_A })), true)
  for (const value of ['', 'A'.repeat(64), 'a'.repeat(63), `${'a'.repeat(64)}\n`, '../etc', 7, null]) {
    assert.equal(isTaskId(value), false)
  }
})
