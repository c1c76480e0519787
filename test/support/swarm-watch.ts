import assert from 'node:assert/strict'
import type { HostId, Hosts } from '../../src/swarm/hosts.ts'
import { OUTSTANDING_MAX, SLOT_MIN_MS, WINDOW_MAX } from '../../src/swarm/limits.ts'
import type { Assignment, ConsumerReport } from '../../src/swarm/task-swarm.ts'

type Watched = {
  readonly held: Set<number>
  readonly outstanding: { piece: number; source: HostId; atMs: number }[]
  readonly slow: Set<number>
  readonly accused: Set<HostId>
  readonly accusers: Set<HostId>
  readonly right: { served: number; received: number }
}

function accusesAtLeast({ accused, right }: Watched, least: number): boolean {
  return accused.size >= Math.max(least, right.received / 8)
}

/** Pieces in line at a source that sends to the same consumer already, where no transfer times are reported. */
const LINE = 1

/** Follows a swarm by its inputs and outputs alone, and objects to any assignment that breaks a rule. */
export class SwarmWatch {
  readonly assignments: Assignment[] = []
  readonly #seed: HostId
  readonly #window: number
  readonly #slots: Map<HostId, number>
  readonly #offered = new Set<number>()
  readonly #members = new Map<HostId, Watched>()
  #hasSlowReports = false

  constructor(seed: HostId, window: number, slots: Map<HostId, number>) {
    this.#seed = seed
    this.#window = window
    this.#slots = slots
  }

  outstandingOf(host: HostId): readonly { piece: number; source: HostId }[] {
    return this.#members.get(host)?.outstanding ?? []
  }

  offer(piece: number): void {
    this.#offered.add(piece)
  }

  join(host: HostId, slots: number, held: Iterable<number>): void {
    this.#slots.set(host, slots)
    const before = this.#members.get(host)
    if (before) this.leave(host)
    const { accused, accusers, right } = before ?? {
      accused: new Set<HostId>(),
      accusers: new Set<HostId>(),
      right: { served: 0, received: 0 },
    }
    this.#members.set(host, {
      held: new Set(held),
      outstanding: [],
      slow: new Set(),
      accused,
      accusers,
      right,
    })
  }

  leave(host: HostId): void {
    this.#members.delete(host)
  }

  report(host: HostId, report: ConsumerReport): void {
    const member = this.#members.get(host)
    if (!member) return
    for (const { piece, source } of report.done) {
      const from = this.#members.get(source)
      if (this.#settle(member, piece, source)) {
        if (from) from.right.served++
        member.right.received++
      }
      member.held.add(piece)
    }
    for (const piece of report.fromOrigin) member.held.add(piece)
    for (const { piece, source } of report.released) this.#settle(member, piece, source)
    for (const { piece, source, code } of report.failed) {
      if (!this.#settle(member, piece, source)) continue
      if (code === 'DIGEST_MISMATCH') {
        if (!accusesAtLeast(member, 3)) this.#members.get(source)?.accusers.add(host)
        member.accused.add(source)
      }
      if (code === 'PIECE_NOT_HELD') this.#members.get(source)?.held.delete(piece)
    }
    for (const piece of report.slow) member.slow.add(piece)
    if (report.slow.length > 0) this.#hasSlowReports = true
  }

  assign(assignment: Assignment, nowMs: number): void {
    const { consumer, piece, source } = assignment
    const what = `assignment of piece ${piece} from ${source} to ${consumer}`
    const member = this.#members.get(consumer)
    assert.ok(member, `${what}: the consumer is a member`)
    assert.notEqual(consumer, source, `${what}: nobody fetches from itself`)
    assert.ok(!member.held.has(piece), `${what}: the consumer does not hold it`)
    assert.ok(this.#offered.has(piece), `${what}: its digest is known`)
    const rivals = member.outstanding.filter(entry => entry.piece === piece)
    assert.ok(
      rivals.length === 0 || (rivals.length === 1 && member.slow.has(piece)),
      `${what}: late if twice`,
    )
    assert.ok(!rivals.some(rival => rival.source === source), `${what}: the second source is another one`)
    if (source === this.#seed) this.#checkSeed(member, piece, what)
    else this.#checkPeer(member, { piece, source }, what)
    member.outstanding.push({ piece, source, atMs: nowMs })
    const window = Math.max(this.#window, this.#members.size === 1 ? WINDOW_MAX : 0) + LINE
    const limit = this.#hasSlowReports ? OUTSTANDING_MAX * Math.max(window, WINDOW_MAX) : window
    assert.ok(member.outstanding.length <= limit, `${what}: within the window`)
    this.assignments.push(assignment)
  }

  /** What is under way is within the slots, and the hosts believe no more than that. */
  checkLoads(hosts: Hosts, nowMs: number): void {
    const members = [...this.#members.values()]
    const entries = members.flatMap(member => member.outstanding)
    for (const [host, slots] of this.#slots) {
      if (hosts.slotsOf(host) === 0) continue
      const asked = entries.filter(entry => entry.source === host)
      const young = asked.filter(({ atMs }) => nowMs < atMs + SLOT_MIN_MS).length
      const consumers = members.filter(({ outstanding }) => outstanding.some(({ source }) => source === host))
      // A peer may have one in line, the seed one for who was alone.
      const most = host === this.#seed && consumers.length > 1 ? slots : slots + LINE
      assert.ok(young <= most, `host ${host} sends ${young} pieces with ${slots} slots`)
      const believed = hosts.utilisation(host) * slots
      assert.ok(believed <= asked.length, `host ${host} sends ${asked.length} pieces, not ${believed}`)
      assert.ok(believed >= young, `host ${host} sends ${young} pieces, not ${believed}`)
    }
  }

  #checkPeer(member: Watched, { piece, source }: { piece: number; source: HostId }, what: string): void {
    const other = this.#members.get(source)
    assert.ok(other, `${what}: the source is a member`)
    assert.ok(other.held.has(piece), `${what}: the source holds it`)
    assert.ok(
      other.accusers.size < Math.max(2, other.right.served / 16),
      `${what}: the source is not isolated`,
    )
    assert.ok(!member.accused.has(source), `${what}: the consumer has not accused the source`)
    assert.ok(!accusesAtLeast(member, 8), `${what}: who accuses everybody gets the seed only`)
  }

  /** The seed gives what nobody has or awaits; else only to those who have nothing on its way in time. */
  #checkSeed(member: Watched, piece: number, what: string): void {
    const isKnown = [...this.#members.values()].some(
      other => other.held.has(piece) || other.outstanding.some(entry => entry.piece === piece),
    )
    const onTime = member.outstanding.filter(entry => !member.slow.has(entry.piece))
    assert.ok(!isKnown || onTime.length === 0 || member.slow.size > 0, `${what}: it is exposed already`)
  }

  #settle(member: Watched, piece: number, source: HostId): boolean {
    const at = member.outstanding.findIndex(entry => entry.piece === piece && entry.source === source)
    if (at < 0) return false
    member.outstanding.splice(at, 1)
    if (!member.outstanding.some(entry => entry.piece === piece)) member.slow.delete(piece)
    return true
  }
}
