import { DragonflyError } from '../core/error.ts'
import { hasControlCharacter } from '../core/text.ts'

/** How the values of dfdaemon's settings are written. All parsers throw DragonflyError USAGE, and repeat nothing that may be secret. */

/** `https://host[:port][/path]`, returned without a slash at its end. */
export function parseRegistryUrl(text: string): string {
  const url = URL.parse(text)
  const isWeb = url !== null && /^https?:$/.test(url.protocol)
  if (isWeb && url.username === '' && url.password === '' && url.search === '' && url.hash === '')
    return `${url.origin}${url.pathname}`.replace(/\/+$/, '')
  throw new DragonflyError(
    'USAGE',
    'a registry is written https://host[:port], without user and password: those are shown by whoever pulls',
  )
}

/** Where Docker Hub answers. dfdaemon 1.x and people call it by other names. */
export function askedRegistry(remote: string): string {
  return /^https:\/\/(?:index\.)?docker\.io$/.test(remote) ? 'https://registry-1.docker.io' : remote
}

/** `host[:port]`, or `host[:port]/beginning/of/repository`, or `_default`. */
export function parseRegistryName(text: string): string {
  if (/^[0-9A-Za-z._:[\]-]+(?:\/[0-9A-Za-z._-]+)*$/.test(text)) return text.toLowerCase()
  throw new DragonflyError('USAGE', 'the name of a registry is written host[:port], or _default')
}

/** A regular expression; Go's `(?i)` at its beginning ignores case. */
export function parseUrlPattern(text: string): RegExp {
  const [, source] = /^\(\?i\)(.*)$/s.exec(text) ?? []
  try {
    return source === undefined ? new RegExp(text) : new RegExp(source, 'i')
  } catch (cause) {
    throw new DragonflyError('USAGE', `"${text}" is not a regular expression`, { cause })
  }
}

/** The content itself in the place of the file's name would be shown wherever settings are. */
export function parseFileName(text: string): string {
  if (!text.includes('-----BEGIN') && !text.includes('\0')) return text
  throw new DragonflyError('USAGE', 'the name of a file is wanted here, not what is in it')
}

/** RFC 7617, section 2. */
export function parseUser(text: string): string {
  if (text !== '' && !text.includes(':') && !hasControlCharacter(text)) return text
  throw new DragonflyError('USAGE', 'a user has at least one character, and no colon among them')
}

/** `host[:port]`, or nothing, which is how dfdaemon 1.x writes that there is none. */
export function parseRedirect(text: string): string {
  if (/^(?:(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?)?$/.test(text)) return text
  throw new DragonflyError('USAGE', 'a redirect is written host[:port]')
}
