import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lineAt, readSource } from './source-text.ts'

test('only code is left, on the lines where it stood', () => {
  const table: [title: string, text: string, code: string][] = [
    ['comments', 'a() // b()\n/* c()\n d() */ e()', 'a()  \n \n e()'],
    ['strings', `f('a()', "b()", 'it\\'s')`, "f('0', '1', '2')"],
    ['slashes in strings', `f('http://x') // y`, "f('0')  "],
    ['quotes in comments', "a() // don't\nb() // won't", 'a()  \nb()  '],
    ['templates', 'f(`a()\nb()`)', "f('0'\n)"],
    ['expressions in templates', 'f(`x ${a(`y ${b()}`)} z`)', 'f((a((b()))))'],
    ['braces in templates', 'f(`${{ a: 1 }.a} }`, c())', 'f(({ a: 1 }.a), c())'],
    ['escaped backquotes', 'f(`a\\`b()`)', "f('0')"],
    ['regular expressions', `x.match(/'[/"]\\//g) ? a() : b()`, 'x.match(/r/) ? a() : b()'],
    ['divisions', 'a / b / c', 'a / b / c'],
    ['divisions of sums', '(a) / 2 + "x".length / 3', "(a) / 2 + '0'.length / 3"],
  ]
  for (const [title, text, code] of table) assert.equal(readSource(text).code, code, title)
})

test('what stood in the strings is kept by number', () => {
  const { code, literals } = readSource("import { a } from './a.ts'\nconst b = `plain`")
  assert.equal(code, "import { a } from '0'\nconst b = '1'")
  assert.deepEqual(literals, ['./a.ts', 'plain'])
})

test('text that ends within a string, a comment or a template is read to its end', () => {
  for (const text of ["'abc", '`abc', '`${a', '/* abc', 'a /', '/']) readSource(text)
})

test('lines count from one', () => {
  assert.deepEqual(
    [0, 1, 2].map(offset => lineAt('a\nb', offset)),
    [1, 1, 2],
  )
})
