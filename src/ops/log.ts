import { destination, pino } from 'pino'

/** Facts as fields, a constant sentence as message. */
export type Log = {
  debug(facts: object, message: string): void
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

/** One JSON object per line. `target` is a path, or a file descriptor such as 1. Fields that carry credentials never reach the file. */
export function openLog(target: string | 1 | 2, level: 'debug' | 'info' | 'warn' = 'info'): Log {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: ['headers', 'token', '*.headers', '*.token'],
  }
  return pino(options, destination({ dest: target, sync: true, mkdir: true }))
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }
