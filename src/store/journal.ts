import { encodeUtf8 } from '../core/text.ts'
import { Descriptor } from './descriptor.ts'
import { OPEN_TO_WRITE, openFile, syncData, truncateFile, writeAll } from './disk.ts'

type Batch = { readonly lines: string[]; written: Promise<void> }

/**
 * Appends lines to an existing record. One write is in flight; lines that come meanwhile go together with the next. The file is opened
 * by the first line and cut to the trusted part before it.
 */
export class Journal {
  readonly #path: string
  /** Where the next batch goes. What lies beyond is not trusted. */
  #end: number
  #file: Descriptor | null = null
  #collecting: Batch | null = null
  #lastWrite: Promise<void> = Promise.resolve()
  /** Set where a torn batch could not be cut off, so that nothing may follow it. */
  #failure: unknown = null

  /** @param descriptor of the file, where it is open already and holds nothing but what is trusted */
  constructor(path: string, trustedBytes: number, descriptor: number | null = null) {
    this.#path = path
    this.#end = trustedBytes
    if (descriptor !== null) this.#file = new Descriptor(descriptor)
  }

  /**
   * Resolves once the kernel has the line; rejects, with the whole batch, if it does not have all of it, and then none of it stays.
   * @throws DragonflyError DISK_FULL, DISK_ERROR
   */
  append(line: string): Promise<void> {
    this.#collecting ??= this.#startBatch()
    this.#collecting.lines.push(line)
    return this.#collecting.written
  }

  /** Makes the lines so far outlast a loss of power. */
  async sync(): Promise<void> {
    await this.#lastWrite
    if (this.#file && !this.#file.isGivenUp) await this.#file.use(syncData)
  }

  /** After the lines so far. A line that comes later opens the file again. */
  async close(): Promise<void> {
    await this.#lastWrite
    await this.#file?.giveUp()
    this.#file = null
  }

  #startBatch(): Batch {
    const batch: Batch = { lines: [], written: Promise.resolve() }
    batch.written = this.#lastWrite.then(() => {
      this.#collecting = null
      return this.#write(encodeUtf8(batch.lines.join('')))
    })
    this.#lastWrite = batch.written.catch(() => {})
    return batch
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    this.#file ??= await this.#open()
    await this.#file.use(async descriptor => {
      try {
        await writeAll(descriptor, bytes, this.#end)
      } catch (error) {
        await truncateFile(descriptor, this.#end).catch(() => {
          this.#failure = error
        })
        throw error
      }
    })
    this.#end += bytes.length
  }

  async #open(): Promise<Descriptor> {
    const file = new Descriptor(await openFile(this.#path, OPEN_TO_WRITE))
    try {
      await file.use(descriptor => truncateFile(descriptor, this.#end))
    } catch (error) {
      await file.giveUp()
      throw error
    }
    return file
  }
}
