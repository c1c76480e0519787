import { SourceNumbers } from '../src/peer/source-numbers.ts'
import type { TaskLink } from '../src/peer/task-link.ts'
import { encodePeerMessage, type PeerMessage, type SupernodeMessages } from '../src/wire/control.ts'
import type { SimPeer } from './peer.ts'
import type { SimChannel, SimSupernode } from './supernode.ts'
import type { World } from './world.ts'

/** The peer's end of a control channel; both directions keep their order. */
export class PeerChannel implements SimChannel {
  readonly supernode: SimSupernode
  readonly openedAt: number
  readonly peerName: string
  /** For reports, which only ask it for numbers. */
  readonly link: TaskLink
  readonly #world: World
  readonly #peer: SimPeer
  readonly #supernodeLife: number
  readonly #sources = new SourceNumbers()
  #isClosed = false
  #isSilent = false
  /** When what was sent last arrives, each way. */
  #lastUp = 0
  #lastDown = 0

  constructor(world: World, peer: SimPeer, supernode: SimSupernode) {
    this.#world = world
    this.#peer = peer
    this.supernode = supernode
    this.openedAt = world.queue.now
    this.#supernodeLife = supernode.life
    this.peerName = peer.address
    this.#sources.name(0, supernode.name)
    this.link = {
      send: () => {},
      close: () => {},
      addressOf: () => null,
      numbersOf: source => this.#sources.numbersOf(source),
    }
    world.channelOpened(this)
  }

  send(message: PeerMessage): void {
    if (this.#isClosed) return
    const encoded = encodePeerMessage(message)
    this.#world.watch.onMessage(message.type, encoded)
    this.#lastUp = Math.max(this.#lastUp, this.#world.queue.now + this.#world.latency())
    const isLast = message.type === 'leave'
    this.#world.queue.at(this.#lastUp, () => {
      if (!this.supernode.isAlive || this.supernode.life !== this.#supernodeLife) return
      if (this.#isLost(this.peerName, this.supernode.name)) return
      if (!this.#isClosed || isLast) this.supernode.onMessage(this, encoded)
    })
  }

  deliver(encoded: Uint8Array): void {
    if (this.#isClosed) return
    this.#world.watch.onMessage('supernode', encoded)
    this.#lastDown = Math.max(this.#lastDown, this.#world.queue.now + this.#world.latency())
    this.#world.queue.at(this.#lastDown, () => {
      if (this.#isClosed || this.#isLost(this.supernode.name, this.peerName)) return
      this.#peer.onMessage(this, encoded)
    })
  }

  /** Where one message is lost those behind it do not get through either, and after a while both ends notice. */
  #isLost(from: string, to: string): boolean {
    if (!this.#isSilent && this.#world.isCut(from, to)) {
      this.#isSilent = true
      this.breakDown(this.#world.scenario.lossSeconds)
    }
    return this.#isSilent
  }

  /** From the peer's side; the supernode notices after `seconds`. */
  close(seconds: number): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#world.channelClosed(this)
    this.#world.queue.after(seconds, () => this.supernode.onClosed(this))
  }

  /** The supernode has died; the peer notices after `seconds`. */
  breakDown(seconds: number): void {
    this.#world.queue.after(seconds, () => {
      if (!this.#isClosed) this.#peer.onChannelClosed(this)
    })
  }

  sourcesIn(message: SupernodeMessages['assign']): { piece: number; source: string }[] {
    const { sources, pieces } = message
    for (let i = 0; i + 2 < sources.length; i += 3) {
      const source = `${sources[i + 1]}:${sources[i + 2]}`
      // All who know a source share one copy of its name.
      this.#sources.name(Number(sources[i]), this.#world.sourceNamed(source)?.name ?? source)
    }
    const assigned: { piece: number; source: string }[] = []
    for (let i = 0; i + 1 < pieces.length; i += 2) {
      assigned.push({ piece: pieces[i], source: this.#sources.sourceOf(pieces[i + 1]) ?? 'unknown:0' })
    }
    return assigned
  }
}
