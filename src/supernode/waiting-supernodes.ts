import { DragonflyError } from '../core/error.ts'

const WAITING_MAX = 1_000
const ID_LENGTH_MAX = 256

/**
 * Who waits for one fetch: this supernode, those that fill from it, and those that fill from them. A parent is told, so that none of them
 * ever waits for itself, however they are connected: who finds itself among those that ask declines (the idea is the edge chasing of
 * Chandy, Misra and Haas, "Distributed deadlock detection", 1983).
 */
export class WaitingSupernodes {
  readonly #ids: Set<string>
  #onGrown = () => {}

  constructor(ownId: string) {
    this.#ids = new Set([ownId])
  }

  get ids(): string[] {
    return [...this.#ids]
  }

  /** @param onGrown called when somebody else has come to wait */
  watch(onGrown: () => void): void {
    this.#onGrown = onGrown
  }

  /** @throws DragonflyError SUPERNODE_OVERLOADED */
  add(via: readonly string[]): void {
    const fresh = via.filter(id => !this.#ids.has(id))
    if (fresh.length === 0) return
    if (this.#ids.size + fresh.length > WAITING_MAX) {
      throw new DragonflyError(
        'SUPERNODE_OVERLOADED',
        `more than ${WAITING_MAX} supernodes wait for this task`,
      )
    }
    for (const id of fresh) this.#ids.add(id)
    this.#onGrown()
  }
}

/** @throws DragonflyError SUPERNODE_DECLINED, PROTOCOL_INVALID */
export function refuseLoop(via: readonly string[], ownId: string): void {
  if (via.length > WAITING_MAX || via.some(id => id.length > ID_LENGTH_MAX)) {
    throw new DragonflyError('PROTOCOL_INVALID', 'an announce names impossible supernodes')
  }
  if (!via.includes(ownId)) return
  throw new DragonflyError('SUPERNODE_DECLINED', 'this supernode waits for the one that asks it')
}
