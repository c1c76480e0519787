import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Caller, isAnonymous, isSameCaller, rangeOf } from './caller.ts'

const plain: Caller = { url: 'https://origin.test/file?v=1', headers: [] }

describe('a caller', () => {
  it('is the same one only with the same URL, signature and headers', () => {
    const token = [['Authorization', 'Bearer a']] as const
    const cases: [Partial<Caller>, Partial<Caller>, boolean][] = [
      [{}, {}, true],
      [{}, { url: `${plain.url}#part` }, true],
      [{ headers: token }, { headers: [['authorization', ' Bearer a ']] }, true],
      [{ headers: token }, {}, false],
      [{ headers: token }, { headers: [['Authorization', 'Bearer b']] }, false],
      [{ headers: [['Accept', 'text/html']] }, {}, false],
      [{ url: `${plain.url}&sig=a` }, { url: `${plain.url}&sig=b` }, false],
      [{ url: 'https://user@origin.test/file?v=1' }, {}, false],
    ]
    for (const [a, b, isSame] of cases) {
      assert.equal(isSameCaller({ ...plain, ...a }, { ...plain, ...b }), isSame, JSON.stringify([a, b]))
    }
  })

  it('is anonymous while it shows nothing but a URL and a range', () => {
    assert.ok(isAnonymous(plain))
    assert.ok(isAnonymous({ ...plain, headers: [['Range', 'bytes=0-1']] }))
    assert.ok(!isAnonymous({ ...plain, headers: [['Cookie', 'a=b']] }))
    assert.ok(!isAnonymous({ ...plain, headers: [['User-Agent', 'curl']] }))
    assert.ok(!isAnonymous({ ...plain, url: 'https://user:secret@origin.test/file' }))
    assert.ok(!isAnonymous({ ...plain, url: `${plain.url}&access_token=a` }))
    assert.ok(!isAnonymous({ ...plain, url: `${plain.url}&X-Amz-Signature=a&X-Amz-Date=b` }))
  })

  it('has the range of its header, whatever the case', () => {
    assert.equal(rangeOf([['RANGE', 'bytes=0-1']]), 'bytes=0-1')
    assert.equal(rangeOf([['Accept', '*/*']]), null)
  })
})
