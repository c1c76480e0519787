import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Clock } from '../core/clock.ts'
import { formatHostPort, type HostPort } from '../core/host-port.ts'
import { findHeadEnd, HEAD_BYTES_MAX, parseResponseHead } from '../wire/http1.ts'
import { serverNameOf } from './http1-target.ts'
import type { HttpProxy } from './proxy.ts'
import { orProtocolError, TransportError, toTransportError } from './transport-error.ts'

type TunnelOptions = { readonly clock: Clock; readonly connectMs: number; readonly signal?: AbortSignal }

/**
 * A socket that the proxy has connected to `to` (CONNECT; RFC 9110, section 9.3.6). Nothing but the destination's name and the proxy's
 * own credentials is said to the proxy.
 * @throws TransportError
 */
export async function openTunnel(
  proxy: HttpProxy,
  to: HostPort,
  { clock, connectMs, signal }: TunnelOptions,
): Promise<Socket> {
  const name = formatHostPort(proxy)
  const socket = proxy.isSecure
    ? connectTls({
        host: proxy.host,
        port: proxy.port,
        servername: serverNameOf(proxy.host),
        ALPNProtocols: ['http/1.1'],
      })
    : connectTcp({ host: proxy.host, port: proxy.port })
  socket.setNoDelay(true)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const refuse = (failure: TransportError) => reject(failure)
  const onError = (error: Error) => refuse(throughProxy(name, toTransportError(error)))
  const onClose = () => refuse(new TransportError('unreachable', `the proxy ${name} closed the connection`))
  const onAbort = () => refuse(new TransportError('closed', 'cancelled'))
  let collected = Buffer.alloc(0)
  const onData = (bytes: Buffer) => {
    const seen = collected.length
    collected = Buffer.concat([collected, bytes])
    const headEnd = findHeadEnd(collected, seen, collected.length)
    if (headEnd < 0 && collected.length <= HEAD_BYTES_MAX) return
    try {
      checkAnswer(name, collected, headEnd)
      resolve()
    } catch (thrown) {
      refuse(thrown as TransportError)
    }
  }
  socket.on('error', onError).on('close', onClose).on('data', onData)
  signal?.addEventListener('abort', onAbort)
  if (signal?.aborted) onAbort()
  const cancel = clock.schedule(connectMs, () =>
    refuse(new TransportError('unreachable', `the proxy ${name} made no connection within ${connectMs} ms`)),
  )
  socket.once(proxy.isSecure ? 'secureConnect' : 'connect', () => {
    socket.write(connectRequest(proxy, to), 'latin1')
  })
  try {
    await promise
    socket.off('data', onData).off('close', onClose).pause()
    return socket
  } catch (thrown) {
    socket.destroy()
    throw thrown
  } finally {
    cancel()
    signal?.removeEventListener('abort', onAbort)
  }
}

function connectRequest({ authorization }: HttpProxy, to: HostPort): string {
  const authority = formatHostPort(to)
  const credentials = authorization === null ? '' : `Proxy-Authorization: ${authorization}\r\n`
  return `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credentials}\r\n`
}

function checkAnswer(name: string, bytes: Buffer, headEnd: number): void {
  if (headEnd < 0) throw new TransportError('protocol', `the proxy ${name} does not speak HTTP`)
  const { status } = orProtocolError(() => parseResponseHead(bytes.subarray(0, headEnd)))
  if (status < 200 || status >= 300) {
    const failure = status >= 500 ? 'unreachable' : 'refused'
    throw new TransportError(failure, `the proxy ${name} answered ${status}`)
  }
  // The destination waits for us to speak first, so nobody who is it has said anything yet.
  if (bytes.length > headEnd)
    throw new TransportError('protocol', `the proxy ${name} sent more than an answer`)
}

function throughProxy(name: string, { failure, message, cause }: TransportError): TransportError {
  return new TransportError(failure === 'closed' ? 'unreachable' : failure, `the proxy ${name}: ${message}`, {
    cause,
  })
}
