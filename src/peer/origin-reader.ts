import { createHash, type Hash } from 'node:crypto'
import { type Digest, digestOf } from '../core/digest.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { generationOf, hasValidator } from '../core/generation.ts'
import { layoutFor } from '../core/piece-layout.ts'
import type { Version } from '../core/version.ts'
import { randomName } from '../ops/system-random.ts'
import type { OriginAnswer } from '../origin/origin.ts'
import type { TaskFile } from '../store/task-file.ts'
import type { DownloadEvent, OriginMode } from '../transfer/events.ts'
import type { Engine, TaskRequest } from './engine.ts'
import { pumpOrigin } from './origin-pump.ts'

/** What the reader needs of the run that it reads for. */
export type OriginReaderHost = {
  readonly engine: Engine
  readonly request: TaskRequest
  dispatch(event: DownloadEvent): void
  /** The version as far as it is known, and whether it is settled. */
  version(): { version: Version | null; isConfirmed: boolean }
  /** The settled version's place on disk, once it is made. */
  preparedFile(): Promise<TaskFile | null>
  expectedDigest(piece: number): Uint8Array | null
  onBytes(bytes: number): void
  onPiece(piece: number, digest: Uint8Array): void
}

type OriginStretch = {
  readonly mode: OriginMode
  readonly fromPiece: number
  readonly untilPiece: number | null
}

/** Back-to-source for one run: asks the origin, says which version that is, and pumps the body into the file. */
export class OriginReader {
  readonly #host: OriginReaderHost
  /** Stands for a version that the origin does not name. */
  readonly #nonce = randomName()
  #controller: AbortController | null = null
  #bytes = 0
  #stream: { hash: Hash; position: number } | null = null

  constructor(host: OriginReaderHost) {
    this.#host = host
  }

  /** Received from the origin, repetitions included. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether what goes by is hashed, from the first byte to the last. */
  get isHashing(): boolean {
    return this.#controller !== null && this.#stream !== null
  }

  /** Digest of the whole content, where it went by in one piece. */
  digestOfStream(lengthBytes: number | null): Digest | null {
    const stream = this.#stream
    return stream && stream.position === lengthBytes ? digestOf(stream.hash.copy().digest()) : null
  }

  close(): void {
    this.#controller?.abort(new DragonflyError('CANCELLED', 'not needed any more'))
    this.#controller = null
  }

  /** Ends with an event: origin-ended or origin-failed, unless it was closed. */
  async read(stretch: OriginStretch): Promise<void> {
    const controller = new AbortController()
    this.#controller = controller
    const { signal } = controller
    let answer: OriginAnswer | null = null
    try {
      answer = await this.#open(stretch, signal)
      signal.throwIfAborted()
      this.#host.dispatch({ type: 'origin-answered', kind: answer.kind, version: this.#versionOf(answer) })
      const file = await this.#host.preparedFile()
      if (answer.kind === 'content' && file && !signal.aborted)
        await this.#pump({ answer, stretch, file, signal })
      if (!signal.aborted) this.#host.dispatch({ type: 'origin-ended' })
    } catch (thrown) {
      if (signal.aborted) return
      const { code, message } = toDragonflyError(thrown)
      this.#host.dispatch({
        type: code.startsWith('DISK_') ? 'stored-failed' : 'origin-failed',
        code,
        message,
      })
    } finally {
      answer?.body.close()
      if (this.#controller === controller) this.#controller = null
    }
  }

  #open(stretch: OriginStretch, signal: AbortSignal): Promise<OriginAnswer> {
    const { engine, request } = this.#host
    const { version } = this.#host.version()
    const pieceLength = version?.layout.pieceLength ?? 0
    return engine.origin.open({
      url: request.url,
      headers: request.headers,
      proxies: request.proxies,
      startByte: stretch.fromPiece * pieceLength,
      endByte: stretch.untilPiece === null ? null : stretch.untilPiece * pieceLength,
      validator: stretch.mode === 'fresh' ? null : (version?.validator ?? null),
      isRevalidation: stretch.mode === 'revalidate',
      signal,
    })
  }

  /**
   * Which version this is. Content without any validator is taken for the version under way if the length fits: then every piece that
   * is held is compared as it comes by again.
   */
  #versionOf({ validator, lengthBytes }: OriginAnswer): Version {
    const { version, isConfirmed } = this.#host.version()
    const { expectedDigest } = this.#host.request
    const isNameless = !hasValidator(validator) && expectedDigest === null
    if (version && isConfirmed && isNameless && !hasValidator(version.validator)) {
      const isSameLength = lengthBytes === null || [lengthBytes, null].includes(version.layout.lengthBytes)
      if (isSameLength) return version
    }
    const generation = generationOf(
      { expectedDigest: expectedDigest ?? undefined, validator, lengthBytes, nonce: this.#nonce },
      bytes => createHash('sha256').update(bytes).digest(),
    )
    if (version?.generation === generation && lengthBytes === null) return version
    return { generation, validator, layout: layoutFor(lengthBytes) }
  }

  async #pump(body: {
    answer: OriginAnswer
    stretch: OriginStretch
    file: TaskFile
    signal: AbortSignal
  }): Promise<void> {
    const { answer, stretch, file, signal } = body
    const { engine, dispatch, onBytes, onPiece, expectedDigest, preparedFile } = this.#host
    const isWhole = answer.startByte === 0 && stretch.untilPiece === null
    const isPromised = this.#host.request.expectedDigest !== null
    this.#stream = isPromised && isWhole ? { hash: createHash('sha256'), position: 0 } : null
    await pumpOrigin({
      body: answer.body,
      file,
      buffers: engine.buffers,
      limiter: engine.limiter,
      signal,
      fromPiece: answer.startByte / file.layout.pieceLength,
      untilPiece: stretch.untilPiece,
      expectedDigest: piece => expectedDigest(piece) ?? file.digests.get(piece),
      onBytes: bytes => {
        this.#bytes += bytes.length
        onBytes(bytes.length)
        if (!this.#stream) return
        this.#stream.hash.update(bytes)
        this.#stream.position += bytes.length
      },
      prefixDigest: () => this.#stream?.hash.copy().digest() ?? null,
      onLength: async lengthBytes => {
        dispatch({ type: 'origin-length', lengthBytes })
        await preparedFile()
      },
      onPiece: (piece, digest, bytes) => {
        onPiece(piece, digest)
        dispatch({ type: 'origin-piece', piece, bytes })
      },
    })
  }
}
