import * as z from 'zod'
import { Bitmap } from '../src/core/bitmap.ts'
import { DragonflyError } from '../src/core/error.ts'
import { decodeHex } from '../src/core/hex.ts'
import { PIECE_COUNT_MAX } from '../src/core/piece-layout.ts'
import { EVENTS_FORMAT, type SwarmEvent } from '../src/supernode/event-record.ts'

/** Reads what `supernode --record` wrote. */

/** One piece that has arrived; milliseconds of the supernode's clock. */
export type Transfer = {
  readonly consumer: number
  readonly source: number
  readonly from: number
  readonly to: number
}

export type RecordedHost = {
  readonly zone: number
  readonly slots: number
  /** Reads while it downloads. */
  readonly isStreaming: boolean
  /** Fetches from the seed alone. */
  readonly isSeedOnly: boolean
  readonly joinedAt: number
  readonly heldAtFirst: readonly number[]
  readonly held: Set<number>
  leftAt: number | null
  doneAt: number | null
}

/** One generation of one task in one life of the supernode. */
export type RecordedSwarm = {
  readonly taskId: string
  readonly pieceLength: number
  readonly hasLength: boolean
  lengthBytes: number | null
  readonly seedSlots: number | null
  readonly window: number
  readonly beganAt: number
  readonly hosts: Map<number, RecordedHost>
  readonly transfers: Transfer[]
  /** When the seed got how many pieces. */
  readonly offers: { readonly at: number; readonly pieces: number }[]
}

const uint = z.int().min(0)
const index = z.int().min(0).max(PIECE_COUNT_MAX)
const at = { t: z.number().min(0), s: uint }
const member = { ...at, host: uint }
const event = z.discriminatedUnion('e', [
  z.object({
    e: z.literal('start'),
    t: z.number(),
    format: uint,
    supernode: z.string(),
    seedSlots: uint.nullable(),
    window: uint,
  }),
  z.object({
    e: z.literal('swarm'),
    ...at,
    taskId: z.string(),
    lengthBytes: uint.nullable(),
    pieceLength: z.int().min(1),
  }),
  z.object({ e: z.literal('seal'), ...at, lengthBytes: uint }),
  z.object({ e: z.literal('offer'), ...at, pieces: z.array(index) }),
  z.object({
    e: z.literal('join'),
    ...member,
    zone: uint,
    slots: uint,
    lookAhead: uint,
    readFrom: uint.default(0),
    isSeedOnly: z.boolean().default(false),
    held: uint,
    bitmap: z.string().regex(/^(?:[0-9a-f]{2})*$/),
  }),
  z.object({
    e: z.literal('report'),
    ...member,
    done: z.array(uint),
    failed: z.array(z.union([uint, z.string()])),
    released: z.array(uint),
    slow: z.array(uint),
    fromOrigin: z.array(uint),
    lookAhead: uint.optional(),
    readFrom: uint.optional(),
  }),
  z.object({ e: z.literal('leave'), ...member }),
  z.object({ e: z.literal('assign'), ...member, pieces: z.array(uint) }),
  z.object({ e: z.literal('end'), ...at }),
])

type Life = { seedSlots: number | null; window: number }

/** Takes a recording line by line. */
export class RecordingReader {
  readonly swarms: RecordedSwarm[] = []
  /** Of the present life of the supernode, by number. */
  #current = new Map<number, RecordedSwarm>()
  #life: Life | null = null
  #lineNumber = 0
  #torn: DragonflyError | null = null

  /**
   * A line that a crash cut off is the last one, or the last before the supernode's next life, and is passed over.
   * @throws DragonflyError USAGE where the line is none of a recording, or of one that a later version has written
   */
  add(line: string): void {
    this.#lineNumber++
    if (line === '') return
    const read = this.#parse(line)
    if (read === null) return
    if (read.e === 'start') return this.#begin(read)
    if (this.#torn) throw this.#torn
    if (!this.#life) throw notARecording()
    if (read.e === 'swarm') return this.#open(read, this.#life)
    const swarm = this.#current.get(read.s)
    if (!swarm) throw this.#wrong(`swarm ${read.s} has not begun`)
    this.#apply(swarm, read)
  }

  /** The swarm in which most was transferred. @throws DragonflyError USAGE */
  largest(): RecordedSwarm {
    if (!this.#life) throw this.#torn ?? notARecording()
    const [largest] = [...this.swarms].sort(
      (a, b) => b.transfers.length - a.transfers.length || b.hosts.size - a.hosts.size,
    )
    if (!largest || largest.hosts.size === 0)
      throw new DragonflyError('USAGE', 'nobody downloads anything in this recording')
    if (largest.lengthBytes === null) {
      throw new DragonflyError('USAGE', 'the recording ends before the length of the content was known')
    }
    if (largest.lengthBytes === 0) throw new DragonflyError('USAGE', 'the recorded content is empty')
    return largest
  }

  #parse(line: string): SwarmEvent | null {
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch (cause) {
      if (this.#torn) throw this.#torn
      this.#torn = this.#wrong('it is not JSON', cause)
      return null
    }
    const { e, format } = (value ?? {}) as { e?: unknown; format?: unknown }
    if (e === 'start' && format !== EVENTS_FORMAT) {
      const said = `the recording has format ${JSON.stringify(format)}, this version reads ${EVENTS_FORMAT}`
      throw new DragonflyError('USAGE', said)
    }
    const parsed = event.safeParse(value)
    if (!parsed.success) throw this.#wrong(`it is no event: ${parsed.error.issues[0]?.message}`)
    return parsed.data as SwarmEvent
  }

  #begin({ seedSlots, window }: Life): void {
    this.#torn = null
    this.#life = { seedSlots, window }
    this.#current = new Map()
  }

  #open(read: SwarmEvent & { e: 'swarm' }, { seedSlots, window }: Life): void {
    const { taskId, pieceLength, lengthBytes, t, s } = read
    const swarm: RecordedSwarm = {
      taskId,
      pieceLength,
      hasLength: lengthBytes !== null,
      lengthBytes,
      seedSlots,
      window,
      beganAt: t,
      hosts: new Map(),
      transfers: [],
      offers: [],
    }
    this.swarms.push(swarm)
    this.#current.set(s, swarm)
  }

  #apply(swarm: RecordedSwarm, read: Exclude<SwarmEvent, { e: 'start' | 'swarm' }>): void {
    switch (read.e) {
      case 'seal':
        swarm.lengthBytes = read.lengthBytes
        for (const host of swarm.hosts.values()) noteDone(swarm, host, read.t)
        return
      case 'offer':
        swarm.offers.push({ at: read.t, pieces: read.pieces.length })
        return
      case 'join':
        return join(swarm, read)
      case 'report':
        return report(swarm, read)
      case 'leave': {
        const host = swarm.hosts.get(read.host)
        if (host) host.leftAt = read.t
        return
      }
      case 'assign':
      case 'end':
        return
    }
  }

  #wrong(why: string, cause?: unknown): DragonflyError {
    return new DragonflyError('USAGE', `line ${this.#lineNumber} of the recording is damaged: ${why}`, {
      cause,
    })
  }
}

function notARecording(): DragonflyError {
  return new DragonflyError('USAGE', 'this is not a recording of supernode --record: it lacks the first line')
}

/** A host that joins again goes on with what it has. */
function join(
  swarm: RecordedSwarm,
  { host: id, zone, slots, lookAhead, isSeedOnly, bitmap, t }: SwarmEvent & { e: 'join' },
): void {
  const bytes = decodeHex(bitmap)
  const heldAtFirst = [...Bitmap.decode(bytes, bytes.length * 8).members()]
  const known = swarm.hosts.get(id)
  if (known) known.leftAt = null
  const host = known ?? {
    zone,
    slots: Math.max(1, slots),
    isStreaming: lookAhead > 0,
    isSeedOnly,
    joinedAt: t,
    heldAtFirst,
    held: new Set<number>(),
    leftAt: null,
    doneAt: null,
  }
  for (const piece of heldAtFirst) host.held.add(piece)
  swarm.hosts.set(id, host)
  noteDone(swarm, host, t)
}

function report(
  swarm: RecordedSwarm,
  { host: consumer, done, fromOrigin, t }: SwarmEvent & { e: 'report' },
): void {
  const host = swarm.hosts.get(consumer)
  if (!host) return
  for (let i = 0; i + 2 < done.length; i += 3) {
    host.held.add(done[i])
    const [source, elapsedMs] = [done[i + 1], done[i + 2]]
    swarm.transfers.push({ consumer, source, from: t - Math.max(1, elapsedMs), to: t })
  }
  for (const piece of fromOrigin) host.held.add(piece)
  noteDone(swarm, host, t)
}

function noteDone(swarm: RecordedSwarm, host: RecordedHost, now: number): void {
  if (swarm.lengthBytes === null || host.doneAt !== null) return
  if (host.held.size >= Math.ceil(swarm.lengthBytes / swarm.pieceLength)) host.doneAt = now
}
