import { spawnSync } from 'node:child_process'
import { chmod, rm } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { build, type Plugin } from 'esbuild'

/** The commands, each of which keeps its name in `dist/`. */
export const ENTRIES: readonly string[] = [
  'src/cli/dfget.ts',
  'src/cli/supernode.ts',
  'src/cli/manager.ts',
  'src/cli/dfdaemon.ts',
  'src/cli/dragonfly.ts',
]

const NODE_MAJOR_MIN = 24

/** The syntax of the oldest Node that gets to see the guard's sentence instead of a syntax error. */
const SYNTAX_TARGET = 'node18'

/** Native accelerators: used where they happen to be installed, never needed. */
const OPTIONAL_PACKAGES = ['msgpackr-extract', 'bufferutil', 'utf-8-validate', 'pg-native']

/** It finds its prebuilt binary beside itself, so that it stays where the install has put it. */
const NATIVE_PACKAGES = ['better-sqlite3']

/** The guard runs before everything else; then come the names that bundled CommonJS packages expect. */
const BANNER = `#!/usr/bin/env node
import { createRequire as __createRequire } from 'node:module'
if (Number.parseInt(process.versions.node, 10) < ${NODE_MAJOR_MIN}) {
  process.stderr.write('This command needs Node.js ${NODE_MAJOR_MIN} or newer; ' + process.execPath + ' is ' + process.version + '.\\n')
  process.exit(1)
}
const require = __createRequire(import.meta.url)
const __filename = import.meta.filename
const __dirname = import.meta.dirname
`

/** Costs the start of a command about 7 ms, and few downloads through a running peer use it. */
const LAZY_BUILTINS: readonly string[] = ['node:crypto']

/** A module with the same names, which loads the built-in one when the first of them is used. */
function lazily(path: string): string {
  const names = Object.keys(process.getBuiltinModule(path) ?? {})
  return `for (const name of ${JSON.stringify(names)}) {
    Object.defineProperty(exports, name, { get: () => require(${JSON.stringify(path)})[name] })
  }`
}

/**
 * Static imports run before the guard could, and an older Node fails to link names that its built-in modules lack. So they become
 * `require` calls, which run in order.
 */
const builtinsBehindGuard: Plugin = {
  name: 'builtins-behind-guard',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /.*/ }, ({ path, kind }) =>
      kind === 'import-statement' && isBuiltin(path) ? { path, namespace: 'builtin' } : null,
    )
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: LAZY_BUILTINS.includes(path)
        ? lazily(path)
        : `module.exports = require(${JSON.stringify(path)})`,
      loader: 'js',
    }))
  },
}

/**
 * What a command imports statically becomes one chunk. esbuild puts two modules into one chunk only where the same entry points and dynamic
 * imports reach both, which makes dozens of chunks, and each file costs the start of a command about half a millisecond. So every dynamic
 * import is made to reach all that the entry point imports, which is loaded by then in any case.
 */
async function startInOneChunk(entry: string, root: string): Promise<Plugin> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    external: ['*'],
    format: 'esm',
    metafile: true,
    write: false,
  })
  const [{ imports }] = Object.values(metafile.outputs)
  const atStart = imports.filter(({ kind }) => kind === 'import-statement')
  const lines = atStart.map(({ path }) => `import ${JSON.stringify(path)}`)
  return {
    name: 'start-in-one-chunk',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^\..*\.ts$/ }, ({ path, kind, resolveDir }) =>
        kind === 'dynamic-import' ? { path: join(resolveDir, path), namespace: 'lazy' } : null,
      )
      onLoad({ filter: /.*/, namespace: 'lazy' }, ({ path }) => ({
        contents: [...lines, `export * from ${JSON.stringify(path)}`].join('\n'),
        resolveDir: join(root, dirname(entry)),
      }))
    },
  }
}

/** What `dfget version` says of the build. The date is the commit's, so that the same sources give the same bundle. */
async function buildFacts(root: string): Promise<Record<string, string>> {
  const git = spawnSync('git', ['log', '-1', '--format=%h %cI'], { cwd: root, encoding: 'utf8' })
  const [commit, date] = git.status === 0 ? git.stdout.trim().split(' ') : []
  return commit === undefined || date === undefined
    ? {}
    : { BUILD_COMMIT: JSON.stringify(commit), BUILD_DATE: JSON.stringify(date) }
}

export async function bundle(root: string, outputFolder: string): Promise<void> {
  await rm(outputFolder, { recursive: true, force: true })
  const define = await buildFacts(root)
  for (const entry of ENTRIES) await bundleCommand(entry, { root, outputFolder, define })
}

/** By itself, so that a command loads few files, and what it imports dynamically is parsed only when that is needed. */
async function bundleCommand(
  entry: string,
  { root, outputFolder, define }: { root: string; outputFolder: string; define: Record<string, string> },
): Promise<void> {
  const name = basename(entry).replace(/\.ts$/, '')
  await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outdir: outputFolder,
    bundle: true,
    splitting: true,
    chunkNames: `parts/${name}-[hash]`,
    format: 'esm',
    platform: 'node',
    target: SYNTAX_TARGET,
    banner: { js: BANNER },
    external: [...OPTIONAL_PACKAGES, ...NATIVE_PACKAGES],
    plugins: [builtinsBehindGuard, await startInOneChunk(entry, root)],
    define,
    sourcemap: 'linked',
    logLevel: 'warning',
  })
  await chmod(join(outputFolder, `${name}.js`), 0o755)
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..')
  await bundle(root, join(root, 'dist')).catch(() => {
    process.exitCode = 1
  })
}
