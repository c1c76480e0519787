import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SourceNumbers } from './source-numbers.ts'

describe('numbers of sources', () => {
  it('stay with a source that comes back under another one, the last few of them', () => {
    const numbers = new SourceNumbers()
    for (const number of [2, 17, 17]) numbers.name(number, 'a:1')
    numbers.name(3, 'b:1')
    assert.deepEqual(numbers.numbersOf('a:1'), [2, 17])
    assert.deepEqual(
      [2, 17, 3, 4].map(number => numbers.sourceOf(number)),
      ['a:1', 'a:1', 'b:1', undefined],
    )
    for (let number = 20; number < 30; number++) numbers.name(number, 'a:1')
    assert.deepEqual(numbers.numbersOf('a:1'), [26, 27, 28, 29])
    assert.deepEqual(numbers.numbersOf('c:1'), [])
  })
})
