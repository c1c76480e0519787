import { readFile } from 'node:fs/promises'
import os from 'node:os'
import { DragonflyError } from '../core/error.ts'
import { decodeHex } from '../core/hex.ts'
import { DEFAULT_CONTROL_PORT, parseHostPort } from '../core/host-port.ts'
import type { SupernodeOptions } from '../supernode/supernode.ts'
import { parseManager } from './dfget-values.ts'
import { managerAddress, ownAddressTowards } from './own-address.ts'
import type { SupernodeSettings } from './supernode-options.ts'

/** A supernode's place in a cluster, from its settings. What is secret is read here and repeated nowhere. */

type ClusterSettings = Pick<
  SupernodeSettings,
  'manager' | 'join' | 'joinFile' | 'clusterSecretFile' | 'parent' | 'zone' | 'listenIp' | 'advertiseIp'
>

const SECRET_FILE_BYTES_MAX = 64 * 1024
/** Names a token on the command line less visibly than a flag, which `ps` shows to everybody. */
export const JOIN_TOKEN_VARIABLE = 'DRAGONFLY_JOIN_TOKEN'

/** @throws DragonflyError USAGE, CONFIG_INVALID */
export async function readClusterOptions(
  settings: ClusterSettings,
  environment: NodeJS.ProcessEnv,
): Promise<Pick<SupernodeOptions, 'cluster' | 'clusterSecret' | 'parents' | 'zone'>> {
  const { manager: managers = [], clusterSecretFile, parent = [], zone } = settings
  if (managers.length > 0 && clusterSecretFile !== undefined) {
    throw new DragonflyError('USAGE', 'a managing node gives the cluster’s secret: name no file for it')
  }
  const token = await joinTokenOf(settings, environment)
  return {
    cluster:
      managers.length === 0
        ? null
        : { managers, joinToken: token, host: await ownHost(settings, managers[0]) },
    clusterSecret: clusterSecretFile === undefined ? null : await readClusterSecret(clusterSecretFile),
    parents: parent.map(address => parseHostPort(address, DEFAULT_CONTROL_PORT)),
    zone: zone ?? null,
  }
}

/** `http(s)://host:port` of managing nodes, separated by commas. @throws DragonflyError USAGE */
export function parseManagers(text: string): string[] {
  return listed(text).map(parseManager)
}

/** `host[:port]` of supernodes, separated by commas. @throws DragonflyError USAGE */
export function parseParents(text: string): string[] {
  const parents = listed(text)
  for (const parent of parents) parseHostPort(parent, DEFAULT_CONTROL_PORT)
  return parents
}

function listed(text: string): string[] {
  return text
    .split(',')
    .map(entry => entry.trim())
    .filter(entry => entry !== '')
}

async function joinTokenOf(
  { join, joinFile }: ClusterSettings,
  environment: NodeJS.ProcessEnv,
): Promise<string | null> {
  const token =
    join ?? (joinFile === undefined ? environment[JOIN_TOKEN_VARIABLE] : await readSecret(joinFile))
  return token?.trim() || null
}

async function readClusterSecret(file: string): Promise<Uint8Array> {
  const text = (await readSecret(file)).trim()
  if (/^[0-9a-f]{64}$/.test(text)) return decodeHex(text)
  throw new DragonflyError('CONFIG_INVALID', `${file} does not hold a secret of 64 hex digits`)
}

async function readSecret(file: string): Promise<string> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new DragonflyError('CONFIG_INVALID', `${file} cannot be read: ${code}`, { cause })
  }
  if (text.length <= SECRET_FILE_BYTES_MAX) return text
  throw new DragonflyError('CONFIG_INVALID', `${file} is too large to hold a secret`)
}

/** By which others reach us: as set, else the address on the way to the managing node, else our name. */
async function ownHost({ advertiseIp, listenIp }: ClusterSettings, manager: string): Promise<string> {
  const isSpecific = listenIp !== undefined && !['0.0.0.0', '::'].includes(listenIp)
  const set = advertiseIp ?? (isSpecific ? listenIp : undefined)
  if (set !== undefined) return set
  const own = await ownAddressTowards(managerAddress(manager))
  return own || os.hostname()
}
