import type { Clock } from '../core/clock.ts'
import { pieceBytes } from '../core/piece-layout.ts'
import type { Download } from '../transfer/download.ts'
import type { DownloadEffect, DownloadEvent, PieceFrom, SourceId } from '../transfer/events.ts'
import { STANDSTILL_MS } from '../transfer/lived-time.ts'
import { ORIGIN, RunSources } from './run-sources.ts'
import { RunTimes, type TimeReason } from './run-times.ts'

type Fetch = PieceFrom & { readonly since: number; readonly wantedBytes: number; bytes: number }

/** An origin that was silent for so long is waited for. */
const ORIGIN_QUIET_MS = 1_000

/**
 * Watches a run, so that it can be said afterwards where its time went and who brought what: it hears each event and what the machine
 * made of it, and the bytes as they come.
 */
export class RunJournal {
  readonly startedWallMs: number
  readonly #clock: Clock
  readonly #times: RunTimes
  readonly #sources = new RunSources()
  readonly #fetches = new Map<string, Fetch>()
  #machine: Download | null = null
  #retries = 0
  #isStoring = false
  #originHeardAt = Number.NEGATIVE_INFINITY
  #isOriginSending = false

  /** Until there is a machine, what is stored of the task is looked through. */
  constructor(clock: Clock) {
    this.#clock = clock
    this.startedWallMs = clock.wallNow()
    this.#times = new RunTimes('disk', clock.now())
  }

  /** After each step of the machine, and after its beginning, which is no event. */
  note(event: DownloadEvent | null, effects: readonly DownloadEffect[], machine: Download): void {
    const now = this.#clock.now()
    this.#machine = machine
    const lostMs = event?.type === 'tick' ? now - this.#times.since - STANDSTILL_MS : 0
    if (event) this.#onEvent(event, effects, now)
    for (const effect of effects) this.#onEffect(effect, now)
    this.#times.switchTo(this.#reason(now), now, Math.max(0, lostMs))
  }

  /** For the bytes of one fetch, as they come. */
  receiver(piece: number, source: SourceId): (bytes: number) => void {
    const fetch = this.#fetches.get(keyOf(piece, source))
    return bytes => {
      if (!fetch) return
      const isFirst = fetch.bytes === 0
      fetch.bytes += bytes
      if (isFirst && this.#fetches.get(keyOf(piece, source)) === fetch)
        this.#sources.begin(source, this.#clock.now())
      if (isFirst || fetch.bytes >= fetch.wantedBytes) this.#look()
    }
  }

  originBytes(): void {
    const now = this.#clock.now()
    const wasQuiet = now - this.#originHeardAt > ORIGIN_QUIET_MS
    this.#originHeardAt = now
    if (!this.#isOriginSending) {
      this.#isOriginSending = true
      this.#sources.begin(ORIGIN, now)
    }
    if (wasQuiet) this.#look()
  }

  /** From now until a piece has come, something is written or synced that the machine does not know as such. */
  storing(): void {
    this.#isStoring = true
    this.#look()
  }

  summary(): ReturnType<RunTimes['totals']> & ReturnType<RunSources['summary']> {
    const now = this.#clock.now()
    return { ...this.#times.totals(now), ...this.#sources.summary(now) }
  }

  #look(): void {
    const now = this.#clock.now()
    this.#times.switchTo(this.#reason(now), now)
  }

  #onEvent(event: DownloadEvent, effects: readonly DownloadEffect[], now: number): void {
    const retries = this.#machine!.retries - this.#retries
    this.#retries += retries
    switch (event.type) {
      case 'fetched': {
        const kind = event.source === this.#machine!.seedSource ? 'supernode' : 'peer'
        this.#sources.brought(event.source, kind, event.bytes)
        this.#isStoring = false
        return this.#endFetch(event, now)
      }
      case 'fetch-failed':
        if (event.code === 'CANCELLED') return
        if (retries > 0) this.#sources.failed(event.source, event.code)
        return this.#endFetch(event, now)
      case 'origin-piece':
        return this.#sources.brought(ORIGIN, 'origin', event.bytes)
      case 'origin-failed':
        if (retries > 0) this.#sources.failed(ORIGIN, event.code)
        return this.#endOrigin(now)
      case 'origin-ended':
        if (retries > 0) this.#sources.failed(ORIGIN, 'ORIGIN_TRUNCATED')
        return this.#endOrigin(now)
      case 'tick': {
        // Only in a tick does the machine give up what is late, and it does that first.
        const cancelled = effects.filter(effect => effect.type === 'cancel-fetch')
        for (const { source } of cancelled.slice(0, retries)) this.#sources.failed(source, 'SOURCE_SLOW')
      }
    }
  }

  #onEffect(effect: DownloadEffect, now: number): void {
    if (effect.type === 'cancel-fetch') return this.#endFetch(effect, now)
    if (effect.type === 'close-origin') return this.#endOrigin(now)
    if (effect.type === 'open-origin') this.#originHeardAt = Number.NEGATIVE_INFINITY
    if (effect.type !== 'fetch') return
    const { piece, source } = effect
    const layout = this.#machine!.content.version?.layout
    const wantedBytes =
      layout && layout.lengthBytes !== null ? pieceBytes(layout, piece) : Number.POSITIVE_INFINITY
    this.#fetches.set(keyOf(piece, source), { piece, source, since: now, wantedBytes, bytes: 0 })
  }

  #endFetch({ piece, source }: PieceFrom, now: number): void {
    const fetch = this.#fetches.get(keyOf(piece, source))
    if (!fetch) return
    this.#fetches.delete(keyOf(piece, source))
    if (fetch.bytes > 0) this.#sources.end(source, now)
  }

  #endOrigin(now: number): void {
    this.#originHeardAt = Number.NEGATIVE_INFINITY
    if (!this.#isOriginSending) return
    this.#isOriginSending = false
    this.#sources.end(ORIGIN, now)
  }

  /** What the time from now on belongs to. */
  #reason(now: number): TimeReason {
    const machine = this.#machine
    if (machine === null || machine.isOver || this.#isStoring || machine.phase === 'preparing') return 'disk'
    if (machine.phase === 'verifying') return 'digest'
    const isOriginHeard = now - this.#originHeardAt <= ORIGIN_QUIET_MS
    if (this.#fetches.size === 0) return machine.waits.reason ?? (isOriginHeard ? 'transfer' : 'origin')
    return isOriginHeard ? 'transfer' : this.#reasonOfFetches(machine.hedgeAfterMs, now)
  }

  /** @param lateAfterMs the machine's own rule */
  #reasonOfFetches(lateAfterMs: number, now: number): TimeReason {
    let reason: TimeReason = 'slow'
    for (const { since, bytes, wantedBytes } of this.#fetches.values()) {
      if (bytes >= wantedBytes) reason = 'disk'
      else if (now - since > lateAfterMs) continue
      else if (bytes > 0) return 'transfer'
      else if (reason === 'slow') reason = 'slot'
    }
    return reason
  }
}

function keyOf(piece: number, source: SourceId): string {
  return `${piece}@${source}`
}
