import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { LocateAnswer } from '../../src/wire/manager-api.ts'

/** A managing node that says what the test wants it to say, sense or nonsense. */
export type ScriptedManager = {
  readonly url: string
  /** Every request that there ever was. */
  readonly asked: readonly Asked[]
  /** From now on. */
  answer: ManagerScript
  /** Resolves when so many requests have come. */
  whenAsked(times: number): Promise<void>
  close(): Promise<void>
}

export type Asked = {
  readonly method: string
  readonly path: string
  readonly authorization: string | undefined
  readonly body: unknown
}

type ManagerReply = { status?: number; headers?: Record<string, string>; body?: object | string }

/** `hang` answers nothing and keeps the connection. */
type ManagerScript = (asked: Asked) => ManagerReply | 'hang'

export async function startScriptedManager(answer: ManagerScript): Promise<ScriptedManager> {
  const asked: Asked[] = []
  const watchers = new Set<() => void>()
  const server = createServer(async (request, response) => {
    const { method = '', url: path = '', headers } = request
    const one = { method, path, authorization: headers.authorization, body: await bodyOf(request) }
    asked.push(one)
    for (const look of [...watchers]) look()
    const reply = manager.answer(one)
    if (reply === 'hang') return
    const { status = 200, body = {} } = reply
    response.writeHead(status, { 'content-type': 'application/json', ...reply.headers })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const manager: ScriptedManager = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    answer,
    whenAsked: times =>
      new Promise(resolve => {
        const look = () => {
          if (asked.length < times) return
          watchers.delete(look)
          resolve()
        }
        watchers.add(look)
        look()
      }),
    async close() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
  return manager
}

/** An answer to `locate` with these supernodes as equals. */
export function located(nodes: readonly string[], changes: Partial<LocateAnswer> = {}): LocateAnswer {
  const supernodes = nodes.map(node => {
    const { hostname, port } = new URL(`http://${node}`)
    return { id: `id of ${node}`, control: { host: hostname, port: Number(port) } }
  })
  return {
    place: { securityDomain: 'domain', idc: 'idc', location: 'here', rack: null },
    isKnown: true,
    zone: 'idc',
    groups: [{ nearness: 'idc', supernodes }],
    managers: [],
    refreshMs: 60_000,
    ...changes,
  }
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const part of request) text += part
  return text === '' ? null : JSON.parse(text)
}
