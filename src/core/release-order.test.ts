import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isNewerRelease } from './release-order.ts'

/** The order of semver.org, section 11, and then some. */
const ORDER = [
  ...['1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.beta', '1.0.0-beta', '1.0.0-beta.2', '1.0.0-beta.11'],
  ...['1.0.0-rc.1', '1.0.0', '1.0.1', '1.2.0', '1.10.0', '2.0.0-alpha.1', '2.0.0', '10.0.0'],
]

test('releases are ordered by precedence', () => {
  for (const [i, one] of ORDER.entries()) {
    for (const [j, other] of ORDER.entries()) {
      assert.equal(isNewerRelease(one, other), i > j, `${one} after ${other}`)
    }
  }
})

test('the build does not count, and what is no version is newer than nothing', () => {
  assert.equal(isNewerRelease('1.0.0+b', '1.0.0+a'), false)
  for (const odd of ['', '1', '1.0', 'latest', '1.0.0.0', 'v1.0.0']) {
    assert.deepEqual([isNewerRelease(odd, '1.0.0'), isNewerRelease('9.0.0', odd)], [false, false])
  }
})
