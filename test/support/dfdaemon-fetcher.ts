import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { TaskId } from '../../src/core/task-id.ts'
import type { ContentFetcher, ContentOrder } from '../../src/dfdaemon/options.ts'
import type { LocalEvent, RunSnapshot } from '../../src/wire/local.ts'

/** A fetcher that says what the test says, and files that grow when the test writes to them. */
export class ScriptedFetcher implements ContentFetcher {
  readonly downloads: ScriptedDownload[] = []
  /** What every download does by itself, from its beginning. */
  script: ((download: ScriptedDownload) => unknown) | null = null
  readonly #directory: string
  #watchers: (() => void)[] = []

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async create(): Promise<ScriptedFetcher> {
    return new ScriptedFetcher(await mkdtemp(path.join(os.tmpdir(), 'dragonfly-dfdaemon-')))
  }

  async *fetch(order: ContentOrder, signal: AbortSignal): AsyncIterable<LocalEvent> {
    const file = path.join(this.#directory, `download-${this.downloads.length}`)
    const download = new ScriptedDownload(order, { signal, file })
    this.downloads.push(download)
    for (const watcher of this.#watchers.splice(0)) watcher()
    void this.script?.(download)
    yield* download.events()
  }

  /** The download with this number, when it has begun. */
  async begun(index: number): Promise<ScriptedDownload> {
    while (this.downloads.length <= index) await new Promise<void>(resolve => this.#watchers.push(resolve))
    return this.downloads[index]
  }

  async remove(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true })
  }
}

type Said = LocalEvent | Error

export class ScriptedDownload {
  readonly order: ContentOrder
  readonly signal: AbortSignal
  file: string
  /** Resolves when nobody reads it any more. */
  readonly given: Promise<void>
  readonly #said: Said[] = []
  #wake = () => {}
  #heldBytes = 0

  constructor(order: ContentOrder, { signal, file }: { signal: AbortSignal; file: string }) {
    this.order = order
    this.signal = signal
    this.file = file
    this.given = new Promise(resolve => signal.addEventListener('abort', () => resolve()))
  }

  /** Writes `bytes` after those that are there and says that they may be read. */
  async grow(bytes: Buffer, generation = '0123456789abcdef'): Promise<void> {
    await appendFile(this.file, bytes)
    this.#heldBytes += bytes.length
    this.progress(this.#heldBytes, generation)
  }

  /** Writes the file, whose bytes before `readFrom` are not there, and says how far it may be read. */
  async fill(bytes: Buffer, endByte: number): Promise<void> {
    await writeFile(this.file, bytes)
    this.#heldBytes = endByte
    this.progress(endByte)
  }

  /** Says that the whole is verified, and has yet to get its last name. */
  verified(endByte: number, path = this.file): void {
    const readable = { path, generation: '0123456789abcdef', endByte, isWhole: true }
    this.say({ event: 'progress', progress: snapshotOf(endByte), readable })
  }

  progress(endByte: number, generation = '0123456789abcdef', heldBytes = this.#heldBytes): void {
    const readable = { path: this.file, generation, endByte, isWhole: false }
    this.say({ event: 'progress', progress: snapshotOf(heldBytes), readable })
  }

  /** Gives the file its last name. */
  async move(): Promise<void> {
    const last = `${this.file}.service`
    await rename(this.file, last)
    this.file = last
  }

  /** The file has its last name by then, as with the peer. */
  async complete(lengthBytes: number): Promise<void> {
    if (!this.file.endsWith('.service')) await this.move()
    const result = { ...snapshotOf(lengthBytes), path: this.file, lengthBytes, seconds: 0, digest: null }
    const counts = { sources: 0, retries: 0, waitMs: {}, boundFactor: null }
    this.say({ event: 'complete', result: { ...result, ...counts } })
  }

  fail(error: Error): void {
    this.#said.push(error)
    this.#wake()
  }

  say(event: LocalEvent): void {
    this.#said.push(event)
    this.#wake()
  }

  async *events(): AsyncIterable<LocalEvent> {
    const onAbort = () => this.#wake()
    this.signal.addEventListener('abort', onAbort)
    for (;;) {
      this.signal.throwIfAborted()
      const said = this.#said.shift()
      if (said instanceof Error) throw said
      if (said !== undefined) yield said
      else {
        await new Promise<void>(resolve => {
          this.#wake = resolve
        })
      }
    }
  }
}

function snapshotOf(heldBytes: number): RunSnapshot {
  return {
    taskId: 'a'.repeat(64) as TaskId,
    phase: 'receiving',
    lengthBytes: null,
    heldBytes,
    bytes: { peers: 0, supernode: heldBytes, origin: 0, local: 0 },
    rateBytesPerSecond: 0,
    waiting: null,
    node: null,
  }
}
