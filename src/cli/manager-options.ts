import { mkdirSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import * as z from 'zod'
import { parseDuration } from '../core/duration.ts'
import { DragonflyError } from '../core/error.ts'
import { NOWHERE } from '../manager/armory/armory.ts'
import type { ArmorySource } from '../manager/armory-source.ts'
import type { DatabaseLocation } from '../manager/database.ts'
import type { ManagerOptions } from '../manager/manager.ts'
import { openLog } from '../ops/log.ts'
import { systemClock } from '../ops/system-clock.ts'
import { type HostPlace, hostPlace } from '../wire/manager-api.ts'
import { parseManager } from './dfget-values.ts'
import { parsedBy, readSettingsFile } from './settings-file.ts'

/** What flags and file may say; a flag wins over the environment, that over the file, and the file over the default. */
export type ManagerSettings = {
  port?: number
  listenIp?: string
  homeDir?: string
  database?: string
  armory?: string
  defaultPlace?: HostPlace
  zoneBoundary?: ManagerOptions['zoneBoundary']
  rootZone?: string
  openWall?: boolean
  lease?: number
  advertise?: string
}

/** Where a URL with a password is not seen by `ps`. */
const DATABASE_VARIABLE = 'DRAGONFLY_DATABASE'

const LEASE_MS = 15_000
const LEASE_MS_MIN = 1_000
const LEASE_MS_MAX = 600_000

const settingsFile = z.strictObject({
  port: z.int().min(0).max(65_535).optional(),
  listenIp: z.string().optional(),
  homeDir: z.string().optional(),
  database: z.string().transform(parsedBy(parseDatabase)).optional(),
  armory: z.string().optional(),
  defaultPlace: hostPlace
    .partial()
    .transform(parts => ({ ...NOWHERE, ...parts }))
    .optional(),
  zoneBoundary: z.enum(['idc', 'security-domain']).optional(),
  rootZone: z.string().min(1).max(256).optional(),
  openWall: z.boolean().optional(),
  lease: z.string().transform(parsedBy(parseLease)).optional(),
  advertise: z.string().transform(parsedBy(parseManager)).optional(),
})

/**
 * What is in force of flags, environment and file.
 * @throws DragonflyError USAGE, CONFIG_INVALID
 */
export async function gatherManagerSettings(
  { config, ...flags }: ManagerSettings & { config?: string },
  environment: NodeJS.ProcessEnv,
): Promise<ManagerSettings> {
  const file = config === undefined ? {} : await readSettingsFile(config, settingsFile)
  const named = environment[DATABASE_VARIABLE]
  return { ...file, ...(named ? { database: parseDatabase(named) } : {}), ...flags }
}

/** A URL of PostgreSQL, which is not repeated where it is refused. @throws DragonflyError USAGE */
export function parseDatabase(text: string): string {
  const url = URL.parse(text.trim())
  if (url !== null && /^postgres(?:ql)?:$/.test(url.protocol) && url.pathname.length > 1) return text.trim()
  throw new DragonflyError('USAGE', 'a database is written postgres://user@host:5432/name')
}

/** Milliseconds. @throws DragonflyError USAGE */
export function parseLease(text: string): number {
  const leaseMs = parseDuration(text)
  if (leaseMs >= LEASE_MS_MIN && leaseMs <= LEASE_MS_MAX) return leaseMs
  throw new DragonflyError('USAGE', 'a lease is from 1s to 10m long')
}

/** @throws DragonflyError DISK_ERROR where the home directory cannot be used */
export function compileManagerOptions(settings: ManagerSettings): ManagerOptions {
  const homeDir = homeOf(settings)
  return Object.freeze({
    port: settings.port ?? 8080,
    listenIp: settings.listenIp ?? null,
    advertise: settings.advertise ?? null,
    database: databaseOf(settings, homeDir),
    armory: armoryOf(settings.armory),
    defaultPlace: settings.defaultPlace ?? NOWHERE,
    zoneBoundary: settings.zoneBoundary ?? 'idc',
    rootZone: settings.rootZone ?? null,
    isWallOpen: settings.openWall ?? false,
    leaseMs: settings.lease ?? LEASE_MS,
    clock: systemClock,
    log: openLog(path.join(homeDir, 'logs', 'manager.log')),
  })
}

/** For this account alone: the database holds the cluster's secret. */
function homeOf({ homeDir }: ManagerSettings): string {
  const home = path.resolve(homeDir ?? path.join(os.homedir(), '.dragonfly', 'manager'))
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 })
  } catch (cause) {
    const { message } = cause as Error
    throw new DragonflyError('DISK_ERROR', `${home} cannot be used: ${message}`, { cause })
  }
  return home
}

function databaseOf({ database }: ManagerSettings, homeDir: string): DatabaseLocation {
  if (database === undefined) return { kind: 'sqlite', file: path.join(homeDir, 'manager.db') }
  return { kind: 'postgres', url: database }
}

function armoryOf(written: string | undefined): ArmorySource {
  if (written === undefined) return { kind: 'none' }
  if (written === 'database') return { kind: 'database' }
  if (/^https?:\/\//i.test(written)) return { kind: 'http', urlTemplate: written }
  return { kind: 'file', file: path.resolve(written) }
}
