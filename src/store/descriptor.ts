import type { BigIntStats } from 'node:fs'
import { assert } from '../core/assert.ts'
import { closeFile, statDescriptorNow } from './disk.ts'

/**
 * An open file that closes when its owner and its last user have let go of it. The kernel reuses descriptor numbers at once, so an
 * operation in flight counts as a user: otherwise it could meet somebody else's file.
 */
export class Descriptor {
  #number: number
  /** The owner is the first. */
  #users = 1
  #isGivenUp = false
  #closing: Promise<void> | null = null

  constructor(number: number) {
    this.#number = number
  }

  get isClosed(): boolean {
    return this.#users === 0
  }

  get isGivenUp(): boolean {
    return this.#isGivenUp
  }

  /** Whether somebody besides the owner has not let go yet. */
  get isInUse(): boolean {
    return this.#users > (this.#isGivenUp ? 0 : 1)
  }

  /** Of the open file; not after `isClosed`. */
  stat(): BigIntStats {
    assert(this.#users > 0, 'descriptor is open')
    return statDescriptorNow(this.#number)
  }

  /** The returned function lets go; calling it again does nothing. */
  retain(): () => void {
    this.#take()
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#release()
    }
  }

  async use<T>(action: (descriptor: number) => Promise<T>): Promise<T> {
    this.#take()
    try {
      return await action(this.#number)
    } finally {
      this.#release()
    }
  }

  /** The owner lets go. Users go on; where there are none, resolves when the file is closed. */
  async giveUp(): Promise<void> {
    if (!this.#isGivenUp) {
      this.#isGivenUp = true
      this.#release()
    }
    await this.#closing
  }

  #take(): void {
    assert(this.#users > 0, 'descriptor is open')
    this.#users++
  }

  #release(): void {
    this.#users--
    if (this.#users === 0) this.#closing = closeFile(this.#number)
  }
}
