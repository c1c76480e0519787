import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileUrlTemplate } from './url-template.ts'

const BASE = 'https://armory.example'
const urls = (template: string, hostName: string, ...addresses: string[]) =>
  compileUrlTemplate(BASE + template)({ hostName, addresses }).map(url => url.slice(BASE.length))

test('there is a question for each of the first addresses, or one for the name', () => {
  const six = ['10.0.0.1', '10.0.0.1', 'nonsense', '2001:DB8::1', '::ffff:10.0.0.2', '10.0.0.3', '10.0.0.4']
  assert.deepEqual(urls('/h/{address}', 'web1', ...six), [
    '/h/10.0.0.1',
    '/h/2001%3Adb8%3A%3A1',
    '/h/10.0.0.2',
    '/h/10.0.0.3',
  ])
  assert.deepEqual(urls('/h/{hostName}?again={hostName}', 'Web1', ...six), ['/h/web1?again=web1'])
  assert.deepEqual(urls('/h?n={hostName}&a={address}', 'web1', '10.0.0.1'), ['/h?n=web1&a=10.0.0.1'])
  assert.deepEqual(urls('/h?n={hostName}&a={address}', 'web1'), ['/h?n=web1&a='])
  assert.deepEqual(urls('/h?n={hostName}&a={address}', '', '10.0.0.1'), ['/h?n=&a=10.0.0.1'])
  assert.deepEqual(urls('/h?n={hostName}&a={address}', ''), [])
  assert.deepEqual(urls('/h/{hostName}', ''), [])
  assert.deepEqual(urls('/h/{address}', 'web1'), [])
})

test('a host cannot lead to another path', () => {
  for (const name of [
    '..',
    '.',
    '../admin',
    'a/b',
    'a?b=c',
    'a#b',
    'a b',
    'a\r\nx: y',
    '%2e%2e',
    '{address}',
    '$&',
    '*',
  ]) {
    assert.deepEqual(urls('/h/{hostName}', name), [], name)
    assert.deepEqual(urls('/h?n={hostName}&a={address}', name, '10.0.0.1'), ['/h?n=&a=10.0.0.1'], name)
  }
})

test('a template is a URL with a placeholder in path or query', () => {
  const table: [template: string, message: RegExp][] = [
    ['', /not an http/],
    ['armory.example/{address}', /not an http/],
    ['ftp://armory.example/{address}', /not an http/],
    ['https://armory.example:x/{address}', /not an http/],
    ['https://{hostName}/where', /outside of path and query/],
    ['https://{hostName}@armory.example/where', /outside of path and query/],
    ['https://armory.example/where', /has neither/],
    ['https://armory.example/{host}', /neither \{hostName\} nor \{address\}/],
    ['https://armory.example/#{hostName}', /fragment/],
  ]
  for (const [template, message] of table) {
    assert.throws(() => compileUrlTemplate(template), { code: 'CONFIG_INVALID', message }, template)
  }
  assert.throws(
    () => compileUrlTemplate('https://user:secret@armory.example/'),
    (error: Error) => !error.message.includes('secret'),
  )
})
