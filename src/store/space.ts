import { DragonflyError } from '../core/error.ts'
import { formatSize } from '../core/size.ts'
import { freeBytesAt } from './disk.ts'

type DiskSpaceOptions = {
  /** On the file system in question. */
  readonly directory: string
  /** Frees what is missing; false where that much cannot be freed, and then nothing is. */
  readonly makeRoom: (missingBytes: number) => Promise<boolean>
}

/** What is free on a file system, less what the downloads that are under way will still need of it. */
export class DiskSpace {
  readonly #options: DiskSpaceOptions
  readonly #promised = new Set<() => number>()

  constructor(options: DiskSpaceOptions) {
    this.#options = options
  }

  /**
   * Promises space to a download until the returned function is called. `lackedBytes` says how many bytes it is going to write from now
   * on, and is asked again for the sake of others: what is written counts in the file system.
   * @throws DragonflyError DISK_FULL, with how much is missing; DISK_ERROR
   */
  async reserve(lackedBytes: () => number): Promise<() => void> {
    const { directory, makeRoom } = this.#options
    for (;;) {
      const freeBytes = await freeBytesAt(directory)
      // Nothing is awaited from here to the promise, so that two at once do not get the same space.
      const wantedBytes = lackedBytes()
      const promisedBytes = this.#promisedBytes()
      const missingBytes = wantedBytes + promisedBytes - freeBytes
      if (wantedBytes === 0 || missingBytes <= 0) break
      if (await makeRoom(missingBytes)) continue
      throw new DragonflyError(
        'DISK_FULL',
        `${formatSize(missingBytes)} are missing at ${directory}: the download takes ${formatSize(wantedBytes)}, ` +
          `${formatSize(freeBytes)} are free, ${formatSize(promisedBytes)} of them promised to other downloads`,
      )
    }
    this.#promised.add(lackedBytes)
    return () => void this.#promised.delete(lackedBytes)
  }

  #promisedBytes(): number {
    let sum = 0
    for (const lackedBytes of this.#promised) sum += lackedBytes()
    return sum
  }
}
