import assert from 'node:assert/strict'
import { test } from 'node:test'
import { namesSameContent } from './blob-url.ts'

const A = `sha256:${'a'.repeat(64)}`
const B = `sha256:${'b'.repeat(64)}`
const url = (host: string, repository: string, digest: string) =>
  `https://${host}/v2/${repository}/blobs/${digest}`

test('two URLs name the same content where they are the same, or one registry’s blob in two repositories', () => {
  const table: readonly [string, string, boolean][] = [
    ['http://host/file', 'http://host/file', true],
    ['http://host/file', 'http://host/other', false],
    [url('registry', 'a', A), url('registry', 'b/c', A), true],
    [url('registry', 'a', A), `${url('REGISTRY', 'b', A)}?ns=docker.io`, true],
    [url('registry', 'a', A), url('registry', 'a', B), false],
    [url('registry', 'a', A), url('elsewhere', 'a', A), false],
    [url('registry', 'a', A), url('registry:5000', 'a', A), false],
    [url('registry', 'a', A), url('registry', 'a', A).replace('https', 'http'), false],
    [url('registry', 'a', A), `${url('registry', 'b', A)}#!trust=any`, false],
    [url('registry', 'a', A), url('registry', 'b', A).replace('blobs', 'manifests'), false],
    [url('registry', 'a', A), `https://registry/x?/v2/b/blobs/${A}`, false],
    [url('registry', 'a', A), `https://registry@elsewhere/v2/b/blobs/${A}`, false],
  ]
  for (const [one, other, isSame] of table) {
    assert.equal(namesSameContent(one, other), isSame, `${one} ${other}`)
    assert.equal(namesSameContent(other, one), isSame, `${other} ${one}`)
  }
})
