import path from 'node:path'
import { DragonflyError } from '../core/error.ts'
import { hasControlCharacter } from '../core/text.ts'

/** What a command wants and where to: checked before anything is started. All throw DragonflyError USAGE or OUTPUT_INVALID. */

/** What the resident peer and the supernode take, less what they add. */
const URL_CHARACTERS_MAX = 12_000

/** The URL never shows in a message, for it may hold credentials. */
export function checkUrl(url: string): string {
  const refuse = (what: string): never => {
    throw new DragonflyError('USAGE', what)
  }
  if (url.length > URL_CHARACTERS_MAX)
    refuse(`the URL has ${url.length} characters; ${URL_CHARACTERS_MAX} are the most`)
  if (hasControlCharacter(url)) refuse('the URL holds a control character')
  const [, scheme] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url) ?? []
  if (scheme === undefined) refuse('the URL has no scheme; write it like http://host/file')
  if (!/^https?$/i.test(scheme)) refuse(`there is no origin for "${scheme}" URLs; there are http and https`)
  // The standard's parser would take the path's first part for the host.
  const isHostless = /^[a-z]+:\/\/[\\/]/i.test(url)
  if (isHostless || !URL.canParse(url)) refuse('the URL is not a valid http or https URL')
  return url
}

/** As an output: standard output. A file of that name is `./-`. */
export const STDOUT = '-'

/** Absolute path of the target, or `STDOUT`; `given` is the user's word, or null for the URL's last part in this directory. */
export function targetPath(url: string, given: string | null): string {
  if (given === STDOUT) return STDOUT
  if (given === null) {
    const name = nameFrom(url)
    if (name === null) {
      throw new DragonflyError('USAGE', 'the URL names no file; give one with -o')
    }
    return path.resolve(name)
  }
  if (/\/\.{0,2}$/.test(given) || /^\.{1,2}$/.test(given)) {
    throw new DragonflyError('OUTPUT_INVALID', `${given} names a directory, not a file`)
  }
  return path.resolve(given)
}

/** One name and never a path: what stands in the URL is somebody else's word. Null where it names nothing. */
export function nameFrom(url: string): string | null {
  const last = /^[^?#]*\/\/[^/?#]*(?:\/[^?#]*)?\/([^/?#]+)\/*(?:[?#]|$)/.exec(url)?.[1]
  const name = last === undefined ? undefined : decodeName(last)
  return !name || name === '.' || name === '..' || /[/\0]/.test(name) ? null : name
}

function decodeName(encoded: string): string {
  try {
    return decodeURIComponent(encoded)
  } catch {
    return encoded
  }
}
