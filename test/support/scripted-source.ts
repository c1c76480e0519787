import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

export type ScriptedRequest = {
  /** The head as it came. */
  readonly text: string
  readonly socket: Socket
  /** From 0, over all connections and on its own one. */
  readonly index: number
  readonly indexOnConnection: number
  readonly connectionIndex: number
}

export type ScriptedSource = {
  readonly port: number
  readonly requests: ScriptedRequest[]
  readonly sockets: Socket[]
  close(): Promise<void>
}

/** A TCP server that answers each request as the test says, however wrong that is. */
export async function startScriptedSource(
  answer: (request: ScriptedRequest) => void,
): Promise<ScriptedSource> {
  const requests: ScriptedRequest[] = []
  const sockets: Socket[] = []
  const server = createServer(socket => {
    const connectionIndex = sockets.push(socket) - 1
    let text = ''
    let indexOnConnection = 0
    socket.on('error', () => {})
    socket.setEncoding('latin1')
    socket.on('data', (received: string) => {
      text += received
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const request = {
          text: text.slice(0, end),
          socket,
          index: requests.length,
          indexOnConnection,
          connectionIndex,
        }
        text = text.slice(end + 4)
        indexOnConnection++
        requests.push(request)
        answer(request)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    sockets,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The honest answer to a range request on `content`. */
export function honestAnswer(request: ScriptedRequest, content: Uint8Array): void {
  const range = /\r\nRange: bytes=(\d+)-(\d+)/.exec(request.text)
  if (!range) throw new Error('the request names no range')
  const [start, last] = [Number(range[1]), Number(range[2])]
  request.socket.write(rangeHead(start, last, content.length))
  request.socket.write(content.subarray(start, last + 1))
}

export function rangeHead(start: number, last: number, completeLength: number): string {
  return `HTTP/1.1 206 Partial Content\r\nContent-Range: bytes ${start}-${last}/${completeLength}\r\nContent-Length: ${last - start + 1}\r\n\r\n`
}
