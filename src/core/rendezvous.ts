/**
 * Rendezvous hashing, also called highest random weight: each pair of a key and an item has a weight that everybody computes alike, and a
 * key goes to its heaviest item. Whoever drops out moves only the keys that went to it (Thaler and Ravishankar, "Using name-based mappings
 * to increase hit rates", 1998).
 *
 * The weights are part of the protocol: hosts of different versions meet only where they compute the same.
 */

/**
 * The items in the order in which `key` tries them; it does not depend on the order in which they are given. `idOf` names an item the same
 * way everywhere; of items with one id the order is the given one.
 */
export function rendezvousOrder<T>(key: string, items: readonly T[], idOf: (item: T) => string): T[] {
  const start = absorb({ high: HIGH_START, low: LOW_START }, key)
  return items
    .map(item => {
      const id = idOf(item)
      return { item, id, weight: weigh(absorb({ high: start.high ^ SEPARATOR, low: start.low }, id)) }
    })
    .sort((a, b) => b.weight - a.weight || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
    .map(({ item }) => item)
}

/** Two 32-bit words, each stirred with every code unit. */
type Words = { readonly high: number; readonly low: number }

const HIGH_START = 0xdeadbeef
const LOW_START = 0x41c6ce57
/** Between key and id, so that "ab" and "c" are not "a" and "bc". */
const SEPARATOR = 0x5bd1e995

function absorb(start: Words, text: string): Words {
  let { high, low } = start
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    high = Math.imul(high ^ unit, 0x9e3779b1)
    high = (high << 13) | (high >>> 19)
    low = Math.imul(low ^ unit, 0x5f356495)
    low = (low << 17) | (low >>> 15)
  }
  return { high, low }
}

/** The finalizer of MurmurHash3 over each word, with the other's bits in it; 53 bits, as many as a number holds exactly. */
function weigh({ high, low }: Words): number {
  const first = finalize(high ^ Math.imul(low, 0x85ebca77))
  const second = finalize(low ^ Math.imul(first, 0xc2b2ae3d))
  return (first >>> 11) * 2 ** 32 + (second >>> 0)
}

function finalize(word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
