import { createHash } from 'node:crypto'
import { isVouchedFor } from '../core/digest.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import type { HostPort } from '../core/host-port.ts'
import type { PieceDigests } from '../core/piece-digests.ts'
import { type PieceLayout, pieceRange } from '../core/piece-layout.ts'
import type { PieceHash } from '../net/piece-answer.ts'
import type { FetchedPiece } from '../net/piece-client.ts'
import type { TaskFile } from '../store/task-file.ts'
import type { DownloadEvent, SourceId } from '../transfer/events.ts'
import type { ContentHash } from './content-hash.ts'
import type { Engine, TaskRequest } from './engine.ts'
import { PrefixHash } from './prefix-hash.ts'

/** What the fetcher needs of the run that it fetches for. */
export type PieceFetcherHost = {
  readonly engine: Engine
  readonly request: TaskRequest
  /** Digests that the supernode has vouched for. */
  readonly knownDigests: PieceDigests
  /** Of the whole content, where it is wanted. */
  readonly hash: ContentHash | null
  dispatch(event: DownloadEvent): void
  file(): TaskFile | null
  /** As the supernode says it; the file may learn its length a moment later. */
  layout(): PieceLayout
  token(): string
  addressOf(source: SourceId): HostPort | null
  onBytes(bytes: number): void
  /** Is told the bytes of one fetch too, which is about to begin. */
  receiver(piece: number, source: SourceId): (bytes: number) => void
  onPiece(piece: number, digest: Uint8Array): void
}

/** Pieces from other hosts: fetch, verify, store, and say what became of it. */
export class PieceFetcher {
  readonly #host: PieceFetcherHost
  readonly #fetches = new Map<string, AbortController>()

  constructor(host: PieceFetcherHost) {
    this.#host = host
  }

  /** Ends with an event: fetched, fetch-failed or stored-failed. */
  async fetch(piece: number, source: SourceId): Promise<void> {
    const { engine, request, dispatch, onBytes } = this.#host
    const receive = this.#host.receiver(piece, source)
    const controller = new AbortController()
    const key = `${piece}@${source}`
    this.#fetches.set(key, controller)
    try {
      const file = this.#host.file()
      if (!file) throw new DragonflyError('INTERNAL', 'a piece is fetched before there is a place for it')
      const fetched = await engine.pieces.fetch({
        ...this.#addressOf(source),
        taskId: request.taskId,
        token: this.#host.token(),
        range: pieceRange(this.#host.layout(), piece),
        buffers: engine.buffers,
        hash: memory => this.#hashOf(file, piece, memory),
        limiter: engine.limiter,
        signal: controller.signal,
        onBytes: bytes => {
          onBytes(bytes)
          receive(bytes)
        },
      })
      try {
        await this.#store(file, piece, fetched)
      } finally {
        engine.buffers.release(fetched.buffer)
      }
      const { bytes, elapsedMs } = fetched
      dispatch({ type: 'fetched', piece, source, bytes: bytes.length, elapsedMs })
    } catch (thrown) {
      this.#onError(piece, source, toDragonflyError(thrown))
    } finally {
      if (this.#fetches.get(key) === controller) this.#fetches.delete(key)
    }
  }

  cancel(piece: number, source: SourceId): void {
    this.#fetches.get(`${piece}@${source}`)?.abort(new DragonflyError('CANCELLED', 'not needed any more'))
  }

  /** The whole content of a small task, as it came with the layout. */
  async storeInline(content: Uint8Array, source: SourceId): Promise<void> {
    const file = this.#host.file()
    if (!file || file.held.has(0)) return
    try {
      const hash = createHash('sha256').update(content)
      await this.#store(file, 0, { bytes: content, digest: hash.digest(), hash })
      this.#host.onBytes(content.length)
      await this.#host.engine.limiter.take(content.length)
      this.#host.dispatch({ type: 'fetched', piece: 0, source, bytes: content.length, elapsedMs: 0 })
    } catch (thrown) {
      const { code, message } = toDragonflyError(thrown)
      this.#host.dispatch({ type: 'stored-failed', code, message })
    }
  }

  /** Asks a source what it holds. Ends with an event: source-holds or source-silent. */
  async askHeld(source: SourceId, generation: string | undefined): Promise<void> {
    const { engine, request, dispatch } = this.#host
    try {
      const answer = await engine.pieces.fetchHeld({
        ...this.#addressOf(source),
        taskId: request.taskId,
        token: this.#host.token(),
        signal: new AbortController().signal,
      })
      const pieces = answer.generation === generation ? [...answer.held.members()] : []
      dispatch({ type: 'source-holds', source, pieces })
    } catch {
      dispatch({ type: 'source-silent', source })
    }
  }

  #addressOf(source: SourceId): HostPort {
    const address = this.#host.addressOf(source)
    if (!address) throw new DragonflyError('SOURCE_GONE', 'the source is not known any more')
    return address
  }

  #hashOf(file: TaskFile, piece: number, memory: Uint8Array): PieceHash {
    const { hash, knownDigests } = this.#host
    const [digest, prefix] = [knownDigests.get(piece), knownDigests.prefix(piece)]
    const { start } = pieceRange(file.layout, piece)
    const isNear = hash?.isNear(file, start, file.layout.pieceLength)
    if (!hash || !isNear || !digest || !prefix) return createHash('sha256')
    return new PrefixHash(memory, { hash, file, start, digest, prefix })
  }

  /** The one gate through which bytes of other hosts come into a file. */
  async #store(
    file: TaskFile,
    piece: number,
    got: Pick<FetchedPiece, 'bytes' | 'digest' | 'hash'>,
  ): Promise<void> {
    const { knownDigests, hash } = this.#host
    const expected = knownDigests.get(piece)
    if (!isVouchedFor(expected, got.digest)) {
      throw new DragonflyError('DIGEST_MISMATCH', `piece ${piece} is not what the supernode says it is`)
    }
    const isNew = !file.has(piece)
    const stored = file.writePiece(piece, got.bytes, got.digest, knownDigests.prefix(piece))
    // Meanwhile, and from memory, which is what the file is about to have.
    const fork = got.hash instanceof PrefixHash ? got.hash.fork : null
    if (isNew) hash?.add(file, pieceRange(file.layout, piece).start, got.bytes, fork)
    await stored
    this.#host.onPiece(piece, got.digest)
  }

  #onError(piece: number, source: SourceId, error: DragonflyError): void {
    const { engine, request, dispatch } = this.#host
    const { code, message } = error
    if (code.startsWith('DISK_') || code === 'INTERNAL')
      return dispatch({ type: 'stored-failed', code, message })
    if (code !== 'CANCELLED') {
      engine.log.debug({ taskId: request.taskId, piece, source, code, cause: message }, 'piece failed')
    }
    dispatch({ type: 'fetch-failed', piece, source, code })
  }
}
