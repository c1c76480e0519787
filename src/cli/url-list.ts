import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { addAbortSignal } from 'node:stream'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { checkUrl, nameFrom } from './download-target.ts'
import { interrupted } from './persistence.ts'

/** One line of a list of URLs: where it goes, or why it cannot go anywhere. A line that is no URL is not repeated: it may hold a secret. */
export type ListedUrl =
  | { readonly url: string; readonly output: string; readonly refusal: null }
  | { readonly url: string | null; readonly output: null; readonly refusal: DragonflyError }

const LIST_BYTES_MAX = 64 * 1024 ** 2

/**
 * The text of the list; `-` is standard input.
 * @throws DragonflyError USAGE, CANCELLED
 */
export async function readUrlList(file: string, signal: AbortSignal): Promise<string> {
  try {
    const text = file === '-' ? await readInput(signal) : await readFile(file, { encoding: 'utf8', signal })
    if (text.length > LIST_BYTES_MAX) throw new Error('it is too long')
    return text
  } catch (cause) {
    if (signal.aborted) throw interrupted(cause)
    const name = file === '-' ? 'standard input' : file
    throw new DragonflyError('USAGE', `--input-file: ${name}: ${(cause as Error).message}`, { cause })
  }
}

/**
 * One URL on a line; blank lines and such as begin with `#` do not count. Each file is named as the end of its URL says, so that two of
 * one name cannot both be had: the first is.
 */
export function parseUrlList(text: string, directory: string): ListedUrl[] {
  const taken = new Map<string, number>()
  const listed: ListedUrl[] = []
  for (const [index, written] of text.split('\n').entries()) {
    const plain = written.trim()
    if (plain === '' || plain.startsWith('#')) continue
    const line = index + 1
    let url: string | null = null
    try {
      url = checkUrl(plain)
      const name = nameFrom(url)
      if (name === null) throw new DragonflyError('USAGE', 'the URL names no file')
      const before = taken.get(name)
      if (before !== undefined) {
        throw new DragonflyError('USAGE', `"${name}" is the name of the file of line ${before} already`)
      }
      taken.set(name, line)
      listed.push({ url, output: path.join(directory, name), refusal: null })
    } catch (thrown) {
      const { code, message } = toDragonflyError(thrown)
      const refusal = new DragonflyError(code, `line ${line}: ${message}`, { cause: thrown })
      listed.push({ url, output: null, refusal })
    }
  }
  return listed
}

async function readInput(signal: AbortSignal): Promise<string> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of addAbortSignal(signal, process.stdin)) {
    length += part.length
    if (length > LIST_BYTES_MAX) throw new Error('it is too long')
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
