import { Counter, Gauge, Registry } from 'prom-client'

/** What the daemon counts, for Prometheus. Labels come from closed sets, so that no caller can make series. */

/** What a request was: a mirror's blob or something else of it, one that the proxy forwards, a tunnel, one about the daemon itself, none of these. */
export type RequestKind = 'blob' | 'mirror' | 'proxy' | 'tunnel' | 'local' | 'refused'

/** Where the bytes of answers with content came from. */
type ServedFrom = 'swarm' | 'upstream'

/** Why the upstream was read although the swarm was asked. */
type FallbackReason = 'failed' | 'silent' | 'mismatch'

/** What was decided about a caller, or that a remembered decision held. */
type AccessDecision = 'let-in' | 'remembered' | 'refused'

const KINDS: readonly RequestKind[] = ['blob', 'mirror', 'proxy', 'tunnel', 'local', 'refused']
const SOURCES: readonly ServedFrom[] = ['swarm', 'upstream']
const REASONS: readonly FallbackReason[] = ['failed', 'silent', 'mismatch']
const DECISIONS: readonly AccessDecision[] = ['let-in', 'remembered', 'refused']

export class DaemonMetrics {
  readonly #registry = new Registry()
  readonly #requests = new Counter({
    name: 'dragonfly_dfdaemon_requests_total',
    help: 'Requests answered, by what they were and the class of the answer.',
    labelNames: ['kind', 'status'],
    registers: [this.#registry],
  })
  readonly #served = new Counter({
    name: 'dragonfly_dfdaemon_served_bytes_total',
    help: 'Bytes of content sent to clients, by where they came from.',
    labelNames: ['source'],
    registers: [this.#registry],
  })
  readonly #fallbacks = new Counter({
    name: 'dragonfly_dfdaemon_fallbacks_total',
    help: 'Answers that went on from the upstream, by why the swarm was not enough.',
    labelNames: ['reason'],
    registers: [this.#registry],
  })
  readonly #access = new Counter({
    name: 'dragonfly_dfdaemon_access_decisions_total',
    help: 'Decisions about who may read content.',
    labelNames: ['decision'],
    registers: [this.#registry],
  })
  readonly #readings = new Gauge({
    name: 'dragonfly_dfdaemon_active_readings',
    help: 'Downloads of the resident peer that are being read.',
    registers: [this.#registry],
  })

  /** Series that are there from the start can be compared with what comes later. */
  constructor() {
    for (const kind of KINDS) this.#requests.inc({ kind, status: '2xx' }, 0)
    for (const source of SOURCES) this.#served.inc({ source }, 0)
    for (const reason of REASONS) this.#fallbacks.inc({ reason }, 0)
    for (const decision of DECISIONS) this.#access.inc({ decision }, 0)
  }

  /** @param status of the answer's head; 0 where none was sent */
  request(kind: RequestKind, status: number): void {
    this.#requests.inc({ kind, status: statusClass(status) })
  }

  served(source: ServedFrom, lengthBytes: number): void {
    this.#served.inc({ source }, lengthBytes)
  }

  fallback(reason: FallbackReason): void {
    this.#fallbacks.inc({ reason })
  }

  access(decision: AccessDecision): void {
    this.#access.inc({ decision })
  }

  /** The returned function says, once, that it is over. */
  reading(): () => void {
    this.#readings.inc()
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#readings.dec()
    }
  }

  /** In Prometheus' text format. */
  async text(): Promise<{ contentType: string; body: string }> {
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() }
  }
}

function statusClass(status: number): string {
  return status >= 100 && status <= 599 ? `${Math.floor(status / 100)}xx` : 'none'
}
