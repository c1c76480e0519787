import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { BufferPool } from './buffer-pool.ts'

const KIB = 1024
const MIB = 1024 * KIB

test('a released buffer is the one that is lent next', async () => {
  const pool = new BufferPool(8 * MIB)
  const first = await pool.acquire(MIB)
  pool.release(first)
  assert.equal(await pool.acquire(MIB), first)
  pool.release(first)
  assert.equal(await pool.acquire(700 * KIB), first, 'a last piece fits into the buffer of a whole one')
  assert.equal(pool.totalBytes, MIB)
})

test('who finds the budget used waits in line', async () => {
  const pool = new BufferPool(2 * MIB)
  const [a, b] = [await pool.acquire(MIB), await pool.acquire(MIB)]
  const order: string[] = []
  const large = pool.acquire(2 * MIB).then(buffer => order.push('large') && buffer)
  const small = pool.acquire(16 * KIB).then(buffer => order.push('small') && buffer)
  pool.release(a)
  pool.release(b)
  pool.release((await large) as Uint8Array)
  await small
  assert.deepEqual(order, ['large', 'small'])
})

test('one buffer is granted even if it is larger than the budget, and not kept', async () => {
  const pool = new BufferPool(MIB)
  const huge = await pool.acquire(4 * MIB)
  assert.equal(huge.length, 4 * MIB)
  pool.release(huge)
  assert.equal(pool.totalBytes, 0)
})

test('free buffers of other sizes give way', async () => {
  const pool = new BufferPool(4 * MIB)
  const small = await Promise.all([1, 2, 3, 4].map(() => pool.acquire(MIB)))
  for (const buffer of small) pool.release(buffer)
  assert.equal(pool.totalBytes, 4 * MIB)
  assert.equal((await pool.acquire(4 * MIB)).length, 4 * MIB)
  assert.equal(pool.totalBytes, 4 * MIB)
})

test('an aborted wait leaves the line, and those behind it go on', async () => {
  const pool = new BufferPool(2 * MIB)
  await pool.acquire(MIB)
  const abort = new AbortController()
  const large = pool.acquire(2 * MIB, abort.signal)
  const small = pool.acquire(MIB)
  abort.abort(new Error('no more'))
  await assert.rejects(large, /no more/)
  await small
  await assert.rejects(pool.acquire(MIB, abort.signal), /no more/)
})

test('trim lets go of what is not lent', async () => {
  const pool = new BufferPool(8 * MIB)
  const [a, b] = [await pool.acquire(MIB), await pool.acquire(MIB)]
  pool.release(a)
  pool.trim()
  assert.equal(pool.totalBytes, MIB)
  pool.release(b)
  pool.trim()
  assert.equal(pool.totalBytes, 0)
})

test('only what was lent can be given back, and once', async () => {
  const pool = new BufferPool(MIB)
  const buffer = await pool.acquire(MIB)
  assert.throws(() => pool.release(buffer.subarray(0, 10)), /lent by this pool/)
  pool.release(buffer)
  assert.throws(() => pool.release(buffer), /lent by this pool/)
})

test('in any order of taking and giving back, the budget holds and everyone is served', async () => {
  const steps = fc.array(fc.record({ sizeKib: fc.integer({ min: 1, max: 900 }), release: fc.nat() }), {
    maxLength: 60,
  })
  await fc.assert(
    fc.asyncProperty(steps, async schedule => {
      const budgetBytes = 2 * MIB
      const pool = new BufferPool(budgetBytes)
      const lent: Uint8Array[] = []
      let waiting = 0
      for (const { sizeKib, release } of schedule) {
        waiting++
        void pool.acquire(sizeKib * KIB).then(buffer => {
          assert.ok(buffer.length >= sizeKib * KIB && !lent.includes(buffer))
          waiting--
          lent.push(buffer)
        })
        await null
        if (release % 2 === 0 && lent.length > 0) pool.release(lent.splice(release % lent.length, 1)[0])
        assert.ok(pool.totalBytes <= budgetBytes)
      }
      while (lent.length > 0) {
        pool.release(lent.pop()!)
        await null
      }
      assert.equal(waiting, 0)
      assert.equal(pool.lentCount, 0)
    }),
  )
})
