import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { LeaseAnswer } from '../../src/wire/manager-api.ts'

/** A managing node that says to supernodes what the test wants it to say, and keeps what they said. */
export type LeaseManager = {
  readonly url: string
  readonly requests: readonly ManagerRequest[]
  /** What the next leases are answered with; they are short, so that tests need not wait. */
  lease: LeaseAnswer
  /** Answered to everything instead. */
  refusal: { status: number; code: string } | null
  /** Resolves when a request is there that nobody has waited for yet. */
  next(method: string, path: RegExp): Promise<ManagerRequest>
  close(): Promise<void>
}

export type ManagerRequest = {
  readonly method: string
  readonly path: string
  readonly authorization: string | undefined
  readonly body: Record<string, unknown>
}

export const CLUSTER_SECRET = '5ec2e7'.padEnd(64, '0')
export const JOIN_TOKEN = 'a-token-that-nobody-shall-read'
export const CREDENTIAL = 'a-credential-that-nobody-shall-read'

export async function startLeaseManager(lease: Partial<LeaseAnswer> = {}): Promise<LeaseManager> {
  const requests: ManagerRequest[] = []
  const watchers = new Set<() => void>()
  let seen = 0
  const server = createServer(async (request, response) => {
    requests.push(await readRequest(request))
    const { refusal } = manager
    const answer = refusal
      ? { code: refusal.code, message: 'no', hint: '' }
      : request.url?.endsWith('/join')
        ? { credential: CREDENTIAL, clusterSecret: CLUSTER_SECRET }
        : manager.lease
    response.writeHead(refusal?.status ?? 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(answer))
    for (const look of [...watchers]) look()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const manager: LeaseManager = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    refusal: null,
    lease: {
      leaseMs: 300,
      renewMs: 50,
      isDraining: false,
      place: { securityDomain: 'domain', idc: null, location: null, rack: null },
      zone: 'zone-1',
      parents: [],
      ...lease,
    },
    async next(method, path) {
      for (;;) {
        const index = requests.findIndex(
          (request, i) => i >= seen && request.method === method && path.test(request.path),
        )
        if (index >= 0) {
          seen = index + 1
          return requests[index]
        }
        await new Promise<void>(resolve => {
          watchers.add(resolve)
        })
      }
    },
    async close() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
  return manager
}

async function readRequest(request: IncomingMessage): Promise<ManagerRequest> {
  const body = Buffer.concat(await request.toArray()).toString()
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    authorization: request.headers.authorization,
    body: body === '' ? {} : JSON.parse(body),
  }
}
