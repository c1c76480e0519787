import assert from 'node:assert/strict'
import { it } from 'node:test'
import { authorizationFor, type NetrcEntry, parseNetrc } from './netrc.ts'

const entry = (machine: string | null, login: string, password: string) => ({ machine, login, password })

const table: [string, string, NetrcEntry[]][] = [
  ['one line', 'machine a.example login me password pw', [entry('a.example', 'me', 'pw')]],
  [
    'many lines',
    'machine a\n\tlogin me\n\tpassword pw\n\nmachine b login x password y\n',
    [entry('a', 'me', 'pw'), entry('b', 'x', 'y')],
  ],
  ['the default', 'default login anonymous password x@y', [entry(null, 'anonymous', 'x@y')]],
  ['an account', 'machine a login me account z password pw', [entry('a', 'me', 'pw')]],
  ['no password', 'machine a login me', [entry('a', 'me', '')]],
  ['no login', 'machine a password pw', []],
  ['quotes', 'machine a login "m e" password "p\\"\\\\w"', [entry('a', 'm e', 'p"\\w')]],
  ['comments', '# machine x login y\nmachine a login me password p#w', [entry('a', 'me', 'p#w')]],
  [
    'a macro',
    'machine a login me password pw\nmacdef init\nmachine b login no\n\nmachine c login x password y',
    [entry('a', 'me', 'pw'), entry('c', 'x', 'y')],
  ],
  [
    'a macro at the end',
    'machine a login me password pw\nmacdef init\nmachine b login no',
    [entry('a', 'me', 'pw')],
  ],
  [
    'keywords as values',
    'machine machine login login password password',
    [entry('machine', 'login', 'password')],
  ],
  ['an end too soon', 'machine', []],
  ['nothing', '', []],
]
for (const [what, text, entries] of table) {
  it(`.netrc with ${what}`, () => assert.deepEqual(parseNetrc(text), entries))
}

it('the host decides, without case and port; the default is for the others', () => {
  const entries = [
    entry(null, 'any', 'body'),
    entry('A.example', 'me', 'pä:ss'),
    entry('a.example', 'second', ''),
  ]
  const of = (url: string, all = entries) =>
    authorizationFor({ file: '', isExposed: false, entries: all }, url)
  const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`
  assert.equal(of('https://a.EXAMPLE:8443/x'), basic('me:pä:ss'))
  assert.equal(of('https://b.a.example/x'), basic('any:body'))
  assert.equal(of('https://b.a.example/x', entries.slice(1)), null)
})
