import { stringify } from 'yaml'
import { redactUrl } from '../core/filter-url.ts'
import type { DfdaemonSettings } from './dfdaemon-settings.ts'

/** Settings and command line as they may be shown: without passwords, header values, and keys in PEM form. */

/** As dfdaemon 1.x shows them at `/env`: keys in lower case. */
export function shownSettings(settings: DfdaemonSettings): Record<string, unknown> {
  return shownMapping({ ...settings, dfget_flags: shownArguments(settings.dfget_flags ?? []) }, key =>
    key.toLowerCase(),
  )
}

/** As a configuration file. */
export function writtenSettings(settings: DfdaemonSettings): string {
  const shown = { ...settings, dfget_flags: shownArguments(settings.dfget_flags ?? []) }
  return stringify(
    shownMapping(shown, key => key),
    { lineWidth: 0 },
  )
}

export function shownArguments(args: readonly string[]): string[] {
  return args.map((word, index) => {
    if (args[index - 1] === '--header') return shownHeader(word)
    const [, flag, header] = /^(--header=)(.*)$/s.exec(word) ?? []
    return header === undefined ? shownText(word) : `${flag}${shownHeader(header)}`
  })
}

function shownHeader(header: string): string {
  return `${header.split(':', 1)[0]}: ***`
}

function shownMapping(mapping: object, nameOf: (key: string) => string): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(mapping).map(([key, value]) => [nameOf(key), shownValue(value, nameOf)]),
  )
}

function shownValue(value: unknown, nameOf: (key: string) => string): unknown {
  if (typeof value === 'string') return /^(?:0|[1-9]\d{0,8})$/.test(value) ? Number(value) : shownText(value)
  if (Array.isArray(value)) return value.map(entry => shownValue(entry, nameOf))
  return typeof value === 'object' && value !== null ? shownMapping(value, nameOf) : value
}

function shownText(text: string): string {
  return text
    .replace(/-----BEGIN [\s\S]*/, '***')
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^/?#\s]*@/gi, '$1***@')
    .replace(/[a-z][a-z0-9+.-]*:\/\/[^\s?]*\?\S*/gi, redactUrl)
}
