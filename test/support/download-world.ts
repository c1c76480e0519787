import assert from 'node:assert/strict'
import { Bitmap } from '../../src/core/bitmap.ts'
import type { Digest } from '../../src/core/digest.ts'
import type { ErrorCode } from '../../src/core/error.ts'
import type { Generation } from '../../src/core/generation.ts'
import { type PieceLayout, pieceBytes, pieceCount } from '../../src/core/piece-layout.ts'
import { pickIndex, type Random, seededRandom } from '../../src/core/random.ts'
import type { Version } from '../../src/core/version.ts'
import { type HostId, Hosts } from '../../src/swarm/hosts.ts'
import { TaskSwarm } from '../../src/swarm/task-swarm.ts'
import { Download } from '../../src/transfer/download.ts'
import { DEFAULT_LIMITS } from '../../src/transfer/download-options.ts'
import type { DownloadEffect, DownloadEvent, PieceFrom } from '../../src/transfer/events.ts'
import type { Reader } from '../../src/transfer/reader.ts'
import { isEmptyReport } from '../../src/transfer/report-batch.ts'
import { DownloadWatch } from './download-watch.ts'

/**
 * A small world around one real Download: a supernode with a real TaskSwarm, sources, an origin, a disk and a clock, all of them faulty
 * at random until `healAtMs`. Everything follows from the seed.
 */
export type WorldOptions = {
  readonly seed: number
  readonly hasSupernode: boolean
  readonly lengthBytes: number
  /** The origin does not say the length. */
  readonly isLengthUnknown?: boolean
  /** Share of what happens that goes wrong. */
  readonly faultRate: number
  readonly healAtMs: number
  readonly stored?: readonly number[]
  readonly cancelAtMs?: number
  /** Who reads, at first and after a while. */
  readonly readers?: readonly [first: Reader | null, next: Reader]
}

export type WorldResult = {
  readonly phase: 'complete' | 'failed'
  readonly code: ErrorCode | null
  readonly endedAtMs: number
  /** Every event and effect, for comparing runs. */
  readonly trace: readonly string[]
}

const MIB = 1024 * 1024
const SEED: HostId = 0
const SELF: HostId = 1
const PEERS: readonly HostId[] = [2, 3, 4]
const LIAR: HostId = 4
const TICK_MS = 200
const STATUS_MS = 2_000

const nameOf = (host: HostId) => `host${host}`
const hostOf = (name: string) => Number(name.slice(4))

export function runDownloadWorld(options: WorldOptions): WorldResult {
  return new DownloadWorld(options).run()
}

/** The version that the world's origin has. */
export function worldVersion(lengthBytes: number | null): Version {
  const layout: PieceLayout = { lengthBytes, pieceLength: MIB }
  return {
    generation: 'aaaaaaaaaaaaaaaa' as Generation,
    validator: { etag: '"a"', lastModified: null },
    layout,
  }
}

class DownloadWorld {
  readonly #options: WorldOptions
  readonly #random: Random
  readonly #machine: Download
  readonly #watch: DownloadWatch
  readonly #count: number
  readonly #timers: { atMs: number; action: () => void }[] = []
  readonly #trace: string[] = []
  readonly #fetches = new Map<string, { isCrawling: boolean }>()
  #nowMs = 0
  #swarm: TaskSwarm | null = null
  #isChannelUp = false
  #isSilent = false
  #originTurn = 0
  #isPrepared: boolean

  constructor(options: WorldOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    const layout = worldVersion(options.lengthBytes).layout
    this.#count = pieceCount(layout)
    const held = new Bitmap(this.#count)
    for (const piece of options.stored ?? []) if (piece < this.#count) held.add(piece)
    const stored = options.stored
      ? { version: worldVersion(options.lengthBytes), held, knownDigests: held.members() }
      : null
    this.#isPrepared = stored !== null
    const { hasSupernode, readers: [reader] = [null] } = options
    const random = seededRandom(options.seed + 1)
    this.#machine = new Download({ hasSupernode, reader, stored, limits: DEFAULT_LIMITS, random }, 0)
    this.#machine.seedSource = nameOf(SEED)
    this.#watch = new DownloadWatch(this.#machine, layout, DEFAULT_LIMITS.window)
    this.#watch.learnDigests(held.members())
  }

  run(): WorldResult {
    const { hasSupernode, healAtMs, cancelAtMs, readers } = this.#options
    if (hasSupernode) this.#connect()
    else this.#perform(this.#machine.begin(0))
    this.#every(TICK_MS, () => this.#tick())
    this.#every(STATUS_MS, () => this.#speak({ type: 'status', peers: 5, originBytes: 0 }))
    if (cancelAtMs !== undefined) this.#after(cancelAtMs, () => this.#send({ type: 'cancelled' }))
    if (readers) this.#after(TICK_MS, () => this.#send({ type: 'reader-moved', reader: readers[1] }))
    // Whatever fell silent speaks again; whoever hangs was cut off by its time-outs.
    this.#after(healAtMs, () => {
      this.#isSilent = false
    })
    const limitMs = healAtMs + 1_500_000
    while (!this.#machine.isOver) {
      const next = this.#timers.reduce((least, timer) => (timer.atMs < least.atMs ? timer : least))
      this.#timers.splice(this.#timers.indexOf(next), 1)
      this.#nowMs = next.atMs
      assert.ok(this.#nowMs < limitMs, `still ${this.#machine.phase} after ${this.#nowMs / 1000} s`)
      next.action()
    }
    this.#watch.checkOver(this.#nowMs)
    return {
      phase: this.#machine.phase as 'complete' | 'failed',
      code: this.#watch.code,
      endedAtMs: this.#nowMs,
      trace: this.#trace,
    }
  }

  #isFaulty(): boolean {
    return this.#nowMs < this.#options.healAtMs && this.#random.next() < this.#options.faultRate
  }

  #one<T>(values: readonly T[]): T {
    return values[pickIndex(this.#random, values.length)]
  }

  #after(delayMs: number, action: () => void): void {
    this.#timers.push({ atMs: this.#nowMs + delayMs, action })
  }

  #every(periodMs: number, action: () => void): void {
    this.#after(periodMs, () => {
      action()
      this.#every(periodMs, action)
    })
  }

  #send(event: DownloadEvent): void {
    this.#watch.before(event)
    this.#trace.push(`${this.#nowMs} ${JSON.stringify(event)}`)
    const effects = this.#machine.step(event, this.#nowMs)
    this.#watch.after(event, effects)
    this.#perform(effects)
    this.#report()
  }

  #tick(): void {
    const bytes = [...this.#fetches.values()].some(fetch => fetch.isCrawling) ? 1 : 0
    this.#send({ type: 'moved', bytes })
    this.#send({ type: 'tick' })
    if (this.#swarm && this.#isChannelUp && !this.#isSilent) {
      this.#swarm.tick(this.#nowMs)
      this.#assign()
    }
    if (!this.#options.hasSupernode || this.#machine.phase !== 'receiving') return
    if (this.#nowMs < this.#options.healAtMs && this.#random.next() < this.#options.faultRate / 50) {
      this.#disturbSupernode()
    }
  }

  #disturbSupernode(): void {
    const kind = this.#one(['lost', 'restarted', 'silent', 'refused'] as const)
    if (kind === 'silent') {
      this.#isSilent = true
      this.#after(this.#random.next() * 60_000, () => {
        this.#isSilent = false
      })
    } else if (kind === 'refused') {
      this.#speak({ type: 'refused', code: 'SUPERNODE_FAILED', message: 'it failed' })
    } else if (this.#isChannelUp) {
      this.#isChannelUp = false
      if (kind === 'restarted') this.#swarm = null
      else this.#swarm?.leave(SELF, this.#nowMs)
      this.#send({ type: 'supernode-lost' })
      this.#after(this.#random.next() * 10_000, () => this.#connect())
    }
  }

  #connect(): void {
    if (this.#isFaulty()) {
      this.#send({ type: 'supernode-unavailable' })
      this.#after(this.#random.next() * 5_000, () => this.#connect())
      return
    }
    this.#isChannelUp = true
    this.#announce()
  }

  #announce(): void {
    if (!this.#isChannelUp) return
    const held = Bitmap.decode(this.#machine.content.held.encode(), this.#machine.content.held.size)
    this.#after(5, () => {
      if (!this.#isChannelUp || this.#isSilent || this.#isFaulty()) return
      this.#swarm ??= this.#newSwarm()
      const pieces = Array.from({ length: this.#count }, (_, piece) => piece)
      const version = worldVersion(this.#options.lengthBytes)
      this.#speak({ type: 'layout', version, digest: null, knownDigests: pieces })
      this.#swarm.join(SELF, held.members(), this.#nowMs)
      this.#assign()
    })
  }

  #newSwarm(): TaskSwarm {
    const hosts = new Hosts()
    for (const host of [SEED, SELF, ...PEERS]) hosts.add(host, 4)
    const swarm = new TaskSwarm(
      { hosts, seed: SEED, random: this.#random, window: 4, pieceLength: 1 },
      this.#count,
    )
    const pieces = Array.from({ length: this.#count }, (_, piece) => piece)
    for (const piece of pieces) swarm.offerSeedPiece(piece, this.#nowMs)
    for (const host of PEERS) swarm.join(host, pieces, this.#nowMs)
    swarm.takeAssignments()
    return swarm
  }

  /** The supernode says something, if it can. */
  #speak(event: DownloadEvent): void {
    if (this.#isChannelUp && !this.#isSilent && this.#swarm) this.#send(event)
  }

  #assign(): void {
    const pieces: PieceFrom[] = this.#swarm!.takeAssignments()
      .filter(assignment => assignment.consumer === SELF)
      .map(({ piece, source }) => ({ piece, source: nameOf(source) }))
    if (pieces.length > 0) this.#send({ type: 'assigned', pieces })
  }

  #report(): void {
    const report = this.#machine.takeReport()
    this.#watch.takeReport(report)
    if (isEmptyReport(report) || !this.#isChannelUp || !this.#swarm) return
    const swarm = this.#swarm
    const numbered = <T extends PieceFrom>(list: readonly T[]) =>
      list.map(entry => ({ ...entry, source: hostOf(entry.source) }))
    this.#after(5, () => {
      if (swarm !== this.#swarm || !this.#isChannelUp) return
      const { slow, fromOrigin } = report
      const done = numbered(report.done)
      const failed = numbered(report.failed)
      const released = numbered(report.released)
      swarm.report(SELF, { done, failed, released, slow, fromOrigin }, this.#nowMs)
      if (!this.#isSilent) this.#assign()
    })
  }

  #perform(effects: readonly DownloadEffect[]): void {
    for (const effect of effects) this.#performOne(effect)
  }

  #performOne(effect: DownloadEffect): void {
    this.#trace.push(`${this.#nowMs} → ${JSON.stringify(effect)}`)
    switch (effect.type) {
      case 'announce':
        return this.#announce()
      case 'adopt':
        return this.#after(3, () => {
          this.#isPrepared = true
          this.#send({ type: 'prepared' })
        })
      case 'fetch':
        return this.#fetch(effect.piece, effect.source)
      case 'cancel-fetch':
        return this.#cancelFetch(effect.piece, effect.source)
      case 'ask-held':
        return this.#askHeld(effect.source)
      case 'open-origin':
        return this.#openOrigin(effect)
      case 'close-origin':
        this.#originTurn++
        return
      case 'verify':
        return this.#after(3, () => this.#verify())
      default:
        return
    }
  }

  #verify(): void {
    if (this.#isFaulty() && this.#isFaulty()) {
      return this.#send({ type: 'stored-failed', code: 'DISK_ERROR', message: 'the disk failed' })
    }
    this.#send({ type: 'verified', digest: `sha256:${'0'.repeat(64)}` as Digest })
  }

  #fetch(piece: number, source: string): void {
    const fetch = { isCrawling: false }
    const key = `${piece}@${source}`
    this.#fetches.set(key, fetch)
    const end = (delayMs: number, event: DownloadEvent) =>
      this.#after(delayMs, () => {
        if (this.#fetches.get(key) !== fetch) return
        this.#fetches.delete(key)
        this.#send(event)
      })
    const fail = (delayMs: number, code: ErrorCode) =>
      end(delayMs, { type: 'fetch-failed', piece, source, code })
    if (hostOf(source) === LIAR) return fail(50, 'DIGEST_MISMATCH')
    if (this.#isFaulty()) {
      if (this.#random.next() < 0.2) {
        fetch.isCrawling = true
        return
      }
      const codes = [
        'SOURCE_GONE',
        'SOURCE_BUSY',
        'PIECE_NOT_HELD',
        'SOURCE_SLOW',
        'DIGEST_MISMATCH',
      ] as const
      const code = this.#one(hostOf(source) === SEED ? codes : codes.slice(0, 4))
      return fail(code === 'SOURCE_SLOW' ? 20_000 : 10, code)
    }
    const bytes = pieceBytes(worldVersion(this.#options.lengthBytes).layout, piece)
    const elapsedMs = 20 + this.#random.next() * 100
    end(elapsedMs, { type: 'fetched', piece, source, bytes, elapsedMs })
  }

  /** Now and then the piece is there before the cancellation is. */
  #cancelFetch(piece: number, source: string): void {
    const key = `${piece}@${source}`
    if (!this.#fetches.delete(key)) return
    const bytes = pieceBytes(worldVersion(this.#options.lengthBytes).layout, piece)
    const isLate = hostOf(source) !== LIAR && this.#random.next() < 0.2
    this.#after(1, () =>
      this.#send(
        isLate
          ? { type: 'fetched', piece, source, bytes, elapsedMs: 20 }
          : { type: 'fetch-failed', piece, source, code: 'CANCELLED' },
      ),
    )
  }

  #askHeld(source: string): void {
    const pieces = Array.from({ length: this.#count }, (_, piece) => piece)
    const isSilent = this.#isFaulty()
    this.#after(10, () =>
      this.#send(isSilent ? { type: 'source-silent', source } : { type: 'source-holds', source, pieces }),
    )
  }

  #openOrigin({ mode, fromPiece, untilPiece }: Extract<DownloadEffect, { type: 'open-origin' }>): void {
    const turn = ++this.#originTurn
    const say = (delayMs: number, event: () => DownloadEvent | null) =>
      this.#after(delayMs, () => {
        const said = turn === this.#originTurn ? event() : null
        if (said) this.#send(said)
      })
    const failWith = (delayMs: number) => {
      const code = this.#one(['ORIGIN_UNREACHABLE', 'ORIGIN_STALLED', 'ORIGIN_ERROR'] as const)
      say(delayMs, () => ({ type: 'origin-failed', code, message: 'it failed' }))
    }
    if (this.#isFaulty()) return failWith(this.#one([1, 1_000, 30_000]))
    const { lengthBytes, isLengthUnknown } = this.#options
    const version = worldVersion(isLengthUnknown ? null : lengthBytes)
    const isUnchanged = mode === 'revalidate' && this.#random.next() < 0.8
    say(20, () => ({ type: 'origin-answered', kind: isUnchanged ? 'unchanged' : 'content', version }))
    if (isUnchanged) return say(21, () => ({ type: 'origin-ended' }))
    const end = untilPiece ?? this.#count
    const next = (piece: number): void =>
      say(30, () => {
        if (!this.#isPrepared) {
          next(piece)
          return null
        }
        if (piece >= end) {
          if (isLengthUnknown && untilPiece === null) this.#send({ type: 'origin-length', lengthBytes })
          return { type: 'origin-ended' }
        }
        if (this.#isFaulty()) {
          if (this.#random.next() < 0.3) return { type: 'origin-ended' }
          failWith(1)
          return null
        }
        if (!this.#machine.content.held.has(piece)) {
          const bytes = pieceBytes(worldVersion(lengthBytes).layout, piece)
          this.#watch.learnDigests([piece])
          this.#send({ type: 'origin-piece', piece, bytes })
        }
        next(piece + 1)
        return null
      })
    next(mode === 'resume' ? fromPiece : 0)
  }
}
