import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseAbsoluteForm, parseAuthorityForm } from './request-target.ts'

describe('targets of requests to a proxy', () => {
  for (const [target, url] of [
    ['http://a.example/b?c', 'http://a.example/b?c'],
    ['HTTP://A.example', 'http://a.example/'],
    ['https://[2001:db8::1]:8443/', 'https://[2001:db8::1]:8443/'],
    ['http://a.example?q=x@y', 'http://a.example/?q=x@y'],
    ['http://a.example/x@y', 'http://a.example/x@y'],
    ['http://a.example/../b', 'http://a.example/b'],
    ['http://user:pass@a.example/', null],
    ['http://user@a.example/', null],
    ['http://@a.example/', null],
    ['http://a.example\\@b.example/', null],
    ['http://a.example/#fragment', null],
    ['http://', null],
    ['http:///x', null],
    ['http:/a.example/', null],
    ['http:a.example', null],
    ['http://:80/', null],
    ['http://a.example:99999/', null],
    ['http://[::1/', null],
    ['ftp://a.example/', null],
    ['file:///etc/passwd', null],
    ['javascript:alert(1)', null],
    ['//a.example/', null],
    ['*', null],
  ] as const) {
    test(`"${target}" in absolute form is ${url ?? 'nothing'}`, () => {
      assert.equal(parseAbsoluteForm(target)?.href ?? null, url)
    })
  }

  for (const [target, to] of [
    ['a.example:443', { host: 'a.example', port: 443 }],
    ['10.0.0.1:5000', { host: '10.0.0.1', port: 5000 }],
    ['[2001:db8::1]:443', { host: '2001:db8::1', port: 443 }],
    ['a.example', null],
    ['a.example:', null],
    [':443', null],
    ['a.example:0', null],
    ['a.example:65536', null],
    ['a.example:+443', null],
    ['a.example:443/x', null],
    ['https://a.example:443', null],
    ['user@a.example:443', null],
    ['2001:db8::1:443', null],
    ['[::1', null],
    ['[fe80::1%25eth0]:443', null],
    ['[a.example]:443', null],
    ['-a.example:443', null],
    [`${'a'.repeat(254)}:443`, null],
  ] as const) {
    test(`"${target}" in authority form is ${to === null ? 'nothing' : JSON.stringify(to)}`, () => {
      assert.deepEqual(parseAuthorityForm(target), to)
    })
  }
})
