import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { toDragonflyError } from '../core/error.ts'
import type { Log } from '../ops/log.ts'
import type { Home } from '../peer/home.ts'
import { askStartedPeer, type PeerStart } from './peer-process.ts'

/**
 * Starts the account's resident peer where there is none, and keeps it from ending itself for want of work. A peer that was killed or told
 * to stop is not started again before there is something for it to do.
 */
export class PeerAttendance {
  readonly #home: Home
  readonly #peerStart: PeerStart
  readonly #log: Log
  #current: Promise<void> | null = null
  #answer: IncomingMessage | null = null
  #isOver = false

  constructor(home: Home, peerStart: PeerStart, log: Log) {
    this.#home = home
    this.#peerStart = peerStart
    this.#log = log
  }

  /** In the background; nothing where it lasts. */
  renew(): void {
    if (this.#current !== null || this.#isOver) return
    this.#current = this.#attend()
      .catch(thrown => {
        const { code, message } = toDragonflyError(thrown)
        this.#log.warn({ code, cause: message }, 'the resident peer is not attended')
      })
      .finally(() => {
        this.#current = null
      })
  }

  /** The peer may end itself from now on. One that is being started is waited for, so that it is found by whoever wants to stop it. */
  async stop(): Promise<void> {
    this.#isOver = true
    this.#answer?.destroy()
    await this.#current
  }

  async #attend(): Promise<void> {
    const answer = await askStartedPeer(this.#home, this.#peerStart, { method: 'GET', path: '/attendance' })
    const isClosed = once(answer, 'close')
    answer.on('error', () => {}).resume()
    this.#answer = answer
    if (this.#isOver) answer.destroy()
    await isClosed
  }
}
