import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  checkBans,
  checkDeadExports,
  checkDeadFiles,
  checkLayers,
  checkLengths,
  checkNames,
  checkTraces,
  SOURCE_LINES_MAX,
} from './tidy.ts'

const file = (path: string, text: string) => ({ path, text })

test('imports go down the table of layers, packages only where they may', () => {
  const check = (path: string, specifier: string) =>
    checkLayers([file(path, `import { x } from '${specifier}'`)], ['ws', 'zod', 'msgpackr', '@a/b'])
      .length === 0
  const table: [path: string, specifier: string, mayImport: boolean][] = [
    ['src/core/a.ts', './b.ts', true],
    ['src/core/a.ts', '../wire/b.ts', false],
    ['src/core/a.ts', 'zod', false],
    ['src/core/a.ts', 'node:crypto', false],
    ['src/core/a.test.ts', 'node:crypto', true],
    ['src/wire/a.ts', 'zod', true],
    ['src/wire/a.ts', 'msgpackr/pack', true],
    ['src/wire/a.ts', 'ws', false],
    ['src/wire/a.ts', '../swarm/b.ts', false],
    ['src/swarm/a.ts', '../wire/b.ts', true],
    ['src/swarm/a.ts', '../transfer/b.ts', false],
    ['src/swarm/a.ts', 'zod', false],
    ['src/transfer/a.ts', 'node:events', false],
    ['src/store/a.ts', 'node:fs', true],
    ['src/store/a.ts', '../net/b.ts', false],
    ['src/store/a.ts', 'node:timers/promises', false],
    ['src/store/a.ts', 'node:perf_hooks', false],
    ['src/origin/a.ts', '../net/b.ts', true],
    ['src/net/a.ts', '../origin/b.ts', false],
    ['src/net/a.ts', 'ws', true],
    ['src/net/a.ts', '@a/b/deep.js', true],
    ['src/net/a.ts', 'fast-check', false],
    ['src/net/a.ts', 'fs', false],
    ['src/ops/a.ts', '../../package.json', true],
    ['src/net/a.ts', '../../package.json', false],
    ['src/peer/a.ts', '../swarm/b.ts', false],
    ['src/peer/a.ts', '../transfer/b.ts', true],
    ['src/supernode/a.ts', '../peer/b.ts', true],
    ['src/supernode/a.ts', '../transfer/b.ts', false],
    ['src/peer/a.ts', '../supernode/b.ts', false],
    ['src/manager/a.ts', '../supernode/b.ts', false],
    ['src/cli/a.ts', '../supernode/b.ts', true],
    ['src/supernode/a.ts', '../cli/b.ts', false],
    ['src/supernode/a.ts', '../../test/support/b.ts', false],
    ['sim/a.ts', '../src/swarm/b.ts', true],
    ['sim/a.ts', '../src/store/b.ts', false],
    ['src/attic/a.ts', './b.ts', false],
  ]
  for (const [path, specifier, mayImport] of table) {
    assert.equal(check(path, specifier), mayImport, `${path} → ${specifier}`)
  }
})

test('a finding names the place', () => {
  const text = "import { a } from './a.ts'\nimport { x } from '../wire/x.ts'"
  assert.deepEqual(checkLayers([file('src/core/b.ts', text)], []), [
    'src/core/b.ts:2 core may not import src/wire/x.ts',
  ])
})

test('banned calls are found where they are banned', () => {
  const table: [path: string, text: string, isClean: boolean][] = [
    ['src/net/a.ts', 'f(process.env.HOME)', false],
    ['src/net/a.ts', 'const { env } = process', false],
    ['src/net/a.ts', 'process.argv.slice(2)', false],
    ['src/cli/a.ts', 'f(process.env.HOME, process.argv)', true],
    ['src/net/a.test.ts', 'f(process.env.HOME, Date.now())', true],
    ['bench/a.ts', 'f(process.env.HOME, Date.now())', true],
    ['src/net/a.ts', 'Date.now()', false],
    ['src/net/a.ts', 'new Date(0)', false],
    ['src/net/a.ts', 'performance.now()', false],
    ['src/net/a.ts', 'setTimeout(f, 1)', false],
    ['src/net/a.ts', 'globalThis.setTimeout(f, 1)', false],
    ['src/net/a.ts', 'setInterval(f, 1)', false],
    ['src/net/a.ts', 'Math.random()', false],
    ['src/net/a.ts', 'AbortSignal.timeout(5)', false],
    ['src/cli/a.ts', 'setTimeout(f, 1)', false],
    ['src/ops/system-clock.ts', 'setTimeout(f, Date.now())', true],
    ['src/net/a.ts', 'socket.setTimeout(0)', true],
    ['src/net/a.test.ts', "import fc from 'fast-check'", false],
    ['test/support/properties.ts', "import fc from 'fast-check'", true],
    ['src/net/a.ts', '// Date.now() here?\nf("setTimeout(", `Math.random()`)', true],
    ['src/net/a.ts', 'f(`${Math.random()}`)', false],
    ['src/net/a.ts', 'setImmediate(f)', true],
    ['src/swarm/a.ts', 'setImmediate(f)', false],
    ['src/wire/a.ts', 'queueMicrotask(f)', false],
    ['src/net/a.ts', 'export default f', false],
    ['test/a.ts', 'export default f', false],
    ['src/net/a.ts', "export * from './b.ts'", false],
    ['src/net/a.test.ts', "test.only('a', f)", false],
    ['src/net/a.test.ts', "test.skip('a', f)", false],
    ['test/a.test.ts', "it.todo('a')", false],
    ['src/net/a.ts', 'f(x as any)', false],
    ['src/net/a.ts', 'f(x as anyOf)', true],
    ['src/net/a.ts', `// ${'TO'}DO later`, false],
    ['src/net/a.ts', `// ${'FIX'}ME`, false],
    ['bench/a.ts', `// ${'@ts-'}ignore`, false],
    ['src/net/a.ts', 'export const a = 1', true],
  ]
  for (const [path, text, isClean] of table) {
    assert.equal(checkBans([file(path, text)]).length === 0, isClean, `${path}: ${text}`)
  }
})

test('names are kebab-case and say something', () => {
  const table: [path: string, isClean: boolean][] = [
    ['src/core/piece-layout.ts', true],
    ['src/core/piece-layout.test.ts', true],
    ['src/wire/v1/http1.ts', true],
    ['src/core/pieceLayout.ts', false],
    ['src/core/piece_layout.ts', false],
    ['src/Core/piece.ts', false],
    ['src/core/index.ts', false],
    ['src/core/utils.ts', false],
    ['src/helpers/piece.ts', false],
    ['test/shared/piece.ts', false],
    ['src/core/common.test.ts', false],
    ['src/core/shared-copy.ts', true],
  ]
  for (const [path, isClean] of table) assert.equal(checkNames([path]).length === 0, isClean, path)
})

test('a file of the product is dead unless a command reaches it; tests reach nothing', () => {
  const files = [
    file('src/cli/main.ts', "import { a } from '../net/a.ts'"),
    file('src/net/a.ts', "import type { B } from './b.ts'\nconst c = await import('./c.ts')"),
    file('src/net/b.ts', "import { a } from './a.ts'"),
    file('src/net/c.ts', ''),
    file('src/net/dead.ts', "import { dead } from './dead-too.ts'"),
    file('src/net/dead-too.ts', ''),
    file('src/net/dead.test.ts', "import { dead } from './dead.ts'"),
  ]
  assert.deepEqual(checkDeadFiles(files, ['src/cli/main.ts']), [
    'src/net/dead.ts:1 no command reaches this file',
    'src/net/dead-too.ts:1 no command reaches this file',
  ])
})

test('an exported name is dead unless another file imports it, be it a test', () => {
  const files = [
    file(
      'src/core/a.ts',
      'export const used = 1\nexport const tested = 2\nexport const dead = used\nexport type Dead = 1',
    ),
    file('src/core/a.test.ts', "import { tested } from './a.ts'"),
    file('src/core/b.ts', "import { used as it } from './a.ts'\nexport const all = it"),
    file('bench/c.ts', "import * as b from '../src/core/b.ts'\nexport const free = b"),
  ]
  assert.deepEqual(checkDeadExports(files), [
    'src/core/a.ts:3 nothing else imports dead',
    'src/core/a.ts:4 nothing else imports Dead',
  ])
})

test('a source file has a limit, its test has none', () => {
  const long = 'f()\n'.repeat(SOURCE_LINES_MAX + 1)
  assert.deepEqual(checkLengths([file('src/core/a.ts', 'f()\n'.repeat(SOURCE_LINES_MAX))]), [])
  assert.equal(checkLengths([file('src/core/a.ts', long)]).length, 1)
  assert.deepEqual(checkLengths([file('src/core/a.test.ts', long)]), [])
})

test('paths of one machine and hosts of registries are found in any text', () => {
  const table: [text: string, isClean: boolean][] = [
    [`see ${'/wor'}k/main`, false],
    [`"${'/roo'}t/.cache"`, false],
    [`https://${'registry.npmj'}s.org/ws`, false],
    [`"${'resolve'}d": "https://mirror/ws.tgz"`, false],
    ['the network/working set in $HOME/root/ and src/work/a.ts', true],
  ]
  for (const [text, isClean] of table) {
    assert.equal(checkTraces([file('README.md', text)]).length === 0, isClean, text)
  }
})
