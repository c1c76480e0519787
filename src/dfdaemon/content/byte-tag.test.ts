import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ByteTag } from './byte-tag.ts'

const BYTES = Buffer.from(Array.from({ length: 1_000 }, (_, at) => (at * 7) % 251))

function tagOf(bytes: Uint8Array, cuts: readonly number[], like: ByteTag): ByteTag {
  const tag = like.another()
  const ends = [...cuts, bytes.length]
  for (const [at, end] of ends.entries()) tag.add(bytes.subarray(ends[at - 1] ?? 0, end))
  return tag
}

describe('a tag of bytes', () => {
  const first = new ByteTag()

  it('is the same however the bytes are cut, and however often it is asked', () => {
    const whole = tagOf(BYTES, [], first)
    const cut = tagOf(BYTES, [0, 1, 16, 17, 500, 500, 999], first)
    assert.ok(whole.equals(cut))
    assert.ok(whole.equals(tagOf(BYTES, [3], first)))
  })

  it('differs where one bit, the order or the length differs', () => {
    const whole = tagOf(BYTES, [], first)
    for (const at of [0, 15, 16, 511, 999]) {
      const other = Buffer.from(BYTES)
      other[at] ^= 1
      assert.ok(!whole.equals(tagOf(other, [512], first)), `byte ${at}`)
    }
    assert.ok(!whole.equals(tagOf(BYTES.subarray(0, 999), [], first)))
    assert.ok(!whole.equals(tagOf(Buffer.concat([BYTES, Buffer.alloc(1)]), [], first)))
    assert.ok(!whole.equals(tagOf(Buffer.concat([BYTES.subarray(16), BYTES.subarray(0, 16)]), [], first)))
  })

  it('is one of nothing', () => {
    assert.ok(first.another().equals(first.another()))
  })

  it('is told by nobody who does not have its key', () => {
    assert.ok(!tagOf(BYTES, [], first).equals(tagOf(BYTES, [], new ByteTag())))
  })
})
