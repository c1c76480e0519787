import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Cidr, maskWord, parseIpAddress } from '../core/ip-address.ts'
import type { Log } from '../ops/log.ts'
import type { ClientOptions } from './options.ts'
import { sendRefusal } from './upstream/error-answer.ts'

const LOGGED_MAX = 1000

/** What a client of the proxy is asked for (RFC 7617). */
export const PROXY_CHALLENGE = 'Basic realm="dragonfly", charset="UTF-8"'

/** Who may use the daemon at all, and who its proxy. */
export class ClientGate {
  readonly #allowed: readonly Cidr[]
  readonly #log: Log
  readonly #credentials: ((shown: Buffer) => boolean) | null
  readonly #logged = new Set<string>()

  constructor({ allowed, credentials }: ClientOptions, log: Log) {
    this.#allowed = allowed
    this.#log = log
    this.#credentials =
      credentials === null ? null : sameAs(Buffer.from(`${credentials.user}:${credentials.password}`))
  }

  /** Whether this client is answered at all. */
  lets({ socket }: IncomingMessage): boolean {
    const address = socket.remoteAddress
    return address !== undefined && this.#allowed.some(cidr => contains(cidr, address))
  }

  /** Whether what the request shows opens the proxy; anything does where nothing is wanted. */
  opensProxy({ headers }: IncomingMessage): boolean {
    if (this.#credentials === null) return true
    const authorization = headers['proxy-authorization'] ?? ''
    const [, base64] = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(authorization) ?? []
    return base64 !== undefined && this.#credentials(Buffer.from(base64, 'base64'))
  }

  /** The answer to a client that is not let in, after which its connection closes. Each address is logged once. */
  refuse({ socket }: IncomingMessage, response: ServerResponse): void {
    this.#logOnce(socket.remoteAddress ?? 'unknown')
    response.setHeader('connection', 'close')
    sendRefusal(response, 403, {
      code: 'DENIED',
      message: 'this daemon is not for clients from your address',
    })
  }

  #logOnce(address: string): void {
    if (this.#logged.has(address) || this.#logged.size >= LOGGED_MAX) return
    this.#logged.add(address)
    this.#log.warn({ address }, 'a client was refused: its address is not allowed')
  }
}

/** An address with a zone, such as `fe80::1%eth0`, counts as the address. */
function contains(cidr: Cidr, text: string): boolean {
  const address = parseIpAddress(text.replace(/%.*$/, ''))
  if (address?.family !== cidr.family) return false
  return cidr.words.every((word, index) => maskWord(address.words[index], cidr.length - 32 * index) === word)
}

/** Compares HMACs under a key that nobody knows, so that the time it takes says nothing about the secret, nor about its length. */
function sameAs(secret: Buffer): (shown: Buffer) => boolean {
  const key = randomBytes(32)
  const hash = (bytes: Buffer) => createHmac('sha256', key).update(bytes).digest()
  const wanted = hash(secret)
  return shown => timingSafeEqual(hash(shown), wanted)
}
