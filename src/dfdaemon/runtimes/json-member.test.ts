import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fc } from '../../../test/support/properties.ts'
import { keysOf, withMember, withoutMember } from './json-member.ts'

const LAYOUTS = [undefined, 2, '\t'] as const
const object = fc.dictionary(
  fc.oneof(fc.constantFrom('a', 'b', '{', '"', ',', ':'), fc.string()).filter(key => key !== '__proto__'),
  fc.jsonValue(),
  { maxKeys: 6, noNullPrototype: true },
)
const layout = fc.constantFrom(...LAYOUTS)

describe('one member of a JSON object', () => {
  it('is given a value, and all others keep theirs and their order', () => {
    fc.assert(
      fc.property(
        object,
        layout,
        fc.string().filter(key => key !== '__proto__'),
        fc.jsonValue(),
        (given, space, key, value) => {
          const text = JSON.stringify(given, null, space)
          const edited = withMember(text, key, JSON.stringify(value))
          // JSON has no minus zero, so what is meant goes the same way.
          const meant = JSON.parse(JSON.stringify({ ...given, [key]: value }))
          assert.deepEqual(JSON.parse(edited), meant)
          const keys = keysOf(text)
          assert.deepEqual(keysOf(edited), keys.includes(key) ? keys : [...keys, key])
        },
      ),
    )
  })

  it('goes, and all others keep theirs', () => {
    fc.assert(
      fc.property(object, layout, fc.nat(5), (given, space, index) => {
        const text = JSON.stringify(given, null, space)
        const key = keysOf(text)[index] ?? 'absent'
        const { [key]: _, ...rest } = JSON.parse(text)
        assert.deepEqual(JSON.parse(withoutMember(text, key)), rest)
      }),
    )
  })

  it('leaves every other byte as it is', () => {
    const text = '\n{ "a" : [1,\t{"x": "}"}] ,\n\n\t"b":"\\"", "c" :null }\n'
    assert.equal(withMember(text, 'b', '[]'), text.replace('"\\""', '[]'))
    assert.equal(withMember(text, 'd', '1'), text.replace(':null', ':null, "d": 1'))
    assert.equal(withoutMember(withMember(text, 'd', '1'), 'd'), text)
    assert.equal(withoutMember('{"a": 1, "b": 2}', 'a'), '{"b": 2}')
  })

  it('shows keys as often as they are written', () => {
    assert.deepEqual(keysOf('{"a":{"b":1},"a":[{"c":1}]}'), ['a', 'a'])
  })
})
