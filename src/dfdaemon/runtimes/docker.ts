import { isDeepStrictEqual } from 'node:util'
import { DragonflyError } from '../../core/error.ts'
import { type DaemonAddress, isSameDaemon } from './daemon-address.ts'
import { keysOf, withMember, withoutMember } from './json-member.ts'
import { DOCKER_HUB } from './registry-name.ts'
import type { PresentFiles, RuntimeSetup, SetupPlan, SetupRequest } from './runtime-setup.ts'
import { unreadable } from './runtime-setup.ts'

/** Docker knows mirrors for Docker Hub only, in `daemon.json`. All else can reach dfdaemon as a proxy, which a drop-in of systemd names. */

const CONFIG = '/etc/docker/daemon.json'
const MIRRORS = 'registry-mirrors'
const DROP_INS = '/etc/systemd/system/docker.service.d'
const DROP_IN = `${DROP_INS}/50-dragonfly.conf`
/** From where dockerd gets arguments and environment. */
const UNITS = [
  '/etc/default/docker',
  '/etc/sysconfig/docker',
  '/etc/systemd/system/docker.service',
  '/usr/lib/systemd/system/docker.service',
  '/lib/systemd/system/docker.service',
]

export const dockerSetup: RuntimeSetup = {
  name: 'docker',
  program: 'dockerd',
  plan,
  without({ path, text, before }, daemon) {
    return path === DROP_IN ? withoutProxy(text, daemon) : withoutMirror(text, before, daemon)
  },
  commandFor(paths) {
    if (paths.includes(DROP_IN)) return 'systemctl daemon-reload && systemctl restart docker'
    return paths.length > 0 ? 'systemctl reload docker' : null
  },
}

function plan(request: SetupRequest, present: PresentFiles): SetupPlan {
  const others = request.registries.map(({ name }) => name).filter(name => name !== DOCKER_HUB)
  if (others.length > 0 && !request.usesProxy) {
    throw new DragonflyError(
      'USAGE',
      `docker has mirrors for ${DOCKER_HUB} only, not for ${others.join(', ')}.\n` +
        'With --proxy, docker asks all registries through dfdaemon, by a drop-in of systemd.',
    )
  }
  const files = new Map<string, string>()
  const notes: string[] = []
  if (request.registries.some(({ name }) => name === DOCKER_HUB)) {
    checkArguments(present)
    const text = present.read(CONFIG)
    const edited = withMirror(text, request.daemon)
    if (edited !== text) files.set(CONFIG, edited)
    notes.push(
      `docker does not tell its mirror which registry it means: the usual registry of dfdaemon (registry_mirror.remote, --registry) must be Docker Hub.`,
    )
  }
  if (request.usesProxy) {
    checkProxies(present)
    const text = present.read(DROP_IN)
    const edited = withProxy(text, request.daemon)
    if (edited !== text) files.set(DROP_IN, edited)
    notes.push(...proxyNotes(others))
  }
  return { files, notes }
}

type Configuration = { readonly [key: string]: unknown }

function parseConfiguration(text: string): Configuration {
  let parsed: unknown
  try {
    parsed = text.trim() === '' ? {} : JSON.parse(text)
  } catch {
    throw unreadable(CONFIG, 'cannot be read: it is not JSON')
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw unreadable(CONFIG, 'is no JSON object')
  }
  return parsed as Configuration
}

function mirrorsOf(configuration: Configuration, text: string): readonly string[] {
  const mirrors = configuration[MIRRORS] ?? []
  if (!Array.isArray(mirrors) || mirrors.some(mirror => typeof mirror !== 'string')) {
    throw unreadable(CONFIG, `has "${MIRRORS}" that are no list of URLs`)
  }
  if (keysOf(text).filter(key => key === MIRRORS).length > 1)
    throw unreadable(CONFIG, `has "${MIRRORS}" twice`)
  return mirrors
}

/** The other mirrors stay, behind ours. */
function withMirror(text: string | null, daemon: DaemonAddress): string {
  const base = text === null || text.trim() === '' ? '{}\n' : text
  const configuration = parseConfiguration(base)
  const present = mirrorsOf(configuration, base)
  if (present.length > 0 && isSameDaemon(present[0], daemon)) return base
  const mirrors = [daemon.url, ...present.filter(mirror => !isSameDaemon(mirror, daemon))]
  return checked(withMember(base, MIRRORS, listed(mirrors)), { ...configuration, [MIRRORS]: mirrors })
}

function withoutMirror(text: string, before: string | null, daemon: DaemonAddress): string | null {
  if (text.trim() === '') return text
  const configuration = parseConfiguration(text)
  const present = mirrorsOf(configuration, text)
  const mirrors = present.filter(mirror => !isSameDaemon(mirror, daemon))
  if (mirrors.length === present.length) return text
  if (mirrors.length > 0)
    return checked(withMember(text, MIRRORS, listed(mirrors)), { ...configuration, [MIRRORS]: mirrors })
  const { [MIRRORS]: _, ...rest } = configuration
  if (Object.keys(rest).length === 0 && before === null) return null
  return checked(withoutMember(text, MIRRORS), rest)
}

function listed(mirrors: readonly string[]): string {
  return `[${mirrors.map(mirror => JSON.stringify(mirror)).join(', ')}]`
}

function checked(edited: string, meant: Configuration): string {
  if (isDeepStrictEqual(JSON.parse(edited), meant)) return edited
  throw unreadable(CONFIG, 'is written in a way that is not edited by a program')
}

/** dockerd does not start where a mirror is named on its command line and in its file. */
function checkArguments(present: PresentFiles): void {
  const file = [...UNITS, ...present.list(`${DROP_INS}/*.conf`)].find(path =>
    hasSetting(present.read(path), /--registry-mirror\b/),
  )
  if (file === undefined) return
  throw unreadable(
    file,
    `gives dockerd --registry-mirror, and with mirrors in ${CONFIG} too it would not start: move them to "${MIRRORS}" there`,
  )
}

/** A proxy that is there already would be lost. */
function checkProxies(present: PresentFiles): void {
  const drops = present.list(`${DROP_INS}/*.conf`).filter(path => path !== DROP_IN)
  const file = [...UNITS, ...drops].find(path => hasSetting(present.read(path), /\bhttps?_proxy\b/i))
  const isInConfig = 'proxies' in parseConfiguration(present.read(CONFIG) ?? '')
  if (file === undefined && !isInConfig) return
  throw unreadable(
    file ?? CONFIG,
    'names a proxy for docker already: take it out, and name it to dfdaemon, which then asks registries through it',
  )
}

function hasSetting(text: string | null, pattern: RegExp): boolean {
  return text?.split('\n').some(line => !/^\s*[#;]/.test(line) && pattern.test(line)) ?? false
}

/** systemd adds sections of the same name up. */
function withProxy(text: string | null, { url }: DaemonAddress): string {
  const section = `[Service]\n${proxyLine(url)}\n`
  if (text === null)
    return `# dfdaemon setup docker --proxy; taken back by: dfdaemon setup docker --undo\n${section}`
  return text.split('\n').some(line => line.trim() === proxyLine(url)) ? text : `${text}\n${section}`
}

function proxyLine(url: string): string {
  return `Environment="HTTP_PROXY=${url}" "HTTPS_PROXY=${url}" "NO_PROXY=localhost,127.0.0.0/8,::1"`
}

function withoutProxy(text: string, { url }: DaemonAddress): string | null {
  const lines = text.split('\n').filter(line => line.trim() !== proxyLine(url))
  return lines.every(line => /^\s*(?:#.*|\[Service\]\s*)?$/.test(line)) ? null : lines.join('\n')
}

function proxyNotes(registries: readonly string[]): string[] {
  const named = registries.length > 0 ? registries : ['REGISTRY']
  const hosts = named
    .map(name => name.replace(/:\d+$/, ''))
    .map(host => `    - regx: ^${host.replaceAll('.', '\\.')}(:\\d+)?$`)
    .join('\n')
  return [
    'With a proxy there is no fall-back: while dfdaemon is down, docker reaches no registry.',
    `dfdaemon must open the HTTPS of these registries, with an authority that dfdaemon gen-ca makes. In dfdaemon.yml:\n
proxies:
  - regx: blobs/sha256.*
hijack_https:
  cert: ca.crt
  key: ca.key
  hosts:
${hosts}`,
    `docker must trust that authority: copy ca.crt to ${named.map(name => `/etc/docker/certs.d/${name}/ca.crt`).join(' and ')}. Where a registry sends blobs from another host, that host belongs in the list too.`,
  ]
}
