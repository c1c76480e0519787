import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { pickIndex, type Random, seededRandom } from '../src/core/random.ts'
import type { ArmoryHost } from '../src/manager/armory/armory.ts'
import { openFileArmory } from '../src/manager/armory/file-armory.ts'
import { silentLog } from '../src/ops/log.ts'
import { systemClock } from '../src/ops/system-clock.ts'
import { cpuMicroseconds, quantile } from './figures.ts'

/**
 * What a look-up in an armory file costs: networks of IPv4 and IPv6 of usual lengths, single addresses, host names, and patterns with one
 * and with two `*`, a fifth of the lines each for names and for patterns. Hosts have two addresses and a name; about half lie in a network of
 * the file, a quarter are known by name only, the others not at all. Each look-up is timed by itself.
 *
 *     node bench/armory.ts [--lines 50000] [--lookups 200000]
 */

type ArmoryCost = {
  readonly loadMs: number
  readonly medianMicros: number
  readonly p99Micros: number
  readonly maxMicros: number
  /** CPU time of this thread per look-up: what else the machine does is not counted. */
  readonly meanCpuMicros: number
  /** Of all look-ups. */
  readonly knownShare: number
}

/** The armory's target, for the mean. */
const LOOKUP_MICROS_MAX = 20

async function measureArmory({ lines, lookups }: { lines: number; lookups: number }): Promise<ArmoryCost> {
  const random = seededRandom(1)
  const folder = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-armory-'))
  try {
    const file = path.join(folder, 'armory.csv')
    await writeFile(file, armoryFile(lines, random))
    const startedMs = performance.now()
    const defaultPlace = { securityDomain: null, idc: null, location: null, rack: null }
    const armory = await openFileArmory({ file, defaultPlace, clock: systemClock, log: silentLog })
    const loadMs = performance.now() - startedMs
    const hosts = Array.from({ length: lookups }, () => hostIn(lines, random))
    const micros = new Float64Array(lookups)
    let known = 0
    const startedCpuMicros = cpuMicroseconds()
    for (const [index, host] of hosts.entries()) {
      const startMs = performance.now()
      const { isKnown } = await armory.where(host)
      micros[index] = (performance.now() - startMs) * 1_000
      if (isKnown) known++
    }
    const meanCpuMicros = (cpuMicroseconds() - startedCpuMicros) / lookups
    armory.close()
    return { loadMs, knownShare: known / lookups, meanCpuMicros, ...summary(micros) }
  } finally {
    await rm(folder, { recursive: true })
  }
}

function summary(micros: Float64Array) {
  const [medianMicros, p99Micros, maxMicros] = [0.5, 0.99, 1].map(share => quantile(micros, share))
  return { medianMicros, p99Micros, maxMicros }
}

const SITES = 40
const PATTERNS_MAX = 60_000

function armoryFile(lines: number, random: Random): string {
  const rows = new Map<string, string>()
  // Of names and patterns, half each, there are as many as the armory takes.
  const namesFrom = 1 - Math.min(0.4, (2 * PATTERNS_MAX) / lines)
  while (rows.size < lines) {
    const site = pickIndex(random, SITES)
    const place = `domain-${site % 3},idc-${site},location-${site % 8},rack-${pickIndex(random, 500)}`
    const chance = random.next()
    const cidr = chance < 0.4 ? network4(random) : network6(random)
    const key =
      chance < namesFrom
        ? `${cidr},`
        : `,${nameOrPattern((chance - namesFrom) / (1 - namesFrom), lines, random)}`
    rows.set(key, `${key},${place}`)
  }
  return `cidr,hostName,securityDomain,idc,location,rack\n${[...rows.values()].join('\n')}\n`
}

const LENGTHS_4 = [8, 12, 16, 19, 20, 21, 22, 23, 24, 24, 24, 26, 28, 30, 32, 32]
const LENGTHS_6 = [36, 40, 44, 48, 48, 48, 52, 56, 60, 64, 64, 64, 128]

function network4(random: Random): string {
  const length = LENGTHS_4[pickIndex(random, LENGTHS_4.length)]
  const word = ((0x0a000000 | pickIndex(random, 2 ** 24)) & (-1 << (32 - length))) >>> 0
  return `${dotted(word)}/${length}`
}

function network6(random: Random): string {
  const length = LENGTHS_6[pickIndex(random, LENGTHS_6.length)]
  const groups = Array.from({ length: 8 }, (_, index) => {
    const bits = Math.min(16, Math.max(0, length - 16 * index))
    const group = [0x2001, 0xdb8][index] ?? pickIndex(random, 2 ** 16)
    return (group & (0xffff << (16 - bits)) & 0xffff).toString(16)
  })
  return `${groups.join(':')}/${length}`
}

function nameOrPattern(chance: number, lines: number, random: Random): string {
  const number = pickIndex(random, lines)
  const site = pickIndex(random, SITES)
  if (chance < 0.5) return nameOf(number, site)
  if (chance < 0.75) return `node${number}-*`
  return chance < 0.95 ? `*-${number}.idc${site}.example.com` : `*-gpu-*-${number}.idc${site}.example.com`
}

function nameOf(number: number, site: number): string {
  return `node${number}-a-${number % 1_000}.idc${site}.example.com`
}

function hostIn(lines: number, random: Random): ArmoryHost {
  const base = random.next() < 0.5 ? 0x0a000000 : 0xc0000000
  const address = dotted((base | pickIndex(random, 2 ** 24)) >>> 0)
  const groups = Array.from({ length: 6 }, () => pickIndex(random, 2 ** 16).toString(16))
  const site6 = random.next() < 0.5 ? 'db8' : 'db9'
  const number = pickIndex(random, 2 * lines)
  const hostName = nameOf(number, pickIndex(random, SITES))
  return { hostName, addresses: [address, `2001:${site6}:${groups.join(':')}`] }
}

function dotted(word: number): string {
  return [24, 16, 8, 0].map(shift => (word >>> shift) & 0xff).join('.')
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      lines: { type: 'string', default: '50000' },
      lookups: { type: 'string', default: '200000' },
    },
  })
  const [lines, lookups] = [Number(values.lines), Number(values.lookups)]
  const cost = await measureArmory({ lines, lookups })
  const { rss } = process.memoryUsage()
  console.log(
    [
      `${lookups} look-ups in ${lines} lines: median ${cost.medianMicros.toFixed(1)} µs,`,
      `p99 ${cost.p99Micros.toFixed(1)} µs, max ${cost.maxMicros.toFixed(0)} µs, mean ${cost.meanCpuMicros.toFixed(1)} µs of CPU`,
      `(${Math.round(100 * cost.knownShare)} % known; loaded in ${cost.loadMs.toFixed(0)} ms, process ${(rss / 2 ** 20).toFixed(0)} MiB)`,
    ].join(' '),
  )
  if (cost.meanCpuMicros > LOOKUP_MICROS_MAX) {
    console.error(`the mean is above the target of ${LOOKUP_MICROS_MAX} µs`)
    process.exitCode = 1
  }
}

await main()
