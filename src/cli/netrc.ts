import { open } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { DragonflyError } from '../core/error.ts'

/** Credentials by host, as ftp, curl and wget read them too. */
type Netrc = {
  readonly file: string
  /** Whether others than its owner may read it. */
  readonly isExposed: boolean
  readonly entries: readonly NetrcEntry[]
}

/** `machine` is null for whatever no other entry names. */
export type NetrcEntry = {
  readonly machine: string | null
  readonly login: string
  readonly password: string
}

const FILE_BYTES_MAX = 1024 * 1024

/**
 * The file that the user named, else `~/.netrc` if there is one.
 * @throws DragonflyError CONFIG_INVALID where the named one cannot be read
 */
export async function readNetrc(named: string | null): Promise<Netrc | null> {
  const file = named ?? usualFile()
  if (file === null) return null
  try {
    const handle = await open(file)
    try {
      const { mode, size } = await handle.stat()
      if (size > FILE_BYTES_MAX) throw new Error('it is too long')
      const entries = parseNetrc(await handle.readFile('utf8'))
      // What stands for every host was written for servers that greet anybody; it goes everywhere only where somebody says so.
      const used = named === null ? entries.filter(({ machine }) => machine !== null) : entries
      return { file, isExposed: (mode & 0o077) !== 0, entries: used }
    } finally {
      await handle.close()
    }
  } catch (cause) {
    if (named === null) return null
    throw new DragonflyError('CONFIG_INVALID', `${file} cannot be read: ${(cause as Error).message}`, {
      cause,
    })
  }
}

/** `Basic …` for the URL's host, or null. Names are compared without case, and a port is not a part of them. */
export function authorizationFor({ entries }: Netrc, url: string): string | null {
  const host = URL.parse(url)?.hostname.toLowerCase()
  const named = entries.find(({ machine }) => machine?.toLowerCase() === host)
  const entry = named ?? entries.find(({ machine }) => machine === null)
  if (host === undefined || entry === undefined) return null
  return `Basic ${Buffer.from(`${entry.login}:${entry.password}`, 'utf8').toString('base64')}`
}

/** An entry without a login says nothing to an HTTP origin. */
export function parseNetrc(text: string): NetrcEntry[] {
  type Draft = { machine: string | null; login?: string; password?: string }
  const drafts: Draft[] = []
  const words = wordsOf(text)
  for (let word = words.next(); !word.done; word = words.next()) {
    const keyword = word.value
    if (keyword === 'default') drafts.push({ machine: null })
    else if (keyword === 'machine') drafts.push({ machine: words.next().value ?? '' })
    else if (keyword === 'login' || keyword === 'password' || keyword === 'account') {
      const given: string = words.next().value ?? ''
      const draft = drafts.at(-1)
      if (draft && keyword !== 'account') draft[keyword] = given
    }
  }
  return drafts.flatMap(({ machine, login, password = '' }) =>
    login === undefined || machine === '' ? [] : [{ machine, login, password }],
  )
}

/** Separated by space; in quotes, a backslash takes the next character as it is. Comments and macros are left out. */
function* wordsOf(text: string): Generator<string, undefined> {
  const plain = text
    .replace(/^[^\S\n]*#.*$/gm, '')
    .replace(/^[^\S\n]*macdef\s[\s\S]*?(?:\n[^\S\n]*\n|$(?![\s\S]))/gm, '\n')
  for (const [, quoted, word] of plain.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)) {
    yield quoted === undefined ? word : quoted.replace(/\\(.)/g, '$1')
  }
}

function usualFile(): string | null {
  try {
    return path.join(os.homedir(), '.netrc')
  } catch {
    return null
  }
}
