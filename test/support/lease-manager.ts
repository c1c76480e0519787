import type { LeaseAnswer } from '../../src/wire/manager-api.ts'
import { type Asked, startScriptedManager } from './scripted-manager.ts'

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

type ManagerRequest = Asked & { readonly body: Record<string, unknown> }

export const CLUSTER_SECRET = '5ec2e7'.padEnd(64, '0')
export const JOIN_TOKEN = 'a-token-that-nobody-shall-read'
export const CREDENTIAL = 'a-credential-that-nobody-shall-read'

export async function startLeaseManager(lease: Partial<LeaseAnswer> = {}): Promise<LeaseManager> {
  const scripted = await startScriptedManager(({ path }) => {
    const { refusal } = manager
    if (refusal) return { status: refusal.status, body: { code: refusal.code, message: 'no', hint: '' } }
    const joined = { credential: CREDENTIAL, clusterSecret: CLUSTER_SECRET }
    return { body: path.endsWith('/join') ? joined : manager.lease }
  })
  const requests = scripted.asked as readonly ManagerRequest[]
  let seen = 0
  const manager: LeaseManager = {
    url: scripted.url,
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
        await scripted.whenAsked(requests.length + 1)
      }
    },
    close: () => scripted.close(),
  }
  return manager
}
