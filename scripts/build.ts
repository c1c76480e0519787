import { chmod, rm } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { basename, join } from 'node:path'
import { build, type Plugin } from 'esbuild'

/** One file per command is bundled from these into `dist/`; the name is kept. */
export const ENTRIES: readonly string[] = ['src/cli/dfget.ts', 'src/cli/supernode.ts', 'src/cli/dragonfly.ts']

const NODE_MAJOR_MIN = 24

/** The syntax of the oldest Node that gets to see the guard's sentence instead of a syntax error. */
const SYNTAX_TARGET = 'node18'

/** Native accelerators: used where they happen to be installed, never needed. */
const OPTIONAL_PACKAGES = ['msgpackr-extract', 'bufferutil', 'utf-8-validate']

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
      contents: `module.exports = require(${JSON.stringify(path)})`,
      loader: 'js',
    }))
  },
}

export async function bundle(root: string, outputFolder: string): Promise<void> {
  await rm(outputFolder, { recursive: true, force: true })
  await build({
    absWorkingDir: root,
    entryPoints: [...ENTRIES],
    outdir: outputFolder,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: SYNTAX_TARGET,
    banner: { js: BANNER },
    external: OPTIONAL_PACKAGES,
    plugins: [builtinsBehindGuard],
    sourcemap: 'linked',
    logLevel: 'warning',
  })
  for (const entry of ENTRIES) await chmod(join(outputFolder, basename(entry).replace(/\.ts$/, '.js')), 0o755)
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..')
  await bundle(root, join(root, 'dist')).catch(() => {
    process.exitCode = 1
  })
}
