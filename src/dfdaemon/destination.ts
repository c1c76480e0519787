import { lookup as lookupName } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { networkInterfaces } from 'node:os'
import { DragonflyError } from '../core/error.ts'
import { formatHostPort, type HostPort } from '../core/host-port.ts'
import { formatIpAddress, type IpAddress, parseIpAddress } from '../core/ip-address.ts'

/**
 * The "bad ports" of the Fetch standard (https://fetch.spec.whatwg.org/#port-blocking): behind them are services that can be made to take
 * a request of HTTP for one of their own.
 */
const BAD_PORTS: ReadonlySet<number> = new Set([
  1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
  109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515,
  526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
  3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10_080,
])

/**
 * Nobody is sent to a bad port, nor to the daemon itself, which would ask itself without end. It is looked at twice. Before anything is
 * asked, so that the client hears why, and because a proxy or the swarm, which may ask in the daemon's place, dials by itself. And when
 * it is dialled, for a redirect leads elsewhere, and a name may have changed its meaning.
 */
export class Destinations {
  readonly #ownPort: () => number
  readonly #resolve: LookupFunction

  /** The daemon's own port is known only when it listens. */
  constructor(ownPort: () => number, resolve: LookupFunction = lookupName) {
    this.#ownPort = ownPort
    this.#resolve = resolve
  }

  /** What can be said without asking for a name's addresses. @throws DragonflyError ORIGIN_BLOCKED, ORIGIN_LOOP */
  check(to: HostPort): void {
    if (BAD_PORTS.has(to.port)) {
      throw new DragonflyError('ORIGIN_BLOCKED', `port ${to.port} is for another protocol than HTTP`)
    }
    if (to.port === this.#ownPort() && isOwnAddress(to.host)) throw loop(to)
  }

  /** The same, and for a name that its addresses of this moment are not the daemon's. @throws DragonflyError ORIGIN_BLOCKED, ORIGIN_LOOP */
  async checkName(to: HostPort): Promise<void> {
    this.check(to)
    const lookup = this.lookupFor(to)
    if (lookup === undefined || isIP(to.host) !== 0) return
    const { promise, resolve } = Promise.withResolvers<unknown>()
    lookup(to.host, { all: true }, resolve)
    const failure = await promise
    // A name without addresses is for whoever dials it to report; another proxy may know it.
    if (failure instanceof DragonflyError) throw failure
  }

  /**
   * For `net.connect`, so that what is checked are the addresses that are dialled, whatever a name meant before; undefined where the port
   * alone says that it cannot be the daemon.
   */
  lookupFor(to: HostPort): LookupFunction | undefined {
    if (to.port !== this.#ownPort()) return undefined
    return (name, options, callback) =>
      this.#resolve(name, options, (failure, address, family) => {
        const addresses = typeof address === 'string' ? [address] : (address ?? []).map(one => one.address)
        if (failure === null && addresses.some(isOwnAddress)) callback(loop(to), '', 0)
        else callback(failure, address, family)
      })
  }
}

function loop(to: HostPort): DragonflyError {
  return new DragonflyError('ORIGIN_LOOP', `${formatHostPort(to)} is this daemon itself`)
}

/** Whether a connection to this address ends on this host. */
function isOwnAddress(text: string): boolean {
  const address = parseIpAddress(text)
  if (address === null) return false
  if (isLoopbackOrUnspecified(address)) return true
  const own = Object.values(networkInterfaces()).flatMap(addresses => addresses ?? [])
  return own.some(one => sameAddress(one.address, address))
}

function sameAddress(text: string, address: IpAddress): boolean {
  const other = parseIpAddress(text)
  return other !== null && formatIpAddress(other) === formatIpAddress(address)
}

/** 0.0.0.0 and :: lead to this host too where one connects to them. */
function isLoopbackOrUnspecified({ family, words }: IpAddress): boolean {
  if (family === 4) return words[0] === 0 || words[0] >>> 24 === 127
  return words.slice(0, 3).every(word => word === 0) && words[3] <= 1
}
