import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { ROWS, SETTING_NAMES } from '../src/cli/dfget-settings.ts'
import { ERROR_TABLE } from '../src/core/error.ts'

const root = path.join(import.meta.dirname, '..')
const read = (file: string) => readFileSync(path.join(root, file), 'utf8')

describe('the documents', () => {
  it('list every error with its exit status and hint, and no other', () => {
    const rows = read('docs/errors.md')
      .split('\n')
      .filter(line => /^\| [A-Z_]+ \|/.test(line))
    const expected = Object.entries(ERROR_TABLE).map(
      ([code, row]) => `| ${code} | ${row.exitStatus} | ${row.isRetryable ? 'yes' : 'no'} | ${row.hint} |`,
    )
    assert.deepEqual(rows, expected)
  })

  it('list every setting of dfget with its flag, key, variables and meaning, and no other', () => {
    const rows = read('docs/dfget.md')
      .split('\n')
      .filter(line => /^\| `-/.test(line))
    const expected = SETTING_NAMES.map(name => {
      const { flags, key, environment, about, isPerCommand, isOfPeer } = ROWS[name]
      const inFile = isPerCommand ? '' : `\`${key}\`${isOfPeer ? ' †' : ''}`
      return `| \`${flags}\` | ${inFile} | ${environment.map(variable => `\`${variable}\``).join(', ')} | ${about} |`
    })
    assert.deepEqual(rows, expected)
  })

  it('link only to files that are there', () => {
    const documents = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md']
    for (const name of readdirSync(path.join(root, 'docs')))
      if (name.endsWith('.md')) documents.push(`docs/${name}`)
    for (const document of documents) {
      for (const [, target] of read(document).matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
        assert.ok(
          existsSync(path.join(root, path.dirname(document), target)),
          `${document} links to ${target}`,
        )
      }
    }
  })

  it('name only tests that are there', () => {
    for (const [, name] of read('docs/download.md').matchAll(/`([a-z/-]+\.test\.ts)`/g)) {
      const places = [name, path.join('src', name)].map(place => path.join(root, place))
      assert.ok(places.some(existsSync), `docs/download.md names ${name}`)
    }
  })
})
