import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../../test/support/properties.ts'
import { isNamePattern, NameTable } from './name-table.ts'

const tableOf = (patterns: readonly string[]) => {
  const table = new NameTable()
  for (const [index, pattern] of patterns.entries()) table.add(pattern, index)
  return (name: string) => {
    const found = table.find(name)
    return found === null ? null : patterns[found]
  }
}

test('the pattern with the most literal characters wins', () => {
  const find = tableOf(['*', 'web*', '*.dc1', 'web*.dc1', 'web-*-a*.dc1', 'web-7-a.dc1', '*eb-7*'])
  const table: [name: string, pattern: string][] = [
    ['db', '*'],
    ['', '*'],
    ['web', 'web*'],
    ['db.dc1', '*.dc1'],
    ['web1.dc1', 'web*.dc1'],
    ['web-1-a2.dc1', 'web-*-a*.dc1'],
    ['web-7-a.dc1', 'web-7-a.dc1'],
    ['web-7.dc2', '*eb-7*'],
  ]
  for (const [name, pattern] of table) assert.equal(find(name), pattern, name)
})

test('parts do not overlap, and of equals the first wins', () => {
  assert.equal(tableOf(['ab*ba'])('aba'), null)
  assert.equal(tableOf(['ab*ba'])('abba'), 'ab*ba')
  assert.equal(tableOf(['a*b*b'])('ab'), null)
  assert.equal(tableOf(['a*b*b'])('abb'), 'a*b*b')
  assert.equal(tableOf(['a*', '*b'])('ab'), 'a*')
  assert.equal(tableOf(['*b', 'a*'])('ab'), '*b')
  assert.equal(tableOf(['ab*', 'ab'])('ab'), 'ab')
  assert.equal(tableOf(['*b*', 'a*'])('ab'), '*b*')
})

test('case, the dot of the root, and stars beside one another do not matter', () => {
  const find = tableOf(['Web-1.Example.COM.', 'DB**.example'])
  assert.equal(find('WEB-1.example.com'), 'Web-1.Example.COM.')
  assert.equal(find('web-1.example.com.'), 'Web-1.Example.COM.')
  assert.equal(find('db7.EXAMPLE'), 'DB**.example')
  const table = new NameTable()
  assert.equal(table.add('a**b', 1), null)
  assert.equal(table.add('A*B.', 2), 1)
  assert.equal(table.wildcardCount, 1)
})

test('a name is looked up as it is, whatever it holds', () => {
  assert.equal(tableOf(['a*'])('*'), null)
  assert.equal(tableOf(['*x'])('a*'), null)
  assert.equal(tableOf(['a*'])(`a${'b'.repeat(300)}`), null)
  assert.equal(tableOf(['a*'])('a\u0000\n'), 'a*')
})

test('a pattern has letters, digits, hyphens, underscores, dots and stars', () => {
  for (const pattern of ['*', 'a', 'a_b-c.d', '*.x', 'X1.']) assert.ok(isNamePattern(pattern), pattern)
  for (const pattern of ['', '.', 'a b', 'a\n', 'web[0-9]', 'a?', 'é', 'a'.repeat(254), 'a/b', '"a"'])
    assert.ok(!isNamePattern(pattern), pattern)
})

const letters = (alphabet: string, maxLength: number) =>
  fc.array(fc.constantFrom(...alphabet), { maxLength }).map(list => list.join(''))

test('it finds what a search through all patterns finds', () => {
  const pattern = letters('aab.*', 7).filter(isNamePattern)
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 30 }), letters('ab.', 10), (patterns, name) => {
      const normal = (text: string) => text.replace(/\.$/, '')
      const literals = (text: string) =>
        normal(text).replaceAll('*', '').length + (text.includes('*') ? 0 : 0.5)
      const fits = (text: string) =>
        new RegExp(`^${normal(text).replaceAll('.', '\\.').replace(/\*+/g, '.*')}$`).test(normal(name))
      let best: string | null = null
      for (const one of patterns)
        if (fits(one) && (best === null || literals(one) > literals(best))) best = one
      const found = tableOf(patterns)(name)
      const same = (text: string | null) => text && normal(text).replace(/\*+/g, '*')
      assert.equal(same(found), same(best))
    }),
    { numRuns: 2_000 },
  )
})

test('thousands of patterns that have nearly all in common do not make it slow', () => {
  const table = new NameTable()
  for (let index = 0; index < 20_000; index++) {
    const number = String(index).padStart(5, '0')
    table.add(`web-*-r${number}*.example.com`, 3 * index)
    table.add(`web-*-${number}.example.com`, 3 * index + 1)
    table.add(`*a*a*a*a*a*a*a*${number}`, 3 * index + 2)
  }
  const startedMs = performance.now()
  const found = [0, 7, 19_999].map(index =>
    table.find(`web-x-r${String(index).padStart(5, '0')}-7.example.com`),
  )
  assert.deepEqual(found, [0, 21, 59_997])
  for (let index = 0; index < 5_000; index++) table.find(`web-${'a'.repeat(200)}-${index}.example.com`)
  // A search through all would take minutes.
  assert.ok(performance.now() - startedMs < 5_000)
})
