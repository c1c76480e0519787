import { Bitmap } from '../src/core/bitmap.ts'
import { DIGEST_BYTES, isVouchedFor } from '../src/core/digest.ts'
import type { ErrorCode } from '../src/core/error.ts'
import { pieceBytes, pieceCount } from '../src/core/piece-layout.ts'
import type { Random } from '../src/core/random.ts'
import { Download } from '../src/transfer/download.ts'
import { DEFAULT_LIMITS } from '../src/transfer/download-options.ts'
import type { DownloadEffect, DownloadEvent } from '../src/transfer/events.ts'
import type { Reader } from '../src/transfer/reader.ts'
import { digestOfValue, type SimDisk } from './disk.ts'
import type { EventQueue } from './event-queue.ts'
import type { Link } from './network.ts'
import type { SimOrigin } from './origin.ts'
import type { ProcessClock } from './process-clock.ts'

/** What a run needs of the process that it runs in. Nothing of it is called after the process has died. */
type RunHost = {
  readonly name: string
  readonly queue: EventQueue
  readonly clock: ProcessClock
  readonly random: Random
  readonly origin: SimOrigin
  readonly disk: SimDisk
  readonly down: Link
  readonly hasSupernode: boolean
  readonly reader: Reader | null
  /** Digests that the supernode has vouched for; 0 is unknown. */
  expectedValue(piece: number): number
  announce(): void
  fetch(piece: number, source: string): void
  cancelFetch(piece: number, source: string): void
  askHeld(source: string): void
  onVersion(): void
  onPiece(piece: number, value: number): void
  onLength(lengthBytes: number): void
  onOver(code: ErrorCode | null): void
  /** After each event, so that what came up is reported. */
  afterStep(): void
}

/** Of the piece that is looked at. */
const VOUCHED = new Uint8Array(DIGEST_BYTES)
const RECEIVED = new Uint8Array(DIGEST_BYTES)

const PREPARE_SECONDS = 0.003
const VERIFY_SECONDS = 0.01

/** One download of the shipped state machine, with a simulated disk and a simulated origin. */
export class SimRun {
  readonly machine: Download
  readonly #host: RunHost
  #stopOrigin = () => {}
  #isDead = false
  #isVersionNoticed = false

  constructor(host: RunHost) {
    this.#host = host
    const { clock, disk, hasSupernode, reader, random } = host
    const stored = disk.version && {
      version: disk.version,
      held: copyOf(disk.journal),
      knownDigests: [...disk.journal.members()],
    }
    this.machine = new Download({ hasSupernode, reader, limits: DEFAULT_LIMITS, random, stored }, clock.now())
  }

  begin(): void {
    this.#perform(this.machine.begin(this.#host.clock.now()))
  }

  send(event: DownloadEvent): void {
    if (this.#isDead) return
    this.#perform(this.machine.step(event, this.#host.clock.now()))
    this.#noticeVersion()
    this.#host.afterStep()
  }

  /** The process dies. */
  kill(): void {
    this.#isDead = true
    this.#stopOrigin()
  }

  /** A piece has come from another host. */
  receive(piece: number, source: string, got: { value: number; elapsedMs: number }): void {
    if (this.#isDead || this.machine.isOver) return
    const { version } = this.machine.content
    const { disk, expectedValue, onPiece } = this.#host
    const expected = expectedValue(piece)
    const vouched = expected === 0 ? null : digestOfValue(expected, VOUCHED)
    if (!version || !isVouchedFor(vouched, digestOfValue(got.value, RECEIVED))) {
      return this.send({ type: 'fetch-failed', piece, source, code: 'DIGEST_MISMATCH' })
    }
    const isNew = !disk.journal.has(piece)
    if (isNew && !disk.write(piece, got.value)) return this.#failDisk()
    if (isNew) onPiece(piece, got.value)
    const bytes = pieceBytes(this.#host.origin.layout, piece)
    this.send({ type: 'fetched', piece, source, bytes, elapsedMs: got.elapsedMs })
  }

  #failDisk(): void {
    const code = this.#host.disk.isBroken ? 'DISK_ERROR' : 'DISK_FULL'
    this.send({ type: 'stored-failed', code, message: 'the disk does not take it' })
  }

  #noticeVersion(): void {
    const { phase, isConfirmed } = this.machine
    if (this.#isVersionNoticed || !isConfirmed || phase === 'preparing' || phase === 'failed') return
    this.#isVersionNoticed = true
    this.#host.onVersion()
  }

  #perform(effects: readonly DownloadEffect[]): void {
    for (const effect of effects) this.#performOne(effect)
  }

  #performOne(effect: DownloadEffect): void {
    const { queue, disk } = this.#host
    switch (effect.type) {
      case 'announce':
        return this.#host.announce()
      case 'adopt': {
        const { layout } = effect.version
        disk.adopt(effect.version, layout.lengthBytes === null ? 0 : pieceCount(layout))
        queue.after(PREPARE_SECONDS, () => this.send({ type: 'prepared' }))
        return
      }
      case 'seal':
        disk.version = this.machine.content.version
        disk.journal.resize(this.machine.content.pieceCount!)
        return this.#host.onLength(effect.lengthBytes)
      case 'fetch':
        return this.#host.fetch(effect.piece, effect.source)
      case 'cancel-fetch':
        return this.#host.cancelFetch(effect.piece, effect.source)
      case 'ask-held':
        return this.#host.askHeld(effect.source)
      case 'open-origin':
        return this.#readOrigin(effect)
      case 'close-origin':
        return this.#stopOrigin()
      case 'verify':
        queue.after(VERIFY_SECONDS, () => {
          if (this.#isDead) return
          disk.sync()
          this.send({ type: 'verified', digest: null })
        })
        return
      case 'complete':
        return this.#host.onOver(null)
      case 'fail':
        this.#stopOrigin()
        if (effect.isDiscarded && (this.machine.isConfirmed || FOUND_WRONG.has(effect.code))) disk.discard()
        return this.#host.onOver(effect.code)
    }
  }

  #readOrigin(effect: Extract<DownloadEffect, { type: 'open-origin' }>): void {
    this.#stopOrigin()
    const { origin, name, down } = this.#host
    const known = this.machine.content.version
    this.#stopOrigin = origin.read(
      { ...effect, known },
      { name, down },
      {
        onAnswer: (kind, version) => this.send({ type: 'origin-answered', kind, version }),
        onPiece: (piece, value, bytes) => this.#onOriginPiece(piece, value, bytes),
        onLength: lengthBytes => this.send({ type: 'origin-length', lengthBytes }),
        onEnd: () => this.send({ type: 'origin-ended' }),
        onFailure: code => this.send({ type: 'origin-failed', code, message: 'simulated' }),
      },
    )
  }

  #onOriginPiece(piece: number, value: number, bytes: number): void {
    if (this.#isDead) return
    const { disk, expectedValue, onPiece } = this.#host
    const expected = expectedValue(piece) || (disk.journal.has(piece) ? disk.read(piece) : 0)
    if (expected !== 0 && expected !== value) {
      return this.send({ type: 'origin-failed', code: 'ORIGIN_CHANGED', message: 'other bytes than before' })
    }
    if (disk.journal.has(piece)) return
    if (!disk.write(piece, value)) return this.#failDisk()
    onPiece(piece, value)
    this.send({ type: 'origin-piece', piece, bytes })
  }
}

const FOUND_WRONG: ReadonlySet<ErrorCode> = new Set(['ORIGIN_CHANGED', 'DIGEST_MISMATCH'])

function copyOf(bitmap: Bitmap): Bitmap {
  return Bitmap.decode(bitmap.encode(), bitmap.size)
}
