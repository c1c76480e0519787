import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import type { Log } from '../ops/log.ts'

/** When there are more bytes, the newest are kept. */
const BYTES_MAX = 4 * 1024 ** 2
const BYTES_KEPT = 2 * 1024 ** 2

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR, O_TRUNC, O_WRONLY } = constants

export function runLogFile(homeRoot: string): string {
  return path.join(homeRoot, 'meta', 'downloads.jsonl')
}

/**
 * The account's records of its downloads, one line each. A line is there when `append` returns, so that a command which ends afterwards
 * finds it. It is a note and no content: nothing is synced, and a failure to write is logged and harms no download.
 */
export class RunLog {
  readonly #file: string
  readonly #log: Log
  #descriptor: number | null = null
  #bytes = 0

  constructor(file: string, log: Log) {
    this.#file = file
    this.#log = log
  }

  /** @param make what is to be written; its failure is one of writing */
  append(make: () => object): void {
    try {
      const line = Buffer.from(`${JSON.stringify(make())}\n`)
      this.#descriptor ??= this.#open()
      writeSync(this.#descriptor, line)
      this.#bytes += line.length
      if (this.#bytes > BYTES_MAX) this.#shorten()
    } catch (thrown) {
      this.#log.warn({ cause: (thrown as Error).message }, 'record of a download not written')
      this.close()
    }
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor)
    this.#descriptor = null
  }

  #open(): number {
    const descriptor = openSync(this.#file, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600)
    this.#bytes = fstatSync(descriptor).size
    const last = Buffer.of(NEWLINE)
    if (this.#bytes > 0) readSync(descriptor, last, 0, 1, this.#bytes - 1)
    // Who was killed in the middle of a line leaves it without an end.
    if (last[0] !== NEWLINE) this.#bytes += writeSync(descriptor, '\n')
    return descriptor
  }

  /** Whoever reads meanwhile sees the old file or the new one. */
  #shorten(): void {
    this.close()
    // A foreign or runaway file is not read into memory.
    const content = this.#bytes > 4 * BYTES_MAX ? Buffer.alloc(0) : readFileSync(this.#file)
    const kept = newest(content)
    const temporary = `${this.#file}.new`
    const descriptor = openSync(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600)
    try {
      let written = 0
      while (written < kept.length) written += writeSync(descriptor, kept, written)
    } finally {
      closeSync(descriptor)
    }
    renameSync(temporary, this.#file)
  }
}

const NEWLINE = 0x0a

/** Whole lines from the end, as many as may stay. */
function newest(content: Buffer): Buffer {
  if (content.length <= BYTES_KEPT) return content
  const lineFeed = content.indexOf(NEWLINE, content.length - BYTES_KEPT - 1)
  return content.subarray(lineFeed + 1)
}
