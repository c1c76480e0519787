import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isSameOrigin, parseHttpUrl, resolveLocation, targetOf } from './http-url.ts'

describe('parseHttpUrl', () => {
  const cases: [url: string, host: string, port: number, authority: string, pathAndQuery: string][] = [
    ['http://origin.example', 'origin.example', 80, 'origin.example', '/'],
    ['HTTPS://Origin.Example/A?b#c', 'origin.example', 443, 'origin.example', '/A?b'],
    ['http://origin.example:80/', 'origin.example', 80, 'origin.example', '/'],
    ['https://origin.example:80/', 'origin.example', 80, 'origin.example:80', '/'],
    ['http://[::1]:8080/x', '::1', 8080, '[::1]:8080', '/x'],
    ['http://user:pass@origin.example/x', 'origin.example', 80, 'origin.example', '/x'],
    ['http://bücher.example/ü', 'xn--bcher-kva.example', 80, 'xn--bcher-kva.example', '/%C3%BC'],
    ['http://origin.example/a%2Fb?sig=%2B%2f+', 'origin.example', 80, 'origin.example', '/a%2Fb?sig=%2B%2f+'],
  ]
  for (const [text, host, port, authority, pathAndQuery] of cases) {
    test(text, () => {
      const url = parseHttpUrl(text)
      assert.deepEqual(
        [url.host, url.port, url.authority, url.pathAndQuery],
        [host, port, authority, pathAndQuery],
      )
    })
  }

  for (const text of [
    'http://',
    'http://a b/',
    'http://h:99999/',
    'ftp://h/',
    'h/x',
    'http://h/\r\n',
    ' \t',
  ]) {
    test(`refuses ${JSON.stringify(text)} without repeating it`, () => {
      assert.throws(() => parseHttpUrl(text), { code: 'USAGE' })
    })
  }

  test('never repeats credentials', () => {
    assert.throws(
      () => parseHttpUrl('http://user:secret@h:99999/'),
      (thrown: Error) => !thrown.message.includes('secret'),
    )
  })
})

test('an origin is scheme, host and port', () => {
  const url = parseHttpUrl('http://h/')
  assert.equal(isSameOrigin(url, parseHttpUrl('http://u:p@h:80/x?y')), true)
  for (const other of ['https://h/', 'http://h:81/', 'http://g/', 'https://h:80/', 'http://a.h/']) {
    assert.equal(isSameOrigin(url, parseHttpUrl(other)), false, other)
  }
})

test('a Location is resolved like a link', () => {
  const from = parseHttpUrl('https://h:8443/a/b?c')
  const resolve = (location: string) => {
    const url = resolveLocation(location, from)
    return url && `${url.isSecure ? 'https' : 'http'}://${url.authority}${url.pathAndQuery}`
  }
  assert.equal(resolve('d'), 'https://h:8443/a/d')
  assert.equal(resolve('/d?e'), 'https://h:8443/d?e')
  assert.equal(resolve('//g/d'), 'https://g/d')
  assert.equal(resolve('http://g'), 'http://g/')
  assert.equal(resolve('/\xe2\x80\x99'), 'https://h:8443/%E2%80%99')
  assert.equal(resolve('data:,x'), null)
  assert.equal(resolve('/a\tb'), null)
})

const USUAL = { context: undefined, isBlind: false }

test('an address is not sent as a server name', () => {
  assert.equal(targetOf(parseHttpUrl('https://127.0.0.1/'), USUAL).tls?.servername, '')
  assert.equal(targetOf(parseHttpUrl('https://[::1]/'), USUAL).tls?.servername, '')
  assert.equal(targetOf(parseHttpUrl('https://h/'), USUAL).tls?.servername, 'h')
  assert.equal(targetOf(parseHttpUrl('http://h/'), USUAL).tls, null)
})
