import assert from 'node:assert/strict'
import { test } from 'node:test'
import { armoryLines } from './armory-lines.ts'

/** `line cidr hostName securityDomain idc location rack`, or `line problem`. */
const show = (file: string, text: string) =>
  [...armoryLines(file, text)].map(line =>
    'problem' in line
      ? `${line.line} ${line.problem}`
      : [line.line, ...Object.values(line.entry).map(value => (value === null ? '-' : `${value}`))].join(' '),
  )

test('CSV has a header that names its columns; an empty value is not known', () => {
  const text = `\ufeff# the north
cidr, hostName ,securityDomain,idc,location,rack

10.0.0.0/8,,prod,dc1,eu,r1\r
  2001:db8::/32 , , "prod, ""old""" ,dc1,,
,web*,prod,,,
`
  assert.deepEqual(show('a.csv', text), [
    '4 10.0.0.0/8 - prod dc1 eu r1',
    '5 2001:db8::/32 - prod, "old" dc1 - -',
    '6 - web* prod - - -',
  ])
  assert.deepEqual(show('A.CSV', 'idc,cidr\nx,10.0.0.0/8'), ['2 10.0.0.0/8 - - x - -'])
})

test('what is wrong with CSV is said', () => {
  const table: [text: string, problem: RegExp][] = [
    ['', /^1 there is no header line like cidr,hostName,/],
    ['# nothing\n', /^1 there is no header/],
    ['10.0.0.0/8,a\n', /^1 the header has the column "10\.0\.0\.0\/8"; known are cidr,/],
    ['cidr,idc,cidr\n', /^1 the header has a column twice/],
    ['idc,rack\n', /^1 the header has neither cidr nor hostName/],
    ['cidr,idc\na\n', /^2 1 values, but the header has 2 columns/],
    ['cidr,idc\na,b,c\n', /^2 3 values, but the header has 2 columns/],
    ['cidr,idc\na,"b\n', /^2 a quote is not closed/],
    ['cidr,idc\na,b"c"\n', /^2 a quote is not closed, or stands inside/],
    ['cidr,idc\na,"b"c\n', /^2 a quote is not closed, or stands inside/],
    [`cidr,idc\na,${'b'.repeat(5_000)}\n`, /^2 the line has more than 4096 characters/],
  ]
  for (const [text, problem] of table) {
    const said = show('a.csv', text)
    assert.equal(said.length, 1, text)
    assert.match(said[0], problem)
  }
})

test('YAML is a list of mappings, in either style, whose values are texts', () => {
  const text = `# the north
---
- cidr: 10.0.0.0/8
  securityDomain: no
  rack: 012
  idc: ~
- { hostName: "web*", idc: 'null', location: null, rack: }
`
  const lines = ['3 10.0.0.0/8 - no - - 012', '7 - web* - null - -']
  assert.deepEqual(show('a.yaml', text), lines)
  assert.deepEqual(show('a.YML', '[{ cidr: ::/0 }]'), ['1 ::/0 - - - - -'])
  assert.deepEqual(show('a.yml', '  - { cidr: ::/0 }\n  - { cidr: ::/1 }'), [
    '1 ::/0 - - - - -',
    '2 ::/1 - - - - -',
  ])
  assert.deepEqual(show('a.yml', '[]'), [])
})

test('a long list is read in parts, with the right numbers', () => {
  const text = Array.from({ length: 1_050 }, (_, index) => `- cidr: 10.0.0.0/8\n  rack: ${index}\n`).join('')
  const lines = show('a.yaml', `# head\n${text}- { cidr: ::, ]\n`)
  assert.equal(lines.length, 1_001)
  for (const index of [0, 99, 100, 101, 999])
    assert.equal(lines[index], `${2 * index + 2} 10.0.0.0/8 - - - - ${index}`)
  assert.match(lines[1_000], /^2102 /)
})

test('what is wrong with YAML is said', () => {
  const table: [text: string, problem: RegExp][] = [
    ['', /^1 a list of entries is wanted; an armory without any is \[\]/],
    ['\n\nhosts: {}', /^3 a list of entries is wanted/],
    ['- 10.0.0.0/8', /^1 an entry is a mapping/],
    ['-', /^1 an entry is a mapping/],
    ['- { cidr: x, zone: a }', /^1 unknown key "zone"; known are cidr,/],
    ['- { cidr: [x] }', /^1 cidr is a plain text/],
    ['- &a { cidr: x }\n- *a', /^2 an entry is a mapping/],
    ['- cidr: x\n  cidr: y', /^2 Map keys must be unique/],
    ['- cidr: x\n---\n- cidr: y', /^2 a second document begins here/],
    ['- { cidr: x', /^1 /],
    [`- { cidr: ${'x'.repeat(2 ** 20)} }`, /^1 100 entries are too long/],
  ]
  for (const [text, problem] of table) assert.match(show('a.yaml', text).at(-1)!, problem, text.slice(0, 50))
})

test('a hundred thousand entries of YAML are enough', () => {
  let taken = 0
  for (const line of armoryLines('a.yaml', '- {}\n'.repeat(100_002))) {
    if ('problem' in line)
      assert.match(`${line.line} ${line.problem}`, /^100001 there are more than 100000 entries; use CSV/)
    else taken++
  }
  assert.equal(taken, 100_000)
})

test('the ending of the name says the format', () => {
  assert.deepEqual(show('armory.txt', ''), ['1 the name ends neither with .csv nor with .yaml or .yml'])
})
