import { DragonflyError } from '../../core/error.ts'

export type RuntimeVersion = { readonly major: number; readonly minor: number }

/** The first version number in what a program says of itself; null where there is none. */
export function findVersion(said: string): RuntimeVersion | null {
  const match = /(?<![\d.])v?(\d{1,4})\.(\d{1,4})(?!\d)/.exec(said)
  return match && { major: Number(match[1]), minor: Number(match[2]) }
}

/** @throws DragonflyError USAGE */
export function parseRuntimeVersion(text: string): RuntimeVersion {
  const version = /^v?\d/.test(text) ? findVersion(text.includes('.') ? text : `${text}.0`) : null
  if (version) return version
  throw new DragonflyError('USAGE', 'a version is written like 1.7 or 2.1.3')
}

export function isOlder(version: RuntimeVersion | null, major: number, minor: number): boolean {
  return version !== null && (version.major - major || version.minor - minor) < 0
}
