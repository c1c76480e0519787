import os from 'node:os'
import path from 'node:path'
import * as z from 'zod'
import { DEFAULT_CONTROL_PORT } from '../core/host-port.ts'
import { parseRate } from '../core/rate.ts'
import { openLog } from '../ops/log.ts'
import { systemClock } from '../ops/system-clock.ts'
import { systemRandom } from '../ops/system-random.ts'
import { ORIGIN_READERS } from '../supernode/origin-ranks.ts'
import type { SupernodeOptions } from '../supernode/supernode.ts'
import { ORIGIN_TIMEOUTS } from './defaults.ts'
import { parseLabel, parseProxy } from './dfget-values.ts'
import { type OriginProxies, proxiesInForce } from './origin-proxies.ts'
import { parsedBy, readSettingsFile } from './settings-file.ts'
import { parseManagers, parseParents } from './supernode-cluster.ts'

/** What flags and file may say; a flag wins over the file, the file over the default. */
export type SupernodeSettings = OriginProxies & {
  port?: number
  downloadPort?: number
  homeDir?: string
  listenIp?: string
  advertiseIp?: string
  uploadLimit?: number
  uploadSlots?: number
  originReaders?: number
  record?: string
  manager?: readonly string[]
  join?: string
  joinFile?: string
  clusterSecretFile?: string
  parent?: readonly string[]
  zone?: string
}

const port = z.int().min(0).max(65_535)
const rate = z.union([z.int(), z.string()]).transform(parsedBy(parseRate))
const managers = z.string().transform(parsedBy(parseManagers))
const parents = z.string().transform(parsedBy(parseParents))
const proxy = z.string().transform(parsedBy(text => parseProxy(text).href))

const settingsFile = z.strictObject({
  port: port.optional(),
  downloadPort: port.optional(),
  homeDir: z.string().optional(),
  listenIp: z.string().optional(),
  advertiseIp: z.string().optional(),
  uploadLimit: rate.optional(),
  uploadSlots: z.int().min(1).max(1024).optional(),
  originReaders: z.int().min(1).max(1024).optional(),
  record: z.string().optional(),
  httpProxy: proxy.optional(),
  httpsProxy: proxy.optional(),
  proxyExcept: z.array(z.string()).optional(),
  manager: managers.optional(),
  join: z.string().optional(),
  joinFile: z.string().optional(),
  clusterSecretFile: z.string().optional(),
  parent: parents.optional(),
  zone: z.string().transform(parsedBy(parseLabel)).optional(),
})

const FRESH_MS = 1_000

/** @throws DragonflyError CONFIG_INVALID */
export function readSettings(file: string): Promise<SupernodeSettings> {
  return readSettingsFile(file, settingsFile)
}

export function compileSupernodeOptions(settings: SupernodeSettings): SupernodeOptions {
  const homeDir = path.resolve(settings.homeDir ?? path.join(os.homedir(), '.dragonfly', 'supernode'))
  return Object.freeze({
    port: settings.port ?? DEFAULT_CONTROL_PORT,
    downloadPort: settings.downloadPort ?? 8001,
    homeDir,
    listenIp: settings.listenIp ?? null,
    advertiseIp: settings.advertiseIp ?? null,
    uploadLimit: settings.uploadLimit ?? null,
    uploadSlots: settings.uploadSlots ?? null,
    originReaders: settings.originReaders ?? ORIGIN_READERS,
    originTimeouts: ORIGIN_TIMEOUTS,
    proxies: proxiesInForce(settings, process.env),
    freshMs: FRESH_MS,
    recordFile: settings.record === undefined ? null : path.resolve(settings.record),
    clock: systemClock,
    random: systemRandom,
    log: openLog(path.join(homeDir, 'logs', 'supernode.log')),
  })
}
