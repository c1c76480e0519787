import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { createSelfSigned } from '../../test/support/self-signed.ts'
import type { DownloadRequest } from '../wire/local.ts'
import { taskRequestOf } from './task-request.ts'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
const of = (changes: Partial<DownloadRequest> = {}) =>
  taskRequestOf(
    { url: 'https://h/a?x=1&key=2', headers: [], name: 'a', tag: '', digest: null, nodes: [], ...changes },
    sha256,
  )
const { cert } = createSelfSigned({ dns: 'h' })

test('one filter makes one task of what differs in nothing else, and another filter another', () => {
  const id = (url: string, filter: string[]) => of({ url, filter }).taskId
  assert.equal(id('https://h/a?x=1&key=2', ['key', 'sign']), id('https://h/a?sign=7&x=1', ['sign', 'key']))
  assert.notEqual(id('https://h/a?x=1&key=2', ['key']), id('https://h/a?x=1', []))
  assert.notEqual(id('https://h/a?x=1&key=2', ['key']), id('https://h/a?x=2&key=2', ['key']))
})

test('a fragment of the user’s own says nothing, even one that looks like ours', () => {
  assert.deepEqual(of({ url: 'https://h/a?x=1&key=2#!trust=any' }), of())
  assert.deepEqual(of({ url: 'https://h/a?x=1&key=2#!filter=key' }), of())
})

test('less care with certificates is another task, so that nobody else gets what came that way', () => {
  const ids = [of(), of({ isInsecure: true }), of({ authorities: cert })].map(({ taskId }) => taskId)
  assert.equal(new Set(ids).size, 3)
})

test('MD5 and label are no part of what the task is', () => {
  assert.deepEqual(of({ md5: '0'.repeat(32), callSystem: 'builder' }), of())
})

test('a URL that is none, and authorities that are none, are usage errors', () => {
  for (const url of ['', 'host/a', 'ftp://h/a', 'http://', 'http:///a']) {
    assert.throws(() => of({ url }), { code: 'USAGE' }, url)
  }
  assert.throws(() => of({ authorities: 'none' }), { code: 'USAGE' })
})
