import { type Command, Option } from 'commander'
import { POLICY_NAMES, policyNamed } from '../../sim/policies.ts'
import { DEFAULT_SCENARIO, type Scenario, scenarioWith } from '../../sim/scenario.ts'
import { parseDuration } from '../core/duration.ts'
import { DragonflyError } from '../core/error.ts'
import { layoutFor, PIECE_COUNT_MAX, pieceCount } from '../core/piece-layout.ts'
import { formatRate, parseRate } from '../core/rate.ts'
import { formatSize, parseSize } from '../core/size.ts'
import { parseCount } from './dfget-values.ts'
import { flagValue } from './flags.ts'
import { nearestName } from './nearest-name.ts'

/** The flags of `dragonfly sim`, and the scenario that they ask for. */

export type SimFlags = {
  peers?: number
  size?: number
  pieceLength?: number
  up?: number
  down?: number
  origin?: number
  supernodes?: number
  supernodeUp?: number
  zones?: number
  zoneRate?: number
  arrival?: Scenario['arrival']
  arrivalSeconds?: number
  churn?: boolean
  streaming?: boolean
  slowShare?: number
  /** Milliseconds. */
  latency?: number
  seed?: number
  policy: string[]
  json: boolean
  svg?: string
  replay?: string
}

/** Limits so that a slip of the finger is an error and not a full memory. */
const PEERS_MAX = 200_000
const DELIVERIES_MAX = 50_000_000
const ZONES_MAX = 4_096
const SUPERNODES_MAX = 1_024
const ARRIVAL_SECONDS = 60

const rate = flagValue(parseRate)
const duration = flagValue(parseDuration)

export function addSimFlags(command: Command): Command {
  const { peers, lengthBytes, up, down, supernodes, zones, arrival, latencySeconds, seed, policy } =
    DEFAULT_SCENARIO
  return command
    .option('--peers <count>', `who want the content ${byDefault(peers)}`, countUpTo(PEERS_MAX))
    .option('--size <size>', `of the content ${byDefault(formatSize(lengthBytes))}`, flagValue(parseLength))
    .option('--piece-length <size>', "of a piece (default: the product's choice)", flagValue(parseLength))
    .option('--up <rate>', `what a peer can send ${byDefault(formatRate(up))}`, rate)
    .option('--down <rate>', `what a peer can receive ${byDefault(formatRate(down))}`, rate)
    .option('--origin <rate>', 'begin with an empty cache, and read the origin at this rate', rate)
    .option(
      '--supernodes <count>',
      `peers are dealt out to them ${byDefault(supernodes)}`,
      countUpTo(SUPERNODES_MAX),
    )
    .option('--supernode-up <rate>', 'what each supernode can send (default: as --up)', rate)
    .option('--zones <count>', `peers are dealt out to them ${byDefault(zones)}`, countUpTo(ZONES_MAX))
    .option('--zone-rate <rate>', "of each zone's line to the others, both ways (default: no limit)", rate)
    .addOption(
      new Option('--arrival <how>', `all at once, by chance, or evenly ${byDefault(arrival)}`).choices([
        'burst',
        'poisson',
        'wave',
      ]),
    )
    .option(
      '--arrival-seconds <seconds>',
      `over which they arrive ${byDefault(ARRIVAL_SECONDS)}`,
      flagValue(parseSeconds),
    )
    .option('--churn', 'peers leave soon after they are complete')
    .option('--streaming', 'peers read from the beginning while they download')
    .option('--slow-share <share>', 'of peers with a tenth of the rates, e.g. 0.1', flagValue(parseShare))
    .option('--latency <duration>', `one way, e.g. 5ms ${byDefault(`${latencySeconds * 1000}ms`)}`, duration)
    .option('--seed <number>', `of all chance ${byDefault(seed)}`, flagValue(parseSeed))
    .addOption(
      new Option('--policy <names>', 'of those below; several with commas, or all')
        .argParser(flagValue(parsePolicies))
        .default([policy], policy),
    )
    .option('--json', 'print one line of JSON', false)
    .option('--svg <file>', 'write a picture')
    .option('--replay <file>', 'run what a supernode recorded with --record')
    .addHelpText('after', describePolicies)
}

function byDefault(value: unknown): string {
  return `(default: ${value})`
}

function describePolicies(): string {
  const width = Math.max(...POLICY_NAMES.map(name => name.length))
  const rows = POLICY_NAMES.map(name => `  ${name.padEnd(width)}  ${policyNamed(name).about}`)
  return ['', 'Policies:', ...rows].join('\n')
}

/** @throws DragonflyError USAGE */
export function compileScenario(flags: SimFlags): Scenario {
  const arrival = flags.arrival ?? DEFAULT_SCENARIO.arrival
  if (flags.arrivalSeconds !== undefined && arrival === 'burst') {
    throw usage('--arrival-seconds goes with --arrival poisson or wave')
  }
  if (flags.zoneRate !== undefined && (flags.zones ?? 1) === 1) throw usage('--zone-rate goes with --zones')
  const scenario = scenarioWith({
    ...given({
      peers: flags.peers,
      lengthBytes: flags.size,
      pieceLength: flags.pieceLength,
      up: flags.up,
      down: flags.down,
      supernodes: flags.supernodes,
      supernodeUp: flags.supernodeUp,
      zones: flags.zones,
      zoneRate: flags.zoneRate,
      leavesWhenComplete: flags.churn,
      isStreaming: flags.streaming,
      slowShare: flags.slowShare,
      seed: flags.seed,
    }),
    ...latencyOf(flags),
    ...(flags.origin === undefined ? {} : { originRate: flags.origin, isWarm: false }),
    arrival,
    arrivalSeconds: arrival === 'burst' ? 0 : (flags.arrivalSeconds ?? ARRIVAL_SECONDS),
    policy: flags.policy[0],
  })
  const { lengthBytes, pieceLength, peers, supernodes } = scenario
  const pieces = pieceCount(pieceLength === null ? layoutFor(lengthBytes) : { lengthBytes, pieceLength })
  if (pieces > PIECE_COUNT_MAX)
    throw usage(`${pieces} pieces are too many, at most ${PIECE_COUNT_MAX}: raise --piece-length`)
  if (pieces * peers > DELIVERIES_MAX) {
    throw usage(
      `${peers} peers × ${pieces} pieces are too many, at most ${DELIVERIES_MAX}: raise --piece-length`,
    )
  }
  if (supernodes > peers) throw usage('there are more supernodes than peers')
  return scenario
}

/** Flags that a recording answers. @throws DragonflyError USAGE */
export function checkReplayFlags(flags: SimFlags): void {
  const may = ['policy', 'json', 'svg', 'replay', 'seed', 'latency', 'streaming']
  const other = Object.keys(flags).find(name => !may.includes(name))
  if (other === undefined) return
  const flag = `--${other.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`
  throw usage(`${flag} does not go with --replay: the recording says it`)
}

/** Jitter keeps the proportion to latency that it has by default. */
export function latencyOf({ latency }: SimFlags): Partial<Scenario> {
  if (latency === undefined) return {}
  const { latencySeconds, jitterSeconds } = DEFAULT_SCENARIO
  return {
    latencySeconds: latency / 1000,
    jitterSeconds: (latency / 1000) * (jitterSeconds / latencySeconds),
  }
}

function given(changes: Partial<Scenario>): Partial<Scenario> {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
}

function parsePolicies(text: string): string[] {
  if (text === 'all') return [...POLICY_NAMES]
  const names = text.split(',').map(name => name.trim())
  for (const name of names) {
    if (POLICY_NAMES.includes(name)) continue
    throw usage(`there is no policy "${name}", did you mean "${nearestName(name, POLICY_NAMES)}"?`)
  }
  return [...new Set(names)]
}

function countUpTo(most: number): (text: string) => number {
  return flagValue(parseCount(1, most))
}

function parseLength(text: string): number {
  const bytes = parseSize(text)
  if (bytes === 0) throw usage('an empty file is there at once')
  return bytes
}

function parseSeconds(text: string): number {
  const value = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : parseDuration(text) / 1000
  if (value > 0 && value <= 86_400) return value
  throw usage(`"${text}" is not a number of seconds up to a day`)
}

function parseShare(text: string): number {
  const share = /^\d+(?:\.\d+)?%$/.test(text) ? Number(text.slice(0, -1)) / 100 : Number(text || 'none')
  if (share >= 0 && share <= 1) return share
  throw usage(`"${text}" is not a share; write it like 0.1 or 10%`)
}

function parseSeed(text: string): number {
  if (/^\d{1,10}$/.test(text) && Number(text) < 2 ** 32) return Number(text)
  throw usage(`"${text}" is not a number below 2^32`)
}

function usage(message: string): DragonflyError {
  return new DragonflyError('USAGE', message)
}
