import { randomUUID, sign } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { createSelfSigned } from './self-signed.ts'

/** Tells a registry who may do what (the token authentication of distribution's specification). */

export type TokenServer = {
  /** The registry's `auth.token`, but for where the file with `cert` is. */
  readonly settings: { readonly realm: string; readonly service: string; readonly issuer: string }
  readonly cert: string
  /** Who showed whom since the beginning. */
  readonly asked: readonly { readonly user: string; readonly scope: string }[]
  /** For whom nobody need ask. */
  tokenFor(repository: string, actions: readonly string[], user?: string): string
  stop(): Promise<void>
}

export type RegistryUser = {
  readonly name: string
  readonly password: string
  /** What may be pulled. */
  readonly repositories: readonly string[]
}

type Access = { readonly type: string; readonly name: string; readonly actions: readonly string[] }

const SERVICE = 'registry'
const ISSUER = 'dragonfly-test'
const LIFETIME_SECONDS = 300

export async function startTokenServer(users: readonly RegistryUser[]): Promise<TokenServer> {
  const { key, cert } = createSelfSigned({ dns: ISSUER })
  const asked: { user: string; scope: string }[] = []
  const issue = (user: string, access: readonly Access[]) => issueToken({ user, access }, key, cert)
  const server = http.createServer((request, response) => {
    request.resume()
    const { searchParams } = new URL(request.url ?? '', 'http://localhost')
    const shown = Buffer.from(request.headers.authorization?.split(' ')[1] ?? '', 'base64').toString()
    const user = users.find(({ name, password }) => `${name}:${password}` === shown)
    asked.push({ user: shown.split(':')[0], scope: searchParams.getAll('scope').join(' ') })
    // Clients that would rather use OAuth 2 try POST first.
    if (request.method !== 'GET') return void response.writeHead(404).end()
    if (user === undefined) return void response.writeHead(401).end()
    const wanted = searchParams.getAll('scope').flatMap(scope => scope.split(' '))
    const access = wanted
      .map(scope => scope.split(':'))
      .filter(([type, name]) => type === 'repository' && user.repositories.includes(name))
      .map(([type, name]) => ({ type, name, actions: ['pull'] }))
    const token = issue(user.name, access)
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ token, access_token: token, expires_in: LIFETIME_SECONDS }))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  return {
    settings: { realm: `http://127.0.0.1:${port}/token`, service: SERVICE, issuer: ISSUER },
    cert,
    asked,
    tokenFor: (name, actions, user = '') => issue(user, [{ type: 'repository', name, actions }]),
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Whom a token that is shown as `Bearer` is for. */
export function userOf(authorization: string): string | null {
  const claims = /^Bearer [^.]+\.([^.]+)\./.exec(authorization)?.[1]
  return claims === undefined ? null : JSON.parse(Buffer.from(claims, 'base64url').toString()).sub
}

/** A JSON web token (RFC 7519) with the certificate of its key (RFC 7515, section 4.1.6). */
function issueToken(
  { user, access }: { user: string; access: readonly Access[] },
  key: string,
  cert: string,
): string {
  const now = Math.floor(Date.now() / 1_000)
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const head = encode({ typ: 'JWT', alg: 'ES256', x5c: [cert.replace(/-----[^-]+-----|\n/g, '')] })
  const times = { iat: now, nbf: now - 10, exp: now + LIFETIME_SECONDS }
  const claims = encode({ iss: ISSUER, aud: SERVICE, sub: user, jti: randomUUID(), ...times, access })
  const signature = sign('sha256', Buffer.from(`${head}.${claims}`), { key, dsaEncoding: 'ieee-p1363' })
  return `${head}.${claims}.${signature.toString('base64url')}`
}
