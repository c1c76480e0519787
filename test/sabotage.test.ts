import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'

/** The smoke run is worth something only if it fails when the product is broken. Each sabotage is done to a copy of the sources. */

const ROOT = join(import.meta.dirname, '..')
const SEEDS = '40'
const LIMIT_MS = 120_000

type Sabotage = {
  readonly title: string
  readonly path: string
  readonly from: string
  readonly to: string
}

const SABOTAGES: readonly Sabotage[] = [
  {
    title: 'a digest check is missing',
    path: 'src/core/digest.ts',
    from: 'return expected != null && sameBytes(expected, digest)',
    to: 'return expected != null || digest.length > 0',
  },
  {
    title: 'a quota is off by one',
    path: 'src/swarm/hosts.ts',
    from: 'entry.load < slots',
    to: 'entry.load <= slots',
  },
  {
    title: 'a report of a piece is lost',
    path: 'src/transfer/exchange.ts',
    from: 'if (wasAwaited) this.#report.done.push({ piece, source, elapsedMs })',
    to: 'if (wasAwaited && piece !== 3) this.#report.done.push({ piece, source, elapsedMs })',
  },
  {
    title: 'a slot is released early',
    path: 'src/swarm/task-swarm.ts',
    from: 'const slotUntil = now + this.#slotTime.msFor(expectedMs)',
    to: 'const slotUntil = now + 10',
  },
  {
    title: 'what was given up is not reported',
    path: 'src/supernode/read-report.ts',
    from: 'released: groups(released, 2,',
    to: 'released: groups(released.slice(0, 0), 2,',
  },
  {
    title: 'reports forget the number of a source',
    path: 'src/peer/source-numbers.ts',
    from: 'return this.#numbers.get(source) ?? NONE',
    to: 'return this.#numbers.has(source) ? NONE : NONE',
  },
  {
    title: 'pieces of two versions are mixed',
    path: 'src/transfer/content.ts',
    from: 'this.held = new Bitmap(this.pieceCount ?? SIZE_UNKNOWN)',
    to: 'this.held.resize(this.pieceCount ?? SIZE_UNKNOWN)',
  },
]

describe('sabotage shows in the smoke run', () => {
  let copy = ''

  before(() => {
    copy = mkdtempSync(join(tmpdir(), 'dragonfly-sabotage-'))
    for (const path of ['src', 'sim', 'package.json'])
      cpSync(join(ROOT, path), join(copy, path), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  })
  after(() => rmSync(copy, { recursive: true, force: true }))

  function smoke(): { status: number | null; output: string } {
    const run = spawnSync(
      process.execPath,
      ['sim/seeds.ts', 'smoke', '--seeds', SEEDS, '--first', '--no-shrink'],
      { cwd: copy, encoding: 'utf8', timeout: LIMIT_MS },
    )
    return { status: run.status, output: `${run.stdout}${run.stderr}` }
  }

  test('which passes without any', () => {
    const { status, output } = smoke()
    assert.equal(status, 0, output)
  })

  for (const { title, path, from, to } of SABOTAGES) {
    test(title, () => {
      const file = join(copy, path)
      const text = readFileSync(file, 'utf8')
      assert.ok(text.includes(from), `${path} has the line to be sabotaged`)
      writeFileSync(
        file,
        text.replace(from, () => to),
      )
      try {
        const { status, output } = smoke()
        assert.equal(status, 1, output)
        assert.match(output, /^FAILED /m)
      } finally {
        writeFileSync(file, text)
      }
    })
  }
})
