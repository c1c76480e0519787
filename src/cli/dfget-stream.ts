import { type FileHandle, open } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { DragonflyError } from '../core/error.ts'
import { systemClock } from '../ops/system-clock.ts'
import type { Readable, RunResult } from '../wire/local.ts'
import type { DownloadCommand } from './dfget-download.ts'
import { lastEvent } from './peer-answer.ts'
import { askStartedPeer } from './peer-process.ts'
import { persist } from './persistence.ts'

const BLOCK_BYTES = 256 * 1024

/**
 * Passes the content on in order while it comes. The peer says how much of its file is verified, and that much is read of it; a slow
 * reader holds nothing up but itself. A try that fails is gone on from where the reader is, as long as the content is the same.
 * @throws DragonflyError also where the reader goes away (OUTPUT_INVALID)
 */
export async function streamDownload(command: DownloadCommand, sink: Writable): Promise<RunResult> {
  const passage = new Passage(sink)
  return persist(command, () => streamOnce(command, passage))
}

async function streamOnce(command: DownloadCommand, passage: Passage): Promise<RunResult> {
  const { signal } = command
  const startedAt = systemClock.now()
  const ask = { method: 'POST', path: '/downloads', body: command.request, signal }
  const answer = await askStartedPeer(command.home, command.peerStart, ask)
  const ended = Promise.withResolvers<never>()
  const fail = (thrown: unknown) => ended.reject(thrown)
  const onAbort = () => fail(signal.reason)
  signal.addEventListener('abort', onAbort)
  ended.promise.catch(() => {})
  try {
    const told = lastEvent(answer, ({ progress, readable }) => {
      command.view.update(progress)
      if (readable) passage.extend(readable).catch(fail)
    })
    const result = await Promise.race([told, ended.promise])
    await Promise.race([passage.drained(), ended.promise])
    passage.assertAt(result.lengthBytes)
    return { ...result, seconds: (systemClock.now() - startedAt) / 1000 }
  } finally {
    signal.removeEventListener('abort', onAbort)
    answer.destroy()
    await passage.close()
  }
}

/** What has been passed on so far, over all tries. */
class Passage {
  readonly #sink: Writable
  #file: FileHandle | null = null
  #path = ''
  #generation: string | null = null
  #writtenBytes = 0
  #readableBytes = 0
  #pumping: Promise<void> = Promise.resolve()
  #isPumping = false
  readonly #block = Buffer.allocUnsafe(BLOCK_BYTES)

  constructor(sink: Writable) {
    this.#sink = sink
    // The write that failed says so, too.
    sink.on('error', () => {})
  }

  /** Resolves when all that may be read is passed on. */
  async extend({ path, generation, endByte }: Readable): Promise<void> {
    if (this.#writtenBytes > 0 && generation !== this.#generation) {
      throw new DragonflyError('OUTPUT_INVALID', 'the content changed after a part of it had been passed on')
    }
    this.#generation = generation
    this.#readableBytes = endByte
    this.#path = path
    if (!this.#isPumping) this.#pumping = this.#pump()
    return this.#pumping
  }

  drained(): Promise<void> {
    return this.#pumping
  }

  assertAt(lengthBytes: number): void {
    if (this.#writtenBytes === lengthBytes) return
    throw new DragonflyError('DISK_ERROR', "the peer's copy is shorter than the content")
  }

  /** Of this try. The next one may find the peer's copy in another place. */
  async close(): Promise<void> {
    this.#readableBytes = 0
    const file = this.#file
    this.#file = null
    await file?.close().catch(() => {})
  }

  /** Says that it is over in the very step in which it looked last, so that what becomes readable then starts it again. */
  async #pump(): Promise<void> {
    this.#isPumping = true
    try {
      while (this.#writtenBytes < this.#readableBytes) {
        const path = this.#path
        this.#file ??= await open(path).catch(() => null)
        if (this.#file === null) {
          // It is moved when it is complete, and its next name comes, or has come, with the next word from the peer.
          if (path === this.#path) return
          continue
        }
        const wanted = Math.min(BLOCK_BYTES, this.#readableBytes - this.#writtenBytes)
        const { bytesRead } = await this.#file.read(this.#block, 0, wanted, this.#writtenBytes)
        if (bytesRead === 0) return
        await this.#write(this.#block.subarray(0, bytesRead))
        this.#writtenBytes += bytesRead
      }
    } finally {
      this.#isPumping = false
    }
  }

  /** Resolves when the sink has taken it, so that the block may be used again. */
  #write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#sink.write(bytes, cause => {
        if (!cause) resolve()
        else reject(new DragonflyError('OUTPUT_INVALID', sayWhy(cause), { cause }))
      })
    })
  }
}

function sayWhy(cause: NodeJS.ErrnoException): string {
  return cause.code === 'EPIPE'
    ? 'nobody reads standard output any more'
    : `standard output: ${cause.message}`
}
