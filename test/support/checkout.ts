import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { SourceFile } from './tidy.ts'

const ROOT = join(import.meta.dirname, '../..')
const NOT_OURS = new Set(['.git', 'node_modules', 'dist'])
const TEXT_BYTES_MAX = 4 * 1024 ** 2

/** Paths from the root, with slashes: what git knows or would add, or everything where there is no git. */
export function checkoutPaths(): string[] {
  const git = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  if (git.status !== 0) return walk('')
  return [...new Set(git.stdout.split('\0'))]
    .filter(path => path !== '' && existsSync(join(ROOT, path)))
    .sort()
}

function walk(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true })
    .filter(entry => !NOT_OURS.has(entry.name))
    .flatMap(entry => {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      return entry.isDirectory() ? walk(path) : [path]
    })
    .sort()
}

/** Reads those that are text; what holds a NUL byte is not. */
export function readTexts(paths: readonly string[]): SourceFile[] {
  return paths
    .filter(path => statSync(join(ROOT, path)).isFile() && statSync(join(ROOT, path)).size <= TEXT_BYTES_MAX)
    .map(path => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))
    .filter(({ text }) => !text.includes('\0'))
}

/** Names of the packages that the product may need at run time. */
export function runtimeDependencies(): string[] {
  return Object.keys(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).dependencies)
}
