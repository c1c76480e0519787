import type { ErrorCode } from '../src/core/error.ts'
import type { Generation } from '../src/core/generation.ts'
import { layoutFor, type PieceLayout, pieceCount, pieceRange } from '../src/core/piece-layout.ts'
import type { Random } from '../src/core/random.ts'
import type { Version } from '../src/core/version.ts'
import type { DownloadEffect } from '../src/transfer/events.ts'
import type { EventQueue } from './event-queue.ts'
import { type Flow, type Link, type Network, newLink } from './network.ts'

/** Where the bytes come from. What a piece contains is a number that follows from generation and index. */

type OriginPlan = {
  readonly lengthBytes: number
  /** Forces a piece length; null lets the product choose. */
  readonly pieceLength: number | null
  readonly rateBytesPerSecond: number
  readonly hasLength: boolean
  readonly hasRanges: boolean
}

/** What one reader is told, in order. */
type OriginListener = {
  onAnswer(kind: 'content' | 'unchanged', version: Version): void
  /** May be one that the reader has. */
  onPiece(piece: number, value: number, bytes: number): void
  onLength(lengthBytes: number): void
  onEnd(): void
  onFailure(code: ErrorCode): void
}

const ANSWER_SECONDS = 0.02

export class SimOrigin {
  readonly plan: OriginPlan
  readonly link: Link
  readonly layout: PieceLayout & { lengthBytes: number }
  /** Share of requests that fail, half of them at once and half in mid-body. */
  failureRate = 0
  /** Body bytes sent, by whom they were read. */
  readonly sentBytes = new Map<string, number>()
  readonly #queue: EventQueue
  readonly #network: Network
  readonly #random: Random
  readonly #onPiece: (reader: string, piece: number) => void
  #generation = 1

  constructor(
    plan: OriginPlan,
    outside: {
      queue: EventQueue
      network: Network
      random: Random
      onPiece(reader: string, piece: number): void
    },
  ) {
    this.plan = plan
    this.link = newLink(plan.rateBytesPerSecond)
    const { lengthBytes, pieceLength, hasLength } = plan
    const chosen = layoutFor(hasLength ? lengthBytes : null)
    this.layout = { lengthBytes, pieceLength: pieceLength ?? chosen.pieceLength }
    this.#queue = outside.queue
    this.#network = outside.network
    this.#random = outside.random
    this.#onPiece = outside.onPiece
  }

  /** What the origin has at this moment. */
  get version(): Version {
    const { hasLength } = this.plan
    return versionOf(this.#generation, hasLength ? this.layout : { ...this.layout, lengthBytes: null })
  }

  get totalSentBytes(): number {
    let sum = 0
    for (const bytes of this.sentBytes.values()) sum += bytes
    return sum
  }

  /** Replaces the content by another of the same length. */
  change(): void {
    this.#generation++
  }

  /** Reads as `open-origin` asks; the returned function breaks off. */
  read(
    ask: Extract<DownloadEffect, { type: 'open-origin' }> & { known: Version | null },
    reader: { name: string; down: Link },
    listener: OriginListener,
  ): () => void {
    let flow: Flow | null = null
    let isOver = false
    const stop = () => {
      isOver = true
      if (flow) this.#count(reader.name, this.#network.stop(flow))
      flow = null
    }
    const willFail = this.#random.next() < this.failureRate
    const failsAfter = willFail && this.#random.next() < 0.5 ? 1 + Math.floor(this.#random.next() * 8) : 0
    const generation = this.#generation
    const fail = (code: ErrorCode) => {
      if (isOver) return
      stop()
      listener.onFailure(code)
    }
    const next = (piece: number, end: number, sent: number) => {
      if (isOver) return
      if (willFail && sent >= failsAfter) return fail('ORIGIN_TRUNCATED')
      if (generation !== this.#generation) return fail('ORIGIN_CHANGED')
      if (piece >= end) {
        isOver = true
        if (!this.plan.hasLength && end === pieceCount(this.layout)) listener.onLength(this.plan.lengthBytes)
        return listener.onEnd()
      }
      const { start, end: until } = pieceRange(this.layout, piece)
      flow = this.#network.start([this.link, reader.down], until - start, () => {
        flow = null
        this.#count(reader.name, until - start)
        this.#onPiece(reader.name, piece)
        listener.onPiece(piece, pieceValue(generation, piece), until - start)
        next(piece + 1, end, sent + 1)
      })
    }
    this.#queue.after(ANSWER_SECONDS, () => {
      if (isOver) return
      if (willFail && failsAfter === 0) return fail('ORIGIN_UNREACHABLE')
      const isSame = ask.known?.generation === this.version.generation
      if (ask.mode === 'revalidate' && isSame) {
        listener.onAnswer('unchanged', this.version)
        isOver = true
        return listener.onEnd()
      }
      listener.onAnswer('content', this.version)
      const from = ask.mode === 'resume' && this.plan.hasRanges && isSame ? ask.fromPiece : 0
      next(from, (isSame && this.plan.hasRanges ? ask.untilPiece : null) ?? pieceCount(this.layout), 0)
    })
    return stop
  }

  #count(reader: string, bytes: number): void {
    this.sentBytes.set(reader, (this.sentBytes.get(reader) ?? 0) + bytes)
  }
}

function versionOf(generation: number, layout: PieceLayout): Version {
  return {
    generation: generation.toString(16).padStart(16, '0') as Generation,
    validator: { etag: `"${generation}"`, lastModified: null },
    layout,
  }
}

/** The content of a piece. Never 0, which is what a disk holds that was never written, or lost what was. */
export function pieceValue(generation: number, piece: number): number {
  let mixed = Math.imul(generation * 0x9e3779b1 + piece + 1, 0x85ebca6b)
  mixed ^= mixed >>> 15
  return Math.imul(mixed, 0xc2b2ae35) >>> 0 || 1
}

/** What becomes of a piece that is damaged on its way, or that a liar sends. */
export function damaged(value: number): number {
  return (value ^ 0x55555555) >>> 0
}

export function generationIn(version: Version): number {
  return Number.parseInt(version.generation, 16)
}
