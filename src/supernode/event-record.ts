import { type FileHandle, open } from 'node:fs/promises'
import type { Bitmap } from '../core/bitmap.ts'
import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import { encodeHex } from '../core/hex.ts'
import type { TaskId } from '../core/task-id.ts'
import type { Log } from '../ops/log.ts'
import { VERSION } from '../ops/version.ts'
import type { HostId } from '../swarm/hosts.ts'
import type { Reader, Seat } from '../swarm/member.ts'
import type { Assignment, ConsumerReport } from '../swarm/task-swarm.ts'

/**
 * What the scheduler was told and what it decided, one JSON object per line, for `dragonfly sim --replay`. There are numbers and error
 * codes in it, and the digest that a task id is; no URL, header, token, name or address.
 */

export const EVENTS_FORMAT = 1

/** `t` is monotonic milliseconds, `s` numbers the swarm: one generation of one task in one life of the supernode. */
export type SwarmEvent =
  | { e: 'start'; t: number; format: number; supernode: string; seedSlots: number | null; window: number }
  | { e: 'swarm'; t: number; s: number; taskId: string; lengthBytes: number | null; pieceLength: number }
  | { e: 'seal'; t: number; s: number; lengthBytes: number }
  /** The seed holds these from now on. */
  | { e: 'offer'; t: number; s: number; pieces: readonly number[] }
  | {
      e: 'join'
      t: number
      s: number
      host: HostId
      zone: number
      slots: number
      lookAhead: number
      /** Piece. */
      readFrom: number
      isSeedOnly: boolean
      held: number
      bitmap: string
    }
  | ReportEvent
  | { e: 'leave'; t: number; s: number; host: HostId }
  /** Piece, source… */
  | { e: 'assign'; t: number; s: number; host: HostId; pieces: readonly number[] }
  | { e: 'end'; t: number; s: number }

type ReportEvent = {
  e: 'report'
  t: number
  s: number
  host: HostId
  /** Piece, source, milliseconds… */
  done: readonly number[]
  /** Piece, source, code… */
  failed: readonly (number | string)[]
  /** Piece, source… */
  released: readonly number[]
  slow: readonly number[]
  fromOrigin: readonly number[]
  /** As of `join`, where somebody reads from elsewhere since. */
  lookAhead?: number
  readFrom?: number
}

type RecordOptions = {
  readonly file: string
  readonly clock: Clock
  readonly log: Log
  /** The file grows no further. */
  readonly bytesMax: number
  /** Lines wait in memory for a slow disk up to this; beyond, recording stops. */
  readonly waitingBytesMax: number
  readonly seedSlots: number | null
  readonly window: number
}

/** A file of events that is appended to until it is as long as it may get. Recording never holds the supernode up. */
export class EventRecord {
  readonly #options: RecordOptions
  readonly #handle: FileHandle
  #bytes: number
  #lines: string[] = []
  #waitingBytes = 0
  #writing: Promise<void> | null = null
  #isStopped = false
  #nextSwarm = 1

  private constructor(options: RecordOptions, handle: FileHandle, bytes: number) {
    this.#options = options
    this.#handle = handle
    this.#bytes = bytes
  }

  /** @throws DragonflyError OUTPUT_INVALID */
  static async open(options: RecordOptions): Promise<EventRecord> {
    const { file, seedSlots, window } = options
    try {
      const handle = await open(file, 'a', 0o600)
      const { size } = await handle.stat()
      const record = new EventRecord(options, handle, size)
      // An earlier life may have ended in the middle of a line.
      if (size > 0) await handle.appendFile('\n')
      record.write({
        e: 'start',
        t: record.now(),
        format: EVENTS_FORMAT,
        supernode: VERSION,
        seedSlots,
        window,
      })
      return record
    } catch (cause) {
      const said = `${file} cannot be written: ${(cause as Error).message}`
      throw new DragonflyError('OUTPUT_INVALID', said, { cause })
    }
  }

  /** Of the clock, in tenths of a millisecond. */
  now(): number {
    return Math.round(this.#options.clock.now() * 10) / 10
  }

  beginSwarm(taskId: TaskId, layout: { lengthBytes: number | null; pieceLength: number }): SwarmTrace {
    const trace = new SwarmTrace(this, this.#nextSwarm++)
    const { lengthBytes, pieceLength } = layout
    this.write({ e: 'swarm', t: this.now(), s: trace.number, taskId, lengthBytes, pieceLength })
    return trace
  }

  write(event: SwarmEvent): void {
    if (this.#isStopped) return
    const line = `${JSON.stringify(event)}\n`
    const { bytesMax, waitingBytesMax } = this.#options
    if (this.#bytes + line.length > bytesMax) return this.#stop('the recording is as long as it may get')
    if (this.#waitingBytes + line.length > waitingBytesMax)
      return this.#stop('the disk is too slow to record')
    // All of it is ASCII.
    this.#bytes += line.length
    this.#waitingBytes += line.length
    this.#lines.push(line)
    this.#writing ??= this.#drain()
  }

  async close(): Promise<void> {
    this.#isStopped = true
    await this.#writing
    await this.#handle.close()
  }

  async #drain(): Promise<void> {
    while (this.#lines.length > 0) {
      const text = this.#lines.join('')
      this.#lines = []
      try {
        await this.#handle.appendFile(text)
      } catch (thrown) {
        this.#lines = []
        this.#stop((thrown as Error).message)
      }
      this.#waitingBytes -= text.length
    }
    this.#writing = null
  }

  #stop(cause: string): void {
    this.#isStopped = true
    const { file, log } = this.#options
    log.warn({ file, bytes: this.#bytes, cause }, 'recording stopped')
  }
}

type RecordedSeat = Required<Seat> & { slots: number }

/** The events of one swarm. */
export class SwarmTrace {
  readonly number: number
  readonly #record: EventRecord

  constructor(record: EventRecord, number: number) {
    this.#record = record
    this.number = number
  }

  sealed(lengthBytes: number): void {
    this.#record.write({ e: 'seal', ...this.#head(), lengthBytes })
  }

  offered(pieces: readonly number[]): void {
    if (pieces.length > 0) this.#record.write({ e: 'offer', ...this.#head(), pieces })
  }

  joined(host: HostId, { held, reader, zone, slots, isSeedOnly }: RecordedSeat & { held: Bitmap }): void {
    const bitmap = encodeHex(held.encode())
    const seat = { zone, slots, ...readerFields(reader), isSeedOnly }
    this.#record.write({ e: 'join', ...this.#head(), host, ...seat, held: held.count, bitmap })
  }

  /** @param done piece, source, milliseconds…, as the message has it */
  reported(host: HostId, done: readonly number[], report: ConsumerReport): void {
    const { slow, fromOrigin, reader } = report
    const moved = reader ? readerFields(reader) : {}
    const failed = report.failed.flatMap(({ piece, source, code }) => [piece, source, code])
    const released = report.released.flatMap(({ piece, source }) => [piece, source])
    const facts = { done, failed, released, slow, fromOrigin, ...moved }
    this.#record.write({ e: 'report', ...this.#head(), host, ...facts })
  }

  left(host: HostId): void {
    this.#record.write({ e: 'leave', ...this.#head(), host })
  }

  assigned(host: HostId, assignments: readonly Assignment[]): void {
    const pieces = assignments.flatMap(({ piece, source }) => [piece, source])
    this.#record.write({ e: 'assign', ...this.#head(), host, pieces })
  }

  ended(): void {
    this.#record.write({ e: 'end', ...this.#head() })
  }

  #head(): { t: number; s: number } {
    return { t: this.#record.now(), s: this.number }
  }
}

function readerFields({ lookAhead, fromPiece }: Reader): { lookAhead: number; readFrom: number } {
  return { lookAhead, readFrom: fromPiece }
}
