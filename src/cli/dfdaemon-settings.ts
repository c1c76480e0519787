import { access } from 'node:fs/promises'
import { parse as parseYaml } from 'yaml'
import * as z from 'zod'
import { parseDuration } from '../core/duration.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { DEFAULT_CONTROL_PORT } from '../core/host-port.ts'
import { parseCidr } from '../core/ip-address.ts'
import { parseRateLimit } from '../core/rate.ts'
import { parseWeightedNode } from '../core/weighted-node.ts'
import { defaultHome } from './defaults.ts'
import {
  parseFileName,
  parseRedirect,
  parseRegistryName,
  parseRegistryUrl,
  parseUrlPattern,
  parseUser,
} from './dfdaemon-values.ts'
import { parseSwitch } from './dfget-setting.ts'
import { parseAddress, parseCount, parseManager, parseProxy } from './dfget-values.ts'
import { checkSettings, parsedBy, readSettingsFile } from './settings-file.ts'

/** What dfdaemon can be told, by file, environment and flags: the keys of dfdaemon 1.x and some of our own, values as they are written. */

/** Checked here, and parsed by whoever needs it. */
const text = (parse: (text: string) => unknown = String) =>
  z.union([z.string(), z.number()]).transform((written, context) => {
    parsedBy(parse)(written, context)
    return String(written)
  })
const yesOrNo = z
  .union([z.boolean(), z.string()])
  .transform((written, context) => parsedBy(parseSwitch)(String(written), context))
/** In the environment and in a flag, with commas in between. */
const texts = (parse?: (text: string) => unknown) =>
  z
    .union([z.string(), z.array(z.union([z.string(), z.number()]))])
    .transform(written => (typeof written === 'string' ? listed(written) : written))
    .pipe(z.array(text(parse)))
const file = text(parseFileName)

const trust = { certs: texts(parseFileName).optional(), insecure: yesOrNo.optional() }
const registry = { remote: text(parseRegistryUrl).optional(), ...trust, direct: yesOrNo.optional() }

const settingsFile = z.strictObject({
  verbose: yesOrNo.optional(),
  hostIp: text(parseAddress).optional(),
  port: text().optional(),
  certpem: file.optional(),
  keypem: file.optional(),
  registry_mirror: z.strictObject(registry).optional(),
  registries: z
    .array(z.strictObject({ ...registry, name: text(parseRegistryName), remote: text(parseRegistryUrl) }))
    .optional(),
  proxies: z
    .array(
      z.strictObject({
        regx: text(parseUrlPattern),
        use_https: yesOrNo.optional(),
        direct: yesOrNo.optional(),
        redirect: text(parseRedirect).optional(),
      }),
    )
    .optional(),
  hijack_https: z
    .strictObject({
      cert: file.optional(),
      key: file.optional(),
      hosts: z.array(z.strictObject({ regx: text(parseUrlPattern), ...trust })).optional(),
    })
    .optional(),
  allowedClients: texts(parseCidr).optional(),
  proxyAuth: z.strictObject({ user: text(parseUser).optional(), passwordFile: file.optional() }).optional(),
  accessMemory: text(parseDuration).optional(),
  supernodes: texts(node => parseWeightedNode(node, DEFAULT_CONTROL_PORT)).optional(),
  managers: texts(parseManager).optional(),
  ratelimit: text(parseRateLimit).optional(),
  dfget_flags: z.array(text()).optional(),
  httpProxy: text(parseProxy).optional(),
  httpsProxy: text(parseProxy).optional(),
  proxyExcept: texts().optional(),
  workHome: file.optional(),
  logConfig: z
    .strictObject({
      maxSize: text(parseCount(1, 100_000)).optional(),
      maxBackups: text(parseCount(0, 100)).optional(),
      path: file.optional(),
    })
    .optional(),
  dfpath: text().optional(),
  staragent: yesOrNo.optional(),
  localrepo: text().optional(),
  maxprocs: text().optional(),
  localIP: text().optional(),
  peerPort: text().optional(),
  streamMode: yesOrNo.optional(),
})

export type DfdaemonSettings = z.infer<typeof settingsFile>

type Key = keyof DfdaemonSettings

export const SETTING_KEYS: readonly Key[] = Object.keys(settingsFile.shape) as Key[]

/** In the environment they are written as YAML; each key of a mapping has a variable of its own, too. */
const MAPPINGS: readonly Key[] = ['registry_mirror', 'hijack_https', 'proxyAuth', 'logConfig']
const STRUCTURED: readonly Key[] = [...MAPPINGS, 'registries', 'proxies', 'dfget_flags']

/** Keys of 1.x that change nothing here. */
const WITHOUT_EFFECT: readonly Key[] = ['maxprocs', 'localIP', 'peerPort', 'streamMode']

const USUAL_FILE = '/etc/dragonfly/dfdaemon.yml'

/** What holds where nothing else is said. */
export function defaultSettings(): DfdaemonSettings {
  return {
    verbose: false,
    hostIp: '127.0.0.1',
    port: '65001',
    registry_mirror: { remote: 'https://index.docker.io', certs: [], insecure: false, direct: false },
    registries: [],
    proxies: [],
    allowedClients: ['127.0.0.0/8', '::1/128'],
    accessMemory: '30s',
    supernodes: [],
    managers: [],
    ratelimit: '0',
    dfget_flags: [],
    workHome: defaultHome(),
    logConfig: { maxSize: '40', maxBackups: '1' },
    staragent: false,
  }
}

/**
 * What is in force: flags win over the environment, that over the file, that over the defaults. Of a mapping, each key counts by itself.
 * @param named the file that the user named: null for the usual one, empty for none
 * @throws DragonflyError USAGE, CONFIG_INVALID
 */
export async function gatherSettings(
  flags: object,
  { environment, named }: { environment: NodeJS.ProcessEnv; named: string | null },
): Promise<DfdaemonSettings> {
  const checked = checkFlags(flags)
  const layers = [defaultSettings(), await fileSettings(named), environmentSettings(environment), checked]
  return layers.reduce(overlaid)
}

function checkFlags(flags: object): DfdaemonSettings {
  try {
    return checkSettings('command line', flags, settingsFile)
  } catch (thrown) {
    throw new DragonflyError('USAGE', toDragonflyError(thrown).message, { cause: thrown })
  }
}

/** What was set in vain. */
export function withoutEffect(settings: DfdaemonSettings): string[] {
  const isExternal = settings.dfpath || settings.staragent
  const unused: readonly Key[] = isExternal ? WITHOUT_EFFECT : [...WITHOUT_EFFECT, 'localrepo']
  return unused.filter(key => settings[key] !== undefined && settings[key] !== '')
}

async function fileSettings(named: string | null): Promise<DfdaemonSettings> {
  const name = named ?? USUAL_FILE
  const isAbsent = named === null && (await access(name).then(() => false, isMissing))
  if (name === '' || isAbsent) return {}
  return readSettingsFile(name, settingsFile)
}

function isMissing({ code }: NodeJS.ErrnoException): boolean {
  return code === 'ENOENT' || code === 'ENOTDIR'
}

function environmentSettings(environment: NodeJS.ProcessEnv): DfdaemonSettings {
  const read = (variable: string, say: (written: string) => object): DfdaemonSettings => {
    const written = environment[variable]
    return written ? checkSettings(variable, say(written), settingsFile) : {}
  }
  const whole = SETTING_KEYS.map(key => {
    const variable = `DFDAEMON_${key.toUpperCase()}`
    const isStructured = STRUCTURED.includes(key)
    return read(variable, written => ({ [key]: isStructured ? yamlOf(variable, written) : written }))
  })
  const parts = MAPPINGS.flatMap(key => {
    const { shape } = (settingsFile.shape[key] as z.ZodOptional<z.ZodObject>).unwrap()
    return Object.keys(shape)
      .filter(inner => inner !== 'hosts')
      .map(inner =>
        read(`DFDAEMON_${key}_${inner}`.toUpperCase(), written => ({ [key]: { [inner]: written } })),
      )
  })
  return [...whole, ...parts].reduce(overlaid, {})
}

function yamlOf(variable: string, written: string): unknown {
  try {
    return parseYaml(written, { prettyErrors: false })
  } catch {
    throw new DragonflyError('CONFIG_INVALID', `${variable} is not YAML`)
  }
}

function overlaid(below: DfdaemonSettings, above: DfdaemonSettings): DfdaemonSettings {
  const merged = MAPPINGS.flatMap(key => {
    const [under, over] = [below[key], above[key]]
    return under && over ? [[key, { ...(under as object), ...(over as object) }]] : []
  })
  return { ...below, ...above, ...Object.fromEntries(merged) }
}

/** `a, b` as `['a', 'b']`. */
function listed(written: string): string[] {
  return written
    .split(',')
    .map(entry => entry.trim())
    .filter(entry => entry !== '')
}
