/** Names and values of a head as they came: order, case and repetition kept. */
export type Fields = readonly (readonly [string, string])[]

/** From the flat list of names and values in which Node and undici give a head as it came. */
export function fieldsOf(raw: readonly string[]): Fields {
  return Array.from({ length: raw.length / 2 }, (_, index) => [raw[2 * index], raw[2 * index + 1]] as const)
}

/** The first value, or null. `name` is in lower case. */
export function fieldValue(fields: Fields, name: string): string | null {
  return fields.find(([other]) => other.toLowerCase() === name)?.[1] ?? null
}

/** `names` are in lower case. */
export function without(fields: Fields, names: ReadonlySet<string>): Fields {
  return fields.filter(([name]) => !names.has(name.toLowerCase()))
}

/**
 * What whoever forwards a message adds (RFC 9110, section 7.6.3), after what others added before. HTTP/1.1 is what is spoken with both
 * sides; the pseudonym tells no host's name.
 */
export const VIA = ['Via', '1.1 dragonfly'] as const

/**
 * What is for whoever the message is for in the end: without the fields of one connection, those that `Connection` names included
 * (RFC 9110, section 7.6.1).
 */
export function endToEnd(fields: Fields): Fields {
  const named = fields
    .filter(([name]) => name.toLowerCase() === 'connection')
    .flatMap(([, value]) => value.toLowerCase().split(','))
  return without(fields, new Set([...HOP_BY_HOP, ...named.map(name => name.trim())]))
}

const HOP_BY_HOP = [
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]
