import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { nameOfDisposition } from './content-disposition.ts'

const latin1 = (text: string) => Buffer.from(text, 'utf8').toString('latin1')

describe('the name in Content-Disposition', () => {
  const table: [string, string | null][] = [
    ['attachment; filename=plain.txt', 'plain.txt'],
    ['inline; filename="with space.txt"', 'with space.txt'],
    ['attachment; FileName = "a;b=c.txt" ; size=3', 'a;b=c.txt'],
    ['attachment; filename="quoted \\"name\\".txt"', 'quoted "name".txt'],
    [`attachment; filename="old.txt"; filename*=UTF-8''na%C3%AFve%20name.txt`, 'naïve name.txt'],
    [`attachment; filename*=utf-8'en'%e2%82%ac.txt; filename=old`, '€.txt'],
    [`attachment; filename*=iso-8859-1''na%EFve; filename=old`, 'naïve'],
    [`attachment; filename*=UTF-8''%ff%fe; filename=old`, 'old'],
    [`attachment; filename*=UTF-7''x; filename=old`, 'old'],
    [`attachment; filename="${latin1('größe.txt')}"`, 'größe.txt'],
    ['attachment; filename=na\xefve.txt', 'naïve.txt'],
    ['filename=without-type', null],
    ['attachment', null],
    ['', null],
    ['attachment; filename=""', null],
    ['attachment; filename=first; filename=second', 'first'],
    ['attachment; name="filename=no"; x="; filename=trap"', null],
    ['attachment; filename="/etc/passwd"', 'passwd'],
    ['attachment; filename="../../up"', 'up'],
    ['attachment; filename="C:\\\\Windows\\\\file.exe"', 'file.exe'],
    [`attachment; filename*=UTF-8''..%2F..%2F.ssh%2Fauthorized_keys`, 'authorized_keys'],
    ['attachment; filename=.bashrc', 'bashrc'],
    ['attachment; filename=".."', null],
    ['attachment; filename="dir/"', null],
    [`attachment; filename*=UTF-8''a%0Ab%1B%5B2J`, 'ab[2J'],
    [`attachment; filename="${'x'.repeat(256)}"`, null],
  ]
  for (const [field, name] of table) {
    it(`${JSON.stringify(field).slice(0, 80)} is ${name}`, () => assert.equal(nameOfDisposition(field), name))
  }

  it('is never a path and never hidden, whatever the origin says', () => {
    const encoded = fc
      .string({ unit: 'binary' })
      .map(text => `filename*=UTF-8''${encodeURIComponent(text.toWellFormed())}`)
    const quoted = fc.string({ unit: 'binary' }).map(text => `filename="${text}"`)
    fc.assert(
      fc.property(fc.oneof(encoded, quoted, fc.string()), said => {
        const name = nameOfDisposition(`attachment; ${said}`)
        assert.ok(name === null || (name !== '' && !/^\.|[/\\\0\n]/.test(name)))
      }),
    )
  })
})
