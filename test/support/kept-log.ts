import type { Log } from '../../src/ops/log.ts'

/** A log that keeps its lines, as openLog would write them before it redacts. */
export type KeptLog = Log & {
  readonly lines: readonly { readonly level: string; readonly message: string; readonly facts: object }[]
  /** Everything that was logged, as text. */
  readonly text: string
}

export function keptLog(): KeptLog {
  const lines: { level: string; message: string; facts: object }[] = []
  const writer = (level: string) => (facts: object, message: string) =>
    void lines.push({ level, message, facts })
  return {
    lines,
    get text() {
      return JSON.stringify(lines)
    },
    debug: writer('debug'),
    info: writer('info'),
    warn: writer('warn'),
    error: writer('error'),
  }
}
