import { createSocket } from 'node:dgram'
import { isIP, isIPv6 } from 'node:net'
import { type HostPort, parseHostPort } from '../core/host-port.ts'

/**
 * This host's address on the way to another one, as its routes say; nothing is sent. Empty where there is no way, and for a name, which
 * would have to be asked for.
 */
export function ownAddressTowards({ host, port }: HostPort): Promise<string> {
  if (isIP(host) === 0) return Promise.resolve('')
  return new Promise(resolve => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
    socket.unref()
    const answer = (address: string) => {
      resolve(address)
      socket.close()
    }
    socket.once('error', () => answer(''))
    socket.connect(port, host, (error?: Error | null) => answer(error ? '' : socket.address().address))
  })
}

/** Of a managing node, from its URL. */
export function managerAddress(manager: string): HostPort {
  const { host, protocol } = new URL(manager)
  return parseHostPort(host, protocol === 'https:' ? 443 : 80)
}
