import type { ErrorCode } from '../src/core/error.ts'
import { removeFrom } from '../src/core/remove-from.ts'
import type { Flow, Link, Network } from './network.ts'

/** A consumer that asks for one piece, as its request arrives at the source. */
export type Asker = {
  readonly piece: number
  readonly bytes: number
  /** Names the generation that the consumer wants. */
  readonly token: string
  /** From the source to itself. */
  readonly path: readonly Link[]
  onServed(value: number): void
  onRefused(code: ErrorCode): void
  /** The source has died, perhaps so that nobody is told. */
  onSourceGone(isSilent: boolean): void
}

/** Whoever asks beyond that is refused. */
const WAITING_MAX = 1_024

export type Upload = { readonly asker: Asker; flow: Flow | null; isOver: boolean }

/** What a source sends: a few pieces at a time, in the order in which they were asked for; the others wait their turn. */
export class SimDesk {
  readonly up: Link
  readonly #network: Network
  readonly #activeMax: number
  readonly #read: (piece: number, token: string) => number | ErrorCode
  readonly #onSend: (piece: number, active: number) => void
  readonly #active: Upload[] = []
  readonly #waiting: Upload[] = []
  /** Who has asked, and does not have the answer yet. */
  readonly #askers: Asker[] = []
  sentBytes = 0

  constructor(options: {
    network: Network
    up: Link
    activeMax: number
    /** The piece's content, or why not. */
    read(piece: number, token: string): number | ErrorCode
    onSend(piece: number, active: number): void
  }) {
    this.#network = options.network
    this.up = options.up
    this.#activeMax = options.activeMax
    this.#read = options.read
    this.#onSend = options.onSend
  }

  /** Returns null where too many wait already. */
  serve(asker: Asker): Upload | null {
    this.#askers.push(asker)
    if (this.#waiting.length >= WAITING_MAX) {
      asker.onRefused('SOURCE_BUSY')
      return null
    }
    const upload: Upload = { asker, flow: null, isOver: false }
    if (this.#isFull) this.#waiting.push(upload)
    else this.#begin(upload)
    return upload
  }

  /** Breaks it off. */
  giveUp(upload: Upload): void {
    if (upload.isOver) return
    this.#end(upload)
    this.#next()
  }

  /** It has its answer, or does not want it any more. */
  forget(asker: Asker): void {
    removeFrom(this.#askers, asker)
  }

  /** Every connection is reset: everything breaks off, and who asked notices. */
  reset(): void {
    for (const upload of [...this.#active, ...this.#waiting]) {
      this.#end(upload)
      upload.asker.onRefused('SOURCE_GONE')
    }
  }

  /** Everything breaks off; nobody is told. */
  stop(): void {
    for (const upload of [...this.#active, ...this.#waiting]) this.#end(upload)
  }

  /** The process has died. */
  tellGone(isSilent: boolean): void {
    for (const asker of this.#askers.splice(0)) asker.onSourceGone(isSilent)
  }

  #end(upload: Upload): void {
    upload.isOver = true
    if (upload.flow) this.sentBytes += this.#network.stop(upload.flow)
    removeFrom(this.#active, upload)
    removeFrom(this.#waiting, upload)
  }

  get #isFull(): boolean {
    return this.#active.length >= this.#activeMax
  }

  #next(): void {
    while (this.#waiting.length > 0 && !this.#isFull) this.#begin(this.#waiting.shift()!)
  }

  #begin(upload: Upload): void {
    const { asker } = upload
    const { piece, bytes, token, path } = asker
    const value = this.#read(piece, token)
    if (typeof value === 'string') {
      upload.isOver = true
      asker.onRefused(value)
      return
    }
    this.#active.push(upload)
    this.#onSend(piece, this.#active.length)
    upload.flow = this.#network.start(path, bytes, () => {
      upload.isOver = true
      this.sentBytes += bytes
      removeFrom(this.#active, upload)
      asker.onServed(value)
      this.#next()
    })
  }
}
