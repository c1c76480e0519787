import path from 'node:path'
import * as z from 'zod'
import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import { decodeHex } from '../core/hex.ts'
import { join } from '../net/manager-client.ts'
import { randomName } from '../ops/system-random.ts'
import { readJsonFile, writeJsonFile } from '../store/json-file.ts'
import { joinAnswer } from '../wire/manager-api.ts'
import { loadSecret } from './piece-token.ts'

/** Who a supernode is in its cluster: asked for once, with a token, and kept in its home from then on. */

export type ClusterOptions = {
  /** `http(s)://host:port` of the managing nodes, in the order in which to ask. */
  readonly managers: readonly string[]
  /** Needed on the first start only; later ones pass it over. */
  readonly joinToken: string | null
  /** Where peers of other hosts reach this one. */
  readonly host: string
}

export type Identity = {
  readonly supernodeId: string
  /** Of this supernode alone, for its leases; null where there is no managing node. */
  readonly credential: string | null
  /** From which the tokens of pieces are derived. */
  readonly secret: Uint8Array
  /** Whether all supernodes of the cluster have the same. */
  readonly isSecretShared: boolean
}

type IdentityOptions = {
  readonly homeDir: string
  readonly cluster?: ClusterOptions | null
  readonly clusterSecret?: Uint8Array | null
  readonly clock: Clock
}

const FILE_NAME = 'cluster.json'
const VERSION = 1
const stored = z.object({ version: z.literal(VERSION), supernodeId: z.string().min(1), ...joinAnswer.shape })
type Stored = z.infer<typeof stored>

/** @throws DragonflyError what `joinCluster` throws */
export async function openIdentity(options: IdentityOptions): Promise<Identity> {
  const { homeDir, cluster, clusterSecret, clock } = options
  if (cluster) return joinCluster(homeDir, cluster, clock)
  return {
    supernodeId: randomName(),
    credential: null,
    secret: clusterSecret ?? (await loadSecret(homeDir)),
    isSecretShared: Boolean(clusterSecret),
  }
}

/**
 * @throws DragonflyError CONFIG_INVALID where the file is not ours to read, USAGE where a token is needed, DISK_ERROR; MANAGER_UNREACHABLE,
 *   CREDENTIAL_INVALID and what else a managing node says to a token
 */
async function joinCluster(
  homeDir: string,
  { managers, joinToken }: ClusterOptions,
  clock: Clock,
): Promise<Identity> {
  const file = path.join(homeDir, FILE_NAME)
  const known = await readStored(file)
  if (known) return identityOf(known)
  if (joinToken === null) {
    throw new DragonflyError(
      'USAGE',
      'to join a cluster a supernode needs a token once: give --join-file, see manager token create',
    )
  }
  const supernodeId = randomName()
  const signal = new AbortController().signal
  const answer = await join({ managers, clock, signal }, { token: joinToken, supernodeId })
  const joined: Stored = { version: VERSION, supernodeId, ...answer }
  await writeJsonFile(file, joined)
  return identityOf(joined)
}

function identityOf({ supernodeId, credential, clusterSecret }: Stored): Identity {
  return { supernodeId, credential, secret: decodeHex(clusterSecret), isSecretShared: true }
}

/** What is in it is not repeated in errors. */
async function readStored(file: string): Promise<Stored | null> {
  const content = await readJsonFile(file)
  if (content === null) return null
  const parsed = stored.safeParse(content)
  if (parsed.success) return parsed.data
  throw new DragonflyError(
    'CONFIG_INVALID',
    `${file} is damaged, or of a newer version; move it away and join again with a new token`,
  )
}
