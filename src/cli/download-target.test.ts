import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { checkUrl, targetPath } from './download-target.ts'

test('a URL is one that an origin can be asked for', () => {
  for (const url of ['http://h', 'https://h:1/a?b#c', 'HTTP://[::1]/x', `http://h/${'a'.repeat(10_000)}`]) {
    assert.equal(checkUrl(url), url)
  }
  const table: [url: string, says: RegExp][] = [
    ['host/file', /has no scheme/],
    ['//host/file', /has no scheme/],
    ['ftp://host/file', /there is no origin for "ftp" URLs/],
    ['http:///file', /not a valid/],
    ['http://a b/', /not a valid/],
    ['http://h:99999/', /not a valid/],
    ['http://h/a\nb', /control character/],
    [`http://h/${'a'.repeat(12_000)}`, /12009 characters; 12000 are the most/],
  ]
  for (const [url, says] of table) assert.throws(() => checkUrl(url), { code: 'USAGE', message: says }, url)
})

test('a target is a file, wherever the user wants it', () => {
  const table: [given: string, target: string][] = [
    ['a b', path.resolve('a b')],
    ['/tmp/x/../y', '/tmp/y'],
    ['a\nb', path.resolve('a\nb')],
    ['ü€😀', path.resolve('ü€😀')],
    ['..x', path.resolve('..x')],
  ]
  for (const [given, target] of table) assert.equal(targetPath('http://h/f', given), target)
  for (const given of ['.', '..', '/', 'new/', '/tmp/', 'a/.', 'a/..']) {
    assert.throws(
      () => targetPath('http://h/f', given),
      { code: 'OUTPUT_INVALID', message: /names a directory/ },
      given,
    )
  }
})

test('the name that a URL gives is one name in this directory', () => {
  const table: [url: string, name: string][] = [
    ['http://h/a%20b', 'a b'],
    ['http://h/a%0Ab', 'a\nb'],
    ['http://h/d/%C3%BC%E2%82%AC', 'ü€'],
    ['http://h/..a', '..a'],
    ['http://h/a/../b?c=/d', 'b'],
  ]
  for (const [url, name] of table) assert.equal(targetPath(url, null), path.resolve(name), url)
  for (const url of [
    'http://h',
    'http://h/',
    'http://h/..',
    'http://h/%2e%2E',
    'http://h/a%2f..%2fb',
    'http://h/a%00',
  ]) {
    assert.throws(() => targetPath(url, null), { code: 'USAGE', message: /names no file/ }, url)
  }
})

test('whatever the URL, its name stays in this directory', () => {
  const segment = fc.oneof(
    fc.string(),
    fc.constantFrom('..', '%2e%2e', '%2F', '..%2f..', '%5c', '%00', '.', ''),
  )
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 4 }), segments => {
      let target: string
      try {
        target = targetPath(`http://h/${segments.join('/')}`, null)
      } catch {
        return
      }
      assert.equal(path.dirname(target), process.cwd())
    }),
  )
})
