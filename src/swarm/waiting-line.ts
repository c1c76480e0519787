import { HungryQueue } from './hungry-queue.ts'
import { type Member, onTimeLoad } from './member.ts'

/** Waiting consumers looked at in vain per event. */
const VAIN_MAX = 8

/** Consumers with room for more. Those with nothing on its way come first: a piece for each of them spreads faster than two for one. */
export class WaitingLine {
  readonly #starving = new HungryQueue()
  readonly #hungry = new HungryQueue()
  /** Those of both who are known to receive as fast as most. */
  readonly #fast = new HungryQueue()

  readonly #isFast: (member: Member) => boolean

  constructor(isFast: (member: Member) => boolean) {
    this.#isFast = isFast
  }

  /** Puts the member in line, where it stands already if it does. @param since when it was last looked at in vain; infinite for never */
  add(member: Member, since: number): void {
    if (this.#isFast(member)) member.fastPlace = this.#fast.add(member, member.fastPlace)
    else leaveFast(member)
    const queue = onTimeLoad(member) === 0 ? this.#starving : this.#hungry
    member.place = queue.add(member, member.place)
    member.hungrySince = since === Number.POSITIVE_INFINITY ? since : Math.min(member.hungrySince, since)
  }

  /** Whether somebody waits with nothing on its way. */
  get isAnybodyStarving(): boolean {
    return this.#starving.size > 0
  }

  delete(member: Member): void {
    member.place?.queue.delete(member.place)
    member.place = null
    leaveFast(member)
    member.hungrySince = Number.POSITIVE_INFINITY
  }

  /**
   * Gives the fast ones a chance before all others, as long as there is something for them. One alone has none: what it got it would have to
   * send to all others, one after the other.
   */
  feedFast(serve: (member: Member) => boolean, isThere: () => boolean): void {
    if (this.#fast.size < 2) return
    for (let looks = Math.min(VAIN_MAX, this.#fast.size); looks > 0 && isThere(); looks--) {
      const member = this.#fast.takeFirst()
      if (!member) return
      serve(member)
    }
  }

  /**
   * Gives those in line a chance, in the order of their waiting, until a few of them found nothing.
   * @param serve returns whether something was found, and puts the member in line again if it has room for more
   * @param mayServe whether anybody has a slot free; while somebody starves, nothing can be found without one
   */
  feed(serve: (member: Member) => boolean, mayServe: () => boolean): void {
    for (const queue of [this.#starving, this.#hungry]) {
      const looks = Math.min(VAIN_MAX, queue.size)
      let inVain = 0
      while (inVain < looks) {
        if (this.isAnybodyStarving && !mayServe()) {
          // As after a search in vain these go to the end, so that what is free next is not offered to the same few again.
          queue.rotate(looks - inVain)
          break
        }
        const member = queue.takeFirst()
        if (!member) break
        leaveFast(member)
        if (!serve(member)) inVain++
      }
    }
  }
}

function leaveFast(member: Member): void {
  member.fastPlace?.queue.delete(member.fastPlace)
  member.fastPlace = null
}
