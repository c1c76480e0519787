import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { readMirrorPath, repositoryOf } from './mirror-path.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`

describe('a path of the mirror', () => {
  const blobs: [string, string | null][] = [
    [`/v2/app/blobs/${DIGEST}`, DIGEST],
    [`/v2/a/b/c/blobs/${DIGEST}`, DIGEST],
    [`/v2/app/blobs/${DIGEST.replace(':', '%3A')}`, DIGEST],
    [`/v2/app/blobs/sha512:${'a'.repeat(128)}`, null],
    ['/v2/app/blobs/blake3:abc', null],
  ]
  for (const [path, digest] of blobs) {
    it(`${path.slice(0, 40)}… is a blob`, () =>
      assert.deepEqual(readMirrorPath(path), { kind: 'blob', digest }))
  }

  const others = [
    '/',
    '/v2/',
    '/v2/app/manifests/latest',
    `/v2/app/manifests/${DIGEST}`,
    '/v2/app/tags/list',
    '/v2/app/blobs/uploads/',
    '/v2/app/blobs/uploads',
    '/v2/app/blobs/uploads/4d5e-%3D',
    '/v2/_catalog',
    '/service/token',
    '/odd//path',
  ]
  for (const path of others) {
    it(`${path} goes to the registry`, () => assert.deepEqual(readMirrorPath(path), { kind: 'other' }))
  }

  const invalid: [string, string][] = [
    [`/v2/app/blobs/${DIGEST}0`, 'DIGEST_INVALID'],
    [`/v2/app/blobs/${DIGEST.slice(0, -1)}`, 'DIGEST_INVALID'],
    [`/v2/app/blobs/${DIGEST.toUpperCase()}`, 'DIGEST_INVALID'],
    [`/v2/app/blobs/sha256:${'A'.repeat(64)}`, 'DIGEST_INVALID'],
    [`/v2/app/blobs/sha256:${'g'.repeat(64)}`, 'DIGEST_INVALID'],
    ['/v2/app/blobs/sha256:', 'DIGEST_INVALID'],
    [`/v2/app/blobs/sha512:${'a'.repeat(64)}`, 'DIGEST_INVALID'],
    ['/v2/app/blobs/latest', 'DIGEST_INVALID'],
    [`/v2/../v2/app/blobs/${DIGEST}`, 'NAME_INVALID'],
    ['/odd/../v2/app/manifests/x', 'NAME_INVALID'],
    ['/odd/%2e%2E/v2/app/manifests/x', 'NAME_INVALID'],
    ['/v2/app/./manifests/x', 'NAME_INVALID'],
    [`/v2/app%2fblobs/${DIGEST}`, 'NAME_INVALID'],
    [`/v2//app/blobs/${DIGEST}`, 'NAME_INVALID'],
    [`/v2/app\\blobs/${DIGEST}`, 'NAME_INVALID'],
    ['/v2/app/manifests/a%00', 'NAME_INVALID'],
    ['/v2/app/manifests/a%252e', 'NAME_INVALID'],
    ['/v2/app/manifests/a%', 'NAME_INVALID'],
    ['/v2/app/manifests/\u00e9', 'NAME_INVALID'],
  ]
  for (const [path, code] of invalid) {
    it(`${path.slice(0, 40)} is refused`, () => {
      const read = readMirrorPath(path)
      assert.equal(read.kind === 'invalid' && read.code, code)
    })
  }
})

describe('the repository of a path', () => {
  it('is what stands before what is asked of it', () => {
    assert.equal(repositoryOf('/v2/a/b/manifests/latest'), 'a/b')
    assert.equal(repositoryOf(`/v2/a/blobs/${DIGEST}`), 'a')
    assert.equal(repositoryOf('/v2/'), null)
  })
})
