import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parse, stringify } from 'smol-toml'
import { fc } from '../../../test/support/properties.ts'
import { checkEdited, joinLines, parseToml, tomlLines } from './toml-text.ts'

const value = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.boolean(),
  fc.array(fc.oneof(fc.string(), fc.constantFrom('"', "'", '#', '[', ']', '\n')), { maxLength: 3 }),
)
const key = fc.oneof(
  fc.constantFrom('a', 'b', 'io.containerd.grpc.v1.cri', '[', '"', '#'),
  fc.string({ minLength: 1 }),
)
const table = fc.dictionary(key, fc.oneof(value, fc.dictionary(key, value, { maxKeys: 3 })), { maxKeys: 5 })

const AWKWARD = `# [no.header]
a = """
[no.header]
\\""" # still text
""" # comment
b = [ # "
  '[no.header]', # ]
  [ "x" ],
]
c = '''
'[no.header]'''
[ plugins . "io.containerd.grpc.v1.cri" ] # [x]
  d = { e = "}" }\r
[[list.of]]
last = 1`

describe('a TOML text as lines', () => {
  it('is the text again when it is joined', () => {
    fc.assert(
      fc.property(table, given => {
        const text = stringify(given)
        assert.equal(joinLines(tomlLines(text)), text)
      }),
    )
    assert.equal(joinLines(tomlLines(AWKWARD)), AWKWARD)
  })

  it('has a header where the parser begins a table, and a pair where it finds a key', () => {
    fc.assert(
      fc.property(table, given => {
        const text = stringify(given)
        const read = parse(text)
        const lines = tomlLines(text)
        const isTable = (one: unknown) => typeof one === 'object' && one !== null && !Array.isArray(one)
        const names = Object.keys(read).filter(name => isTable(read[name]))
        assert.deepEqual(new Set(lines.flatMap(({ header }) => header ?? [])), new Set(names))
        const pairs = Object.values(read).flatMap(one => (isTable(one) ? Object.keys(one as object) : ['']))
        assert.equal(lines.filter(({ isPair }) => isPair).length, pairs.length)
      }),
    )
  })

  it('takes what looks like a header inside of values for what it is', () => {
    const lines = tomlLines(AWKWARD)
    assert.deepEqual(
      lines.flatMap(({ header }) => (header ? [header] : [])),
      [
        ['plugins', 'io.containerd.grpc.v1.cri'],
        ['list', 'of'],
      ],
    )
    assert.deepEqual(
      lines.filter(({ isPair }) => isPair).map(({ text }) => text.trim().slice(0, 1)),
      ['a', 'b', 'c', 'd', 'l'],
    )
  })

  it('that is no TOML is refused by name and line, and nothing of it is repeated', () => {
    assert.throws(() => parseToml('/etc/x', 'a = 1\npassword = secret\n'), {
      code: 'CONFIG_INVALID',
      message: '/etc/x cannot be read: it is not TOML, see line 2; it was left as it is',
    })
  })

  it('that says something else than what was meant is refused', () => {
    assert.equal(
      checkEdited('/etc/x', 'a = 1979-05-27\n', parseToml('', 'a = 1979-05-27')),
      'a = 1979-05-27\n',
    )
    for (const edited of ['a = 2\n', 'a = 1\nb = 1\n', 'a = 1\na = 1\n']) {
      assert.throws(() => checkEdited('/etc/x', edited, { a: 1 }), { code: 'CONFIG_INVALID' })
    }
  })
})
