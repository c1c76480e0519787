import type { SimResult } from '../sim/result.ts'
import type { Scenario } from '../sim/scenario.ts'
import type { World } from '../sim/world.ts'

/** What the simulator must show, case by case. */

const MIB = 1024 ** 2
const MBIT = 1e6 / 8

export type Row = {
  readonly what: string
  readonly target: string
  /** Null where there is nothing to measure, as when nobody finished: then the target is missed. */
  measure(result: SimResult): number | null
  isMet(value: number): boolean
}

export type Case = {
  readonly name: string
  readonly title: string
  readonly scenario: Partial<Scenario>
  /** Smaller, for a look in passing; its figures are not those of the case. */
  readonly quick: Partial<Scenario>
  readonly rows: readonly Row[]
  prepare?(world: World): void
}

const factor = (most: number): Row => ({
  what: 'factor',
  target: `≤ ${most.toFixed(2)}`,
  measure: result => (result.failed > 0 ? null : result.factor),
  isMet: value => value <= most,
})

const unfinished: Row = {
  what: 'survivors that do not finish',
  target: '0',
  measure: result => result.failed,
  isMet: value => value === 0,
}

const prefix: Row = {
  what: 'mean readable prefix',
  target: '≥ 0.30',
  measure: result => result.meanReadablePrefix,
  isMet: value => value >= 0.3,
}

/** 12 s were measured in 2016 with 200 to 7000 peers. */
function experiment(peers: number): Case {
  const links = { up: 200 * MBIT, down: 200 * MBIT, supernodes: 2, supernodeUp: 2_000 * MBIT }
  return {
    name: `2016-${peers}`,
    title: `${peers} peers × 200 MB at 200 Mbit/s, two supernodes at 2 Gbit/s`,
    scenario: { peers, lengthBytes: 200e6, pieceLength: MIB, ...links },
    quick: { peers: Math.min(peers, 400) },
    rows: [factor(1.1)],
  }
}

const SWARM_255 = { peers: 255, lengthBytes: 64 * MIB, pieceLength: MIB }
const SWARM_1023 = { peers: 1_023, lengthBytes: 256 * MIB, pieceLength: MIB }
const QUICK = { peers: 127 }

export const CASES: readonly Case[] = [
  experiment(200),
  experiment(1_000),
  experiment(7_000),
  { name: '255x64', title: '255 peers × 64 pieces', scenario: SWARM_255, quick: {}, rows: [factor(1.1)] },
  {
    name: '1023x256',
    title: '1023 peers × 256 pieces',
    scenario: SWARM_1023,
    quick: QUICK,
    rows: [factor(1.05)],
  },
  {
    name: 'streaming-255x64',
    title: '255 peers × 64 pieces, streaming',
    scenario: { ...SWARM_255, isStreaming: true },
    quick: {},
    rows: [factor(1.15), prefix],
  },
  {
    name: 'streaming-1023x256',
    title: '1023 peers × 256 pieces, streaming',
    scenario: { ...SWARM_1023, isStreaming: true },
    quick: QUICK,
    rows: [factor(1.15), prefix],
  },
  {
    name: 'zones',
    title: '16 zones × 64 peers, 256 pieces, lines of 200 Mbit/s',
    // A line carries what two peers could send, of 64.
    scenario: { ...SWARM_1023, peers: 1_024, zones: 16, zoneRate: 200 * MBIT },
    quick: { peers: 128, lengthBytes: 64 * MIB },
    rows: [
      factor(1.2),
      {
        what: 'cross-zone ÷ minimum',
        target: '≤ 1.02',
        measure: result => result.crossZoneFactor,
        isMet: value => value <= 1.02,
      },
    ],
  },
  {
    name: 'mixed',
    title: '255 peers × 64 pieces, a tenth of them at a tenth of the rate',
    scenario: { ...SWARM_255, slowShare: 0.1 },
    quick: {},
    rows: [
      {
        what: 'fast ones: p50 ÷ own bound',
        target: '≤ 1.10',
        measure: result => (result.failed > 0 ? null : result.fastP50Factor),
        isMet: value => value <= 1.1,
      },
    ],
  },
  {
    name: 'slow-links',
    title: '60 peers × 64 pieces of 4 MiB at 10 Mbit/s, where a piece takes 3.4 s',
    scenario: { peers: 60, lengthBytes: 256 * MIB, pieceLength: 4 * MIB, up: 10 * MBIT, down: 10 * MBIT },
    quick: {},
    rows: [factor(1.2)],
  },
  {
    name: 'poisson',
    title: '255 peers × 64 pieces arrive over 60 s by chance, leave when complete, empty cache',
    scenario: {
      ...SWARM_255,
      arrival: 'poisson',
      arrivalSeconds: 60,
      leavesWhenComplete: true,
      isWarm: false,
      originRate: 800 * MBIT,
    },
    quick: {},
    rows: [
      { ...unfinished, what: 'peers that starve' },
      {
        what: 'slowest ÷ what its own links need',
        target: 'starves from 3',
        measure: result => result.factor,
        isMet: value => value < 3,
      },
      {
        what: 'origin ÷ file',
        target: '≤ 1.05',
        measure: result => result.originFactor,
        isMet: value => value <= 1.05,
      },
    ],
  },
  {
    name: 'churn',
    title: '255 peers × 256 pieces, 1 % lost per second, 1 % corrupted, supernode replaced twice',
    scenario: { ...SWARM_255, lengthBytes: 256 * MIB, originRate: 800 * MBIT },
    quick: { peers: 127, lengthBytes: 128 * MIB },
    rows: [unfinished, factor(1.5)],
    prepare: planChurn,
  },
]

const LOST_PER_SECOND = 0.01
const CORRUPTION_RATE = 0.01
/** Until another supernode, with an empty cache, stands in the place of the one that is gone. */
const REPLACED_AFTER_SECONDS = 1

/** Half of the lost peers crash, of the other half the machine is gone without a word. */
function planChurn(world: World): void {
  const { queue, scenario, peers } = world
  const chance = world.random('bench churn')
  world.corruptionRate = CORRUPTION_RATE
  const lose = () => {
    for (const peer of peers) {
      if (!peer.isAlive || peer.isDone || chance.next() >= LOST_PER_SECOND) continue
      world.kill(peer.name, chance.next() < 0.5)
      peer.goForGood()
    }
    if (!world.isOver && !queue.isEmpty) queue.after(1, lose)
  }
  queue.after(1, lose)
  const about = scenario.lengthBytes / scenario.down
  for (const share of [1 / 3, 2 / 3]) {
    queue.after(share * about, () => {
      const [supernode] = world.supernodes
      world.kill(supernode.name, false)
      queue.after(REPLACED_AFTER_SECONDS, () => supernode.restart(false))
    })
  }
}
