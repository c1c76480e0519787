import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Member, newMember } from './member.ts'
import { WaitingLine } from './waiting-line.ts'

test('while nobody has a slot free, who starves is not looked at, but the line turns', () => {
  const line = new WaitingLine(() => false)
  for (let host = 0; host < 10; host++) line.add(newMember({ host }, 0), 0)
  const seen: number[] = []
  const serveInVain = (member: Member) => {
    seen.push(member.host)
    line.add(member, 0)
    return false
  }
  line.feed(serveInVain, () => false)
  assert.deepEqual(seen, [])
  line.feed(serveInVain, () => true)
  assert.deepEqual(seen, [8, 9, 0, 1, 2, 3, 4, 5])
})
