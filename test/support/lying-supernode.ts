import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import {
  decodePeerMessage,
  encodeSupernodeMessage,
  type PeerMessage,
  type PeerMessages,
  PROTOCOL_VERSION,
  type SupernodeMessage,
} from '../../src/wire/control.ts'

/** A supernode that says what the test wants it to say. */
export type LyingSupernode = {
  /** `host:port`, as in `--node`. */
  readonly node: string
  /** How many channels there have been. */
  readonly channelCount: number
  close(): Promise<void>
}

export type Answer = {
  send(message: SupernodeMessage): void
  sendBytes(bytes: Uint8Array | string): void
  hangUp(): void
}

/**
 * @param onAnnounce what it says to each announce
 * @param welcome what it says to each hello; null is nothing
 */
export async function startLyingSupernode(
  onAnnounce: (announce: PeerMessages['announce'], answer: Answer) => void,
  welcome: SupernodeMessage | null = {
    type: 'welcome',
    version: PROTOCOL_VERSION,
    supernodeId: 'liar',
    address: '127.0.0.1:9',
  },
): Promise<LyingSupernode> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
  let channelCount = 0
  server.on('connection', socket => {
    channelCount++
    const answer = answerOn(socket)
    socket.on('error', () => {})
    socket.on('message', data => {
      const message: PeerMessage = decodePeerMessage(data as Buffer)
      if (message.type === 'hello' && welcome) answer.send(welcome)
      if (message.type === 'announce') onAnnounce(message, answer)
    })
  })
  await once(server, 'listening')
  return {
    node: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get channelCount() {
      return channelCount
    },
    async close() {
      for (const client of server.clients) client.terminate()
      server.close()
      await once(server, 'close')
    },
  }
}

function answerOn(socket: WebSocket): Answer {
  return {
    send: message => socket.send(encodeSupernodeMessage(message)),
    sendBytes: bytes => socket.send(bytes),
    hangUp: () => socket.terminate(),
  }
}
