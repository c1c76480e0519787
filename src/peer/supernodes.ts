import os from 'node:os'
import { DragonflyError } from '../core/error.ts'
import { DEFAULT_CONTROL_PORT, parseHostPort } from '../core/host-port.ts'
import { managerOrigin } from '../net/manager-answer.ts'
import { randomName } from '../ops/system-random.ts'
import type { DownloadRequest } from '../wire/local.ts'
import { MetaStore } from './meta-store.ts'
import type { PeerOptions } from './peer.ts'
import { SupernodeFinder } from './supernode-finder.ts'
import { type LinkRequest, SupernodePool } from './supernode-pool.ts'
import type { TaskLink, TaskLinkHandler } from './task-link.ts'

/** All that the peer has to do with supernodes: which there are, and the channels to them. */

/** Pieces sent at the same time: one, so that each is soon finished and shared on. */
const UPLOAD_SLOTS = 1
const ADDRESSES_MAX = 16

/** Makes a run's link. */
type OpenLink = (handler: TaskLinkHandler) => TaskLink

export type Supernodes = {
  /**
   * Undefined where the request wants no supernode.
   * @throws DragonflyError USAGE
   */
  linkFor(request: DownloadRequest, task: LinkRequest): OpenLink | undefined
  close(): Promise<void>
}

export async function openSupernodes(options: PeerOptions, uploadPort: number): Promise<Supernodes> {
  const { homeRoot, ip, clock, random, log } = options
  const meta = new MetaStore(homeRoot)
  const finder = await SupernodeFinder.open({ meta, host: hostOf(ip), clock, random, log })
  const identity = {
    peerId: randomName(),
    hostName: os.hostname(),
    address: ip ?? '',
    port: uploadPort,
    uploadSlots: UPLOAD_SLOTS,
    /** As each channel finds it when it opens. */
    get zone() {
      return finder.zone
    },
  }
  const pool = new SupernodePool({ identity, clock, random, log })
  return {
    linkFor(request, task) {
      const search = finder.search({ taskId: task.taskId, ...wantedOf(request) })
      return search === null ? undefined : handler => pool.link(search, task, handler)
    },
    close() {
      pool.close()
      return finder.close()
    },
  }
}

/** What the managing node looks up; beside these it sees the address that asks. */
function hostOf(ip: string | null): { hostName: string; addresses: string[] } {
  const hostName = os.hostname().slice(0, 253)
  if (ip !== null) return { hostName, addresses: [ip] }
  const own = Object.values(os.networkInterfaces()).flatMap(addresses => addresses ?? [])
  const addresses = own.filter(({ internal }) => !internal).map(({ address }) => address)
  return { hostName, addresses: addresses.sort().slice(0, ADDRESSES_MAX) }
}

function wantedOf({ nodes, managers }: DownloadRequest) {
  return {
    nodes: nodes.map(node => parseHostPort(node, DEFAULT_CONTROL_PORT)),
    managers: managers?.map(parseManager) ?? null,
  }
}

function parseManager(text: string): string {
  const origin = managerOrigin(text)
  if (origin !== null) return origin
  throw new DragonflyError('USAGE', 'a managing node is written http://host:port, and nothing after it')
}
