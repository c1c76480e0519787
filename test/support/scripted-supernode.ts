import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import {
  decodePeerMessage,
  encodeSupernodeMessage,
  type PeerMessage,
  PROTOCOL_VERSION,
  type SupernodeMessage,
} from '../../src/wire/control.ts'

/** A supernode that says what the test wants it to say. */
export type ScriptedSupernode = {
  readonly node: string
  /** All channels that there ever were, with what was heard on them. */
  readonly channels: readonly { readonly socket: WebSocket; readonly heard: readonly PeerMessage[] }[]
  /** Resolves when it holds; looked at whenever a message came, or a channel opened or closed. */
  when(isReached: (supernode: ScriptedSupernode) => boolean): Promise<void>
  close(): Promise<void>
}

export type Answer = (message: PeerMessage, say: (message: SupernodeMessage) => void) => void

export const greet: Answer = (message, say) => {
  if (message.type !== 'hello') return
  say({ type: 'welcome', version: PROTOCOL_VERSION, supernodeId: 'scripted', address: '127.0.0.1:9' })
}

export async function startScriptedSupernode(answer: Answer = greet): Promise<ScriptedSupernode> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, path: '/control' })
  await once(server, 'listening')
  const channels: { socket: WebSocket; heard: PeerMessage[] }[] = []
  const watchers = new Set<() => void>()
  const notify = () => {
    for (const look of [...watchers]) look()
  }
  server.on('connection', socket => {
    const channel = { socket, heard: [] as PeerMessage[] }
    channels.push(channel)
    notify()
    socket.on('error', () => {})
    socket.on('close', notify)
    socket.on('message', data => {
      const message = decodePeerMessage(data as Buffer)
      channel.heard.push(message)
      answer(message, said => socket.send(encodeSupernodeMessage(said)))
      notify()
    })
  })
  const supernode: ScriptedSupernode = {
    node: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    channels,
    when: isReached =>
      new Promise(resolve => {
        const look = () => {
          if (!isReached(supernode)) return
          watchers.delete(look)
          resolve()
        }
        watchers.add(look)
        look()
      }),
    async close() {
      for (const client of server.clients) client.terminate()
      await new Promise(resolve => server.close(resolve))
    },
  }
  return supernode
}
