import assert from 'node:assert/strict'
import type { ErrorCode } from '../../src/core/error.ts'
import { type PieceLayout, pieceCount } from '../../src/core/piece-layout.ts'
import type { Download, Phase } from '../../src/transfer/download.ts'
import type { DownloadEffect, DownloadEvent, PieceFrom } from '../../src/transfer/events.ts'
import type { ReportBatch } from '../../src/transfer/report-batch.ts'

const ARROWS: Record<Phase, readonly Phase[]> = {
  announcing: ['preparing', 'receiving', 'verifying', 'failed'],
  preparing: ['receiving', 'verifying', 'failed'],
  receiving: ['verifying', 'failed'],
  verifying: ['complete', 'failed'],
  complete: [],
  failed: [],
}

const keyOf = ({ piece, source }: PieceFrom) => `${piece}@${source}`

/** Follows one download by its events and effects, and objects to whatever breaks a rule. */
export class DownloadWatch {
  code: ErrorCode | null = null
  readonly #machine: Download
  readonly #layout: PieceLayout
  readonly #window: number
  readonly #digests = new Set<number>()
  readonly #inFlight = new Set<string>()
  /** Assigned or fetched on its own account, and not in a report yet. */
  readonly #open = new Set<string>()
  /** Per piece: how often it was assigned although it was held. */
  readonly #inVain = new Map<number, number>()
  #phase: Phase = 'announcing'

  constructor(machine: Download, layout: PieceLayout, window: number) {
    this.#machine = machine
    this.#layout = layout
    this.#window = window
  }

  learnDigests(pieces: Iterable<number>): void {
    for (const piece of pieces) this.#digests.add(piece)
  }

  before(event: DownloadEvent): void {
    if (event.type === 'layout') this.learnDigests(event.knownDigests)
    if (event.type === 'digests') this.learnDigests(event.pieces)
    if (event.type === 'assigned') this.#noteAssigned(event.pieces)
    if (event.type === 'fetched' || event.type === 'fetch-failed') this.#inFlight.delete(keyOf(event))
  }

  after(event: DownloadEvent, effects: readonly DownloadEffect[]): void {
    const { phase, content } = this.#machine
    if (phase !== this.#phase) {
      assert.ok(ARROWS[this.#phase].includes(phase), `there is an arrow from ${this.#phase} to ${phase}`)
    }
    this.#phase = phase
    for (const effect of effects) {
      if (effect.type === 'fetch') {
        assert.ok(!content.held.has(effect.piece), `piece ${effect.piece} is not fetched once it is held`)
        assert.ok(this.#digests.has(effect.piece), `piece ${effect.piece} is fetched by a known digest`)
        assert.ok(!this.#inFlight.has(keyOf(effect)), `${keyOf(effect)} is fetched once at a time`)
        this.#inFlight.add(keyOf(effect))
        this.#open.add(keyOf(effect))
        const isOwn = event.type !== 'assigned' && event.type !== 'prepared'
        if (isOwn) assert.ok(this.#inFlight.size <= this.#window, 'alone it stays within its window')
      } else if (effect.type === 'cancel-fetch') {
        assert.ok(this.#inFlight.delete(keyOf(effect)), `${keyOf(effect)} was on its way when cancelled`)
      } else if (effect.type === 'fail') this.code = effect.code
    }
  }

  takeReport(report: ReportBatch): void {
    for (const each of [...report.done, ...report.failed, ...report.released]) {
      assert.ok(this.#open.delete(keyOf(each)), `${keyOf(each)} ends once`)
    }
    for (const piece of report.slow) {
      assert.ok(this.#digests.has(piece), `piece ${piece} was on its way when called slow`)
    }
  }

  /** Messages cross, so that what is held may be assigned all the same; but it is said, and then it does not happen again. */
  #noteAssigned(pieces: readonly PieceFrom[]): void {
    for (const each of pieces) {
      this.#open.add(keyOf(each))
      if (!this.#machine.content.held.has(each.piece)) continue
      const times = (this.#inVain.get(each.piece) ?? 0) + 1
      this.#inVain.set(each.piece, times)
      assert.ok(times < 20, `piece ${each.piece} is held and yet assigned ${times} times`)
    }
  }

  /** The end is the end, and the sums are right. */
  checkOver(now: number): void {
    const { phase, content, bytes } = this.#machine
    assert.ok(phase === 'complete' || phase === 'failed')
    const later: DownloadEvent[] = [
      { type: 'tick' },
      { type: 'cancelled' },
      { type: 'supernode-lost' },
      { type: 'assigned', pieces: [{ piece: 0, source: 'late' }] },
      { type: 'origin-failed', code: 'ORIGIN_ERROR', message: '' },
    ]
    for (const event of later) assert.deepEqual(this.#machine.step(event, now + 1), [], event.type)
    assert.equal(this.#machine.waits.reason, null)
    assert.equal(this.code === null, phase === 'complete')
    if (phase === 'failed') return
    assert.equal(content.held.count, pieceCount(this.#layout))
    assert.equal(bytes.origin + bytes.supernode + bytes.peers + bytes.local, this.#layout.lengthBytes)
    assert.deepEqual([...this.#open], [], 'every assignment has ended')
    assert.deepEqual([...this.#inFlight], [], 'nothing is on its way any more')
  }
}
