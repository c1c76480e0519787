import type { HostPort } from '../core/host-port.ts'
import type { TaskLink, TaskLinkHandler } from '../peer/task-link.ts'
import type { PeerMessage, PeerMessages } from '../wire/control.ts'
import type { WaitingSupernodes } from './waiting-supernodes.ts'

type ParentLinkOptions = {
  /** Announces say who waits, again when somebody else does. */
  readonly waiting: WaitingSupernodes
  /** Nothing is fetched from the parent's other peers, nor offered to them. */
  readonly isSeedOnly: boolean
  connect(handler: TaskLinkHandler): TaskLink
}

/** One fetch's link to a parent supernode: that of a peer, which says besides that a supernode asks, and for whom. */
export class ParentLink implements TaskLink {
  readonly #options: ParentLinkOptions
  #link: TaskLink | null = null
  #announced: PeerMessages['announce'] | null = null
  #originBytes = 0

  constructor(options: ParentLinkOptions) {
    this.#options = options
    options.waiting.watch(() => this.#sayAgain())
  }

  /** Received by the parent from the origin, as far as it has said. */
  get originBytes(): number {
    return this.#originBytes
  }

  open(handler: TaskLinkHandler): TaskLink {
    this.#link = this.#options.connect({
      ...handler,
      onStatus: message => {
        this.#originBytes = message.originBytes
        handler.onStatus(message)
      },
    })
    return this
  }

  get node(): HostPort | null {
    return this.#link?.node ?? null
  }

  send(message: PeerMessage): void {
    if (message.type !== 'announce') return this.#link?.send(message)
    this.#announced = message
    const { waiting, isSeedOnly } = this.#options
    this.#link?.send({ ...message, isSeedOnly: isSeedOnly || message.isSeedOnly, via: waiting.ids })
  }

  numbersOf(source: string): readonly number[] {
    return this.#link?.numbersOf(source) ?? []
  }

  addressOf(source: string): HostPort | null {
    return this.#link?.addressOf(source) ?? null
  }

  close(): void {
    this.#announced = null
    this.#link?.close()
  }

  #sayAgain(): void {
    if (this.#announced && this.node) this.send(this.#announced)
  }
}
