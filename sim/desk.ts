import type { ErrorCode } from '../src/core/error.ts'
import type { Flow, Link, Network } from './network.ts'

/** A consumer's request for one piece, as it arrives at the source. */
type PieceQuestion = {
  readonly piece: number
  readonly bytes: number
  /** Names the generation that the consumer wants. */
  readonly token: string
  /** Links behind the source's own. */
  readonly path: readonly Link[]
  onServed(value: number): void
  onRefused(code: ErrorCode): void
}

/** Whoever asks beyond that is refused. */
const WAITING_MAX = 1_024

type Upload = { readonly question: PieceQuestion; flow: Flow | null; isOver: boolean }

/** What a source sends: a few pieces at a time, in the order in which they were asked for; the others wait their turn. */
export class SimDesk {
  readonly up: Link
  readonly #network: Network
  readonly #activeMax: number
  readonly #read: (piece: number, token: string) => number | ErrorCode
  readonly #onSend: (piece: number, active: number) => void
  readonly #active = new Set<Upload>()
  readonly #waiting: Upload[] = []
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

  /** The returned function breaks off. */
  serve(question: PieceQuestion): () => void {
    if (this.#waiting.length >= WAITING_MAX) {
      question.onRefused('SOURCE_BUSY')
      return () => {}
    }
    const upload: Upload = { question, flow: null, isOver: false }
    this.#waiting.push(upload)
    this.#next()
    return () => {
      if (upload.isOver) return
      this.#end(upload)
      this.#next()
    }
  }

  /** Every connection is reset: everything breaks off, and who asked notices. */
  reset(): void {
    for (const upload of [...this.#active, ...this.#waiting]) {
      this.#end(upload)
      upload.question.onRefused('SOURCE_GONE')
    }
  }

  /** Everything breaks off; nobody is told. */
  stop(): void {
    for (const upload of [...this.#active, ...this.#waiting]) this.#end(upload)
  }

  #end(upload: Upload): void {
    upload.isOver = true
    if (upload.flow) this.sentBytes += this.#network.stop(upload.flow)
    this.#active.delete(upload)
    const at = this.#waiting.indexOf(upload)
    if (at >= 0) this.#waiting.splice(at, 1)
  }

  #next(): void {
    while (this.#active.size < this.#activeMax) {
      const upload = this.#waiting.shift()
      if (!upload) return
      const { piece, bytes, token, path, onServed, onRefused } = upload.question
      const value = this.#read(piece, token)
      if (typeof value === 'string') {
        upload.isOver = true
        onRefused(value)
        continue
      }
      this.#active.add(upload)
      this.#onSend(piece, this.#active.size)
      upload.flow = this.#network.start([this.up, ...path], bytes, () => {
        upload.isOver = true
        this.sentBytes += bytes
        this.#active.delete(upload)
        onServed(value)
        this.#next()
      })
    }
  }
}
