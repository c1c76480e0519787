import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryContent } from '../../test/support/memory-content.ts'
import { endOfHeld } from './readable-stretch.ts'

/** Ten pieces of ten bytes and one of five. */
function contentWith(held: readonly number[]): MemoryContent {
  const content = new MemoryContent(new Uint8Array(105), 10)
  for (const piece of held) content.held.add(piece)
  return content
}

test('what can be read goes from the byte to the first piece that is missing', () => {
  const table: [held: number[], fromByte: number, end: number][] = [
    [[], 0, 0],
    [[], 77, 77],
    [[0, 1, 3], 0, 20],
    [[0, 1, 3], 15, 20],
    [[0, 1, 3], 20, 20],
    [[0, 1, 3], 25, 25],
    [[0, 1, 3], 39, 40],
    [[8, 9, 10], 88, 105],
    [[10], 104, 105],
    [[10], 105, 105],
    [[10], 2 ** 50, 2 ** 50],
  ]
  for (const [held, fromByte, end] of table) {
    assert.equal(endOfHeld(contentWith(held), fromByte), end, `${held} from ${fromByte}`)
  }
})

test('while the length is not known, a last piece counts as far as it is sure to be there', () => {
  const content = contentWith([0, 1, 2])
  content.layout.lengthBytes = null
  content.held.resize(3)
  for (const [isWhole, end] of [
    [true, 30],
    [false, 20],
  ] as const) {
    const file = { held: content.held, layout: content.layout, holdsRange: () => isWhole }
    assert.equal(endOfHeld(file, 5), end)
    assert.equal(endOfHeld(file, 35), 35)
  }
})
