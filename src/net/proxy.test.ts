import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { proxyFor } from './proxy.ts'

const settings = (...except: string[]) => ({ http: 'http://plain:3128', https: 'http://tunnel', except })
const to = (host: string, port = 80) => ({ isSecure: false, host, port })

describe('the proxy of a request', () => {
  it('is chosen by the scheme of the origin', () => {
    assert.deepEqual(proxyFor(settings(), to('a.example')), {
      ...{ host: 'plain', port: 3128, isSecure: false, authorization: null },
    })
    assert.equal(proxyFor(settings(), { ...to('a.example', 443), isSecure: true })?.host, 'tunnel')
    assert.equal(proxyFor({ ...settings(), http: null }, to('a.example')), null)
    assert.equal(proxyFor(null, to('a.example')), null)
  })

  it('has the credentials of its URL, decoded', () => {
    const proxy = proxyFor({ ...settings(), http: 'https://us%40er:p%3Aw@[::1]' }, to('a.example'))
    const authorization = `Basic ${Buffer.from('us@er:p:w').toString('base64')}`
    assert.deepEqual(proxy, { host: '::1', port: 443, isSecure: true, authorization })
  })

  const table: [string, [string, number?], boolean][] = [
    ['*', ['any.example'], true],
    ['example.com', ['example.com'], true],
    ['example.com', ['www.example.com'], true],
    ['example.com', ['notexample.com'], false],
    ['.example.com', ['example.com'], true],
    ['.Example.com', ['a.b.EXAMPLE.com'], true],
    ['*.example.com', ['a.example.com'], true],
    ['example.com', ['com'], false],
    ['example.com:8080', ['example.com', 8080], true],
    ['example.com:8080', ['example.com', 80], false],
    ['example.com', ['example.com.'], true],
    ['127.0.0.1', ['127.0.0.1'], true],
    ['0.0.1', ['127.0.0.1'], false],
    ['10.0.0.0/8', ['10.9.8.7'], true],
    ['10.0.0.0/8', ['11.9.8.7'], false],
    ['10.0.0.0/99', ['10.9.8.7'], false],
    ['127.0.0.1:90', ['127.0.0.1', 90], true],
    ['127.0.0.1:90', ['127.0.0.1', 91], false],
    ['::1', ['::1'], true],
    ['[::1]', ['::1'], true],
    ['[::1]:90', ['::1', 90], true],
    ['[::1]:90', ['::1', 91], false],
    ['fd00::/8', ['fd12::1'], true],
    ['[fd00::]/8', ['fd12::1'], true],
    ['', ['a.example'], false],
  ]
  for (const [entry, [host, port], isCovered] of table) {
    it(`"${entry}" ${isCovered ? 'spares' : 'does not spare'} ${host}:${port ?? 80}`, () => {
      assert.equal(proxyFor(settings(entry), to(host, port)) === null, isCovered)
    })
  }
})
