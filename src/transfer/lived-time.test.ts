import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LivedTime } from './lived-time.ts'

describe('lived time', () => {
  const courses: Record<string, [clock: number[], lived: number[]]> = {
    'is the clock as long as something happens': [
      [1_000, 1_200, 1_200, 3_200],
      [1_000, 1_200, 1_200, 3_200],
    ],
    'goes on by two seconds where the clock goes on by more': [
      [1_000, 601_000, 601_200, 3_601_200],
      [1_000, 3_000, 3_200, 5_200],
    ],
  }
  for (const [rule, [clock, lived]] of Object.entries(courses)) {
    test(rule, () => {
      const time = new LivedTime(1_000)
      assert.deepEqual(
        clock.map(now => time.at(now)),
        lived,
      )
    })
  }
})
