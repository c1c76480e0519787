import { toDragonflyError } from '../core/error.ts'
import { oneLine } from '../core/text.ts'

/** Says what went wrong, why, and what to do, on standard error. Returns the exit status. */
export function reportError(command: string, thrown: unknown): number {
  const { code, message, hint, exitStatus } = toDragonflyError(thrown)
  // Names and answers of others may be in it, and shall not draw on the terminal.
  const plain = message.split('\n').map(oneLine).join('\n')
  process.stderr.write(`${command}: ${code}: ${plain}\n  ${hint}\n`)
  return exitStatus
}
