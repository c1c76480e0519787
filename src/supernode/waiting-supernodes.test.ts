import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { refuseLoop, WaitingSupernodes } from './waiting-supernodes.ts'

describe('the supernodes that wait for a fetch', () => {
  it('are told once each, this one included, and whoever watches hears of new ones only', () => {
    const waiting = new WaitingSupernodes('own')
    let grown = 0
    waiting.watch(() => {
      grown++
    })
    for (const via of [[], ['a'], ['a', 'b'], ['own', 'b']]) waiting.add(via)
    assert.deepEqual([waiting.ids, grown], [['own', 'a', 'b'], 2])
  })

  it('are a limited number', () => {
    const waiting = new WaitingSupernodes('own')
    const ids = Array.from({ length: 999 }, (_, i) => `id-${i}`)
    waiting.add(ids)
    waiting.add(ids)
    assert.throws(() => waiting.add(['one-more']), { code: 'SUPERNODE_OVERLOADED' })
    assert.equal(waiting.ids.length, 1_000)
  })

  it('are never this one', () => {
    refuseLoop([], 'own')
    refuseLoop(['a', 'b'], 'own')
    assert.throws(() => refuseLoop(['a', 'own'], 'own'), { code: 'SUPERNODE_DECLINED' })
  })

  it('are believed only as far as there can be such', () => {
    const tooMany = Array.from({ length: 1_001 }, (_, i) => `id-${i}`)
    for (const via of [tooMany, ['x'.repeat(257)]]) {
      assert.throws(() => refuseLoop(via, 'own'), { code: 'PROTOCOL_INVALID' })
    }
  })
})
