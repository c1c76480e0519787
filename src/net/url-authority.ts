/** Whom a URL of HTTP names, and what it has for them alone. */
export type UrlAuthority = {
  /** Without the brackets of an IPv6 address. */
  readonly host: string
  readonly port: number
  readonly isSecure: boolean
  /** `Basic …` from the user information, or null. */
  readonly authorization: string | null
}

export function authorityOf(url: URL): UrlAuthority {
  const isSecure = url.protocol === 'https:'
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? (isSecure ? 443 : 80) : Number(url.port),
    isSecure,
    authorization: basicAuthorizationOf(url),
  }
}

function basicAuthorizationOf({ username, password }: URL): string | null {
  if (username === '' && password === '') return null
  const pair = `${decodePercent(username)}:${decodePercent(password)}`
  return `Basic ${Buffer.from(pair, 'utf8').toString('base64')}`
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
