import { DragonflyError } from '../../core/error.ts'
import { formatIpAddress, parseIpAddress } from '../../core/ip-address.ts'
import { isNamePattern } from './name-table.ts'

/** The questions about one host, the first of them first. */
export type UrlTemplate = (host: { hostName: string; addresses: readonly string[] }) => string[]

/** A host with more addresses is asked for by the first ones only. */
const ADDRESSES_MAX = 4

/**
 * Compiles a URL with `{hostName}`, `{address}` or both in its path or query. What a host says of itself goes in escaped, and only where it
 * is a name or an address, so that it cannot lead to another path. The template never shows in a message, for it may hold credentials.
 * @throws DragonflyError CONFIG_INVALID
 */
export function compileUrlTemplate(template: string): UrlTemplate {
  const names = [...template.matchAll(/\{([^{}]*)\}/g)].map(match => match[1])
  const authority = /^https?:\/\/[^/?#]*/i.exec(template)?.[0]
  const unknown = names.find(name => name !== 'hostName' && name !== 'address')
  if (authority === undefined || !URL.canParse(fill(template, 'name', '10.0.0.1')))
    throw invalid('is not an http or https URL')
  if (/[{}]/.test(authority)) throw invalid('has a placeholder outside of path and query')
  if (template.includes('#')) throw invalid('has a fragment, which is not sent')
  if (unknown !== undefined) throw invalid('has a placeholder that is neither {hostName} nor {address}')
  if (names.length === 0) throw invalid('has neither {hostName} nor {address}')
  const [asksName, asksAddress] = [names.includes('hostName'), names.includes('address')]
  return ({ hostName, addresses }) => {
    const name = isName(hostName) ? hostName.toLowerCase() : ''
    const parsed = addresses.flatMap(text => parseIpAddress(text) ?? []).map(formatIpAddress)
    const known = [...new Set(parsed)].slice(0, ADDRESSES_MAX)
    if (!asksAddress) return name === '' ? [] : [fill(template, name, '')]
    if (known.length > 0) return known.map(address => fill(template, name, address))
    return asksName && name !== '' ? [fill(template, name, '')] : []
  }
}

function fill(template: string, hostName: string, address: string): string {
  return template
    .replaceAll('{hostName}', () => encodeURIComponent(hostName))
    .replaceAll('{address}', () => encodeURIComponent(address))
}

/** Not `..`, which would be another path. */
function isName(hostName: string): boolean {
  return isNamePattern(hostName) && !hostName.includes('*') && /[^.]/.test(hostName)
}

function invalid(what: string): DragonflyError {
  return new DragonflyError('CONFIG_INVALID', `the URL template of the armory ${what}`)
}
