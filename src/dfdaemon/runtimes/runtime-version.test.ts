import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { findVersion, isOlder, parseRuntimeVersion } from './runtime-version.ts'

describe('the version of a runtime', () => {
  for (const [said, major, minor] of [
    ['Docker version 20.10.24+dfsg1, build 5d6db84', 20, 10],
    ['Docker version 29.1.0, build abcdef0', 29, 1],
    ['containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3', 1, 6],
    ['containerd github.com/containerd/containerd/v2 v2.1.4 75cb2b7193e4e490e9fbdc236c0e811ccaba3376', 2, 1],
    ['containerd containerd.io 1.7.27 05044ec0a9a75232cad458027ca83437aae3f4da', 1, 7],
    ['crio version 1.24.1\nVersion: 1.24.1', 1, 24],
    ['podman version 4.3.1', 4, 3],
  ] as const) {
    it(`is found in "${said.split('\n')[0]}"`, () => assert.deepEqual(findVersion(said), { major, minor }))
  }

  it('is not found where there is none', () => assert.equal(findVersion('unknown v2 build 20'), null))

  it('is told as a number, with or without what comes after a dot', () => {
    for (const text of ['2', '2.0', 'v2.0.1', '2.0.1-rc.1']) {
      assert.deepEqual(parseRuntimeVersion(text), { major: 2, minor: 0 })
    }
    for (const text of ['', 'newest', 'v', '-1.0']) {
      assert.throws(() => parseRuntimeVersion(text), { code: 'USAGE' })
    }
  })

  it('is compared by its first two numbers; an unknown one is the newest', () => {
    const version = { major: 1, minor: 10 }
    assert.deepEqual(
      [isOlder(version, 1, 9), isOlder(version, 1, 10), isOlder(version, 1, 11), isOlder(version, 2, 0)],
      [false, false, true, true],
    )
    assert.equal(isOlder(null, 99, 0), false)
  })
})
