import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type AskedPart, askedPart } from './content-range.ts'

const WHOLE: AskedPart = { kind: 'whole' }
const NONE: AskedPart = { kind: 'unsatisfiable' }
const part = (start: number, end: number): AskedPart => ({ kind: 'part', start, end })

const content = { lengthBytes: 1000, etag: '"a"' }

describe('the part of a content that a request asks for', () => {
  const ranges: [string, AskedPart][] = [
    ['bytes=0-', part(0, 1000)],
    ['bytes=10-19', part(10, 20)],
    ['Bytes=10-19', part(10, 20)],
    ['bytes=990-2000', part(990, 1000)],
    ['bytes=999-999', part(999, 1000)],
    ['bytes=-5', part(995, 1000)],
    ['bytes=-5000', part(0, 1000)],
    [`bytes=5-${'9'.repeat(400)}`, part(5, 1000)],
    ['bytes=1000-', NONE],
    [`bytes=${'9'.repeat(400)}-`, NONE],
    ['bytes=-0', NONE],
    ['bytes=0-1,5-6', WHOLE],
    ['bytes=19-10', WHOLE],
    ['bytes=-', WHOLE],
    ['bytes=', WHOLE],
    ['bytes=a-b', WHOLE],
    ['bytes=0x1-5', WHOLE],
    ['items=0-1', WHOLE],
    ['', WHOLE],
  ]
  for (const [value, expected] of ranges) {
    it(`is ${JSON.stringify(expected)} for "${value.slice(0, 40)}"`, () => {
      assert.deepEqual(askedPart([['Range', value]], content), expected)
    })
  }

  it('is the whole where several fields ask for parts', () => {
    assert.deepEqual(
      askedPart(
        [
          ['Range', 'bytes=0-1'],
          ['range', 'bytes=0-1'],
        ],
        content,
      ),
      WHOLE,
    )
  })

  it('of nothing is nowhere', () => {
    assert.deepEqual(askedPart([['Range', 'bytes=0-']], { lengthBytes: 0, etag: null }), NONE)
  })

  const conditions: [string, string | null, AskedPart][] = [
    ['"a"', '"a"', part(0, 10)],
    ['"b"', '"a"', WHOLE],
    ['W/"a"', 'W/"a"', WHOLE],
    ['"a"', null, WHOLE],
    ['Thu, 01 Jan 2026 00:00:00 GMT', '"a"', WHOLE],
  ]
  for (const [condition, etag, expected] of conditions) {
    it(`is ${expected.kind} with If-Range ${condition} where the tag is ${etag}`, () => {
      const fields = [
        ['Range', 'bytes=0-9'],
        ['If-Range', condition],
      ] as const
      assert.deepEqual(askedPart(fields, { lengthBytes: 1000, etag }), expected)
    })
  }
})
