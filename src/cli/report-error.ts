import { toDragonflyError } from '../core/error.ts'

/** Says what went wrong, why, and what to do, on standard error. Returns the exit status. */
export function reportError(command: string, thrown: unknown): number {
  const { code, message, hint, exitStatus } = toDragonflyError(thrown)
  process.stderr.write(`${command}: ${code}: ${message}\n  ${hint}\n`)
  return exitStatus
}
