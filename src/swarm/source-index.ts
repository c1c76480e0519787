import { isSource, type Member } from './member.ts'
import { SourceSet } from './source-set.ts'

type Zone = {
  /**
   * Its sources that may have an upload slot free. Who turns out to have none is taken out, and comes back when one is freed; so a decision
   * does not search through those that are busy.
   */
  readonly free: SourceSet
  members: number
  /** Pieces on their way into it. */
  imports: number
  /** Pieces on their way from it to others. */
  exports: number
}

/** Who can be a source, and what goes on in each zone. */
export class SourceIndex {
  /** Members that hold something and give it away. */
  readonly all = new SourceSet()
  /** Zones with members in them, now or before. */
  readonly zones: number[] = []
  readonly #byZone = new Map<number, Zone>()
  /** The same, for whoever looks at all of them after each report. */
  readonly #everyZone: Zone[] = []

  of(zone: number): Zone {
    let found = this.#byZone.get(zone)
    if (!found) {
      found = { free: new SourceSet(), members: 0, imports: 0, exports: 0 }
      this.#byZone.set(zone, found)
      this.#everyZone.push(found)
      this.zones.push(zone)
    }
    return found
  }

  /** Whether some source may have an upload slot free. */
  get isAnyFree(): boolean {
    for (const { free } of this.#everyZone) if (free.size > 0) return true
    return false
  }

  /** A piece is on its way into a zone, or not any more. */
  countTransfer(from: number | null, to: number, change: 1 | -1): void {
    if (from === to) return
    this.of(to).imports += change
    if (from !== null) this.of(from).exports += change
  }

  /** The member holds its first piece. */
  add(member: Member): void {
    this.all.add(member)
    this.of(member.zone).free.add(member)
  }

  /** The member holds nothing any more. */
  delete(member: Member): void {
    this.all.delete(member)
    this.of(member.zone).free.delete(member)
  }

  /** A slot of the member may be free again. */
  noticeFree(member: Member): void {
    if (isSource(member)) this.of(member.zone).free.add(member)
  }
}
