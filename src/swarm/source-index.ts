import { FreeSources } from './free-sources.ts'
import type { Member } from './member.ts'

type Zone = { readonly free: FreeSources; members: number; imports: number }

/** Who holds something, and what goes on in each zone. */
export class SourceIndex {
  /** Members that hold at least one piece, in no order. */
  readonly all: Member[] = []
  /** Zones that have or had members. */
  readonly zones: number[] = []
  readonly #byZone = new Map<number, Zone>()

  /** The zone's sources that may have a slot free, its members, and the pieces on their way into it. */
  of(zone: number): Zone {
    let found = this.#byZone.get(zone)
    if (!found) {
      found = { free: new FreeSources(), members: 0, imports: 0 }
      this.#byZone.set(zone, found)
      this.zones.push(zone)
    }
    return found
  }

  /** The member holds its first piece. */
  add(member: Member): void {
    this.all.push(member)
    this.of(member.zone).free.add(member)
  }

  /** The member holds nothing any more. */
  delete(member: Member): void {
    this.all.splice(this.all.indexOf(member), 1)
    this.of(member.zone).free.delete(member)
  }

  /** A slot of the member may be free again. */
  noticeFree(member: Member): void {
    if (member.held.count > 0) this.of(member.zone).free.add(member)
  }
}
