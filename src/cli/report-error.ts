import { toDragonflyError } from '../core/error.ts'

/** Says what went wrong, why, and what to do, on standard error. Returns the exit status. */
export function reportError(command: string, thrown: unknown): number {
  const { code, message, hint, exitStatus } = toDragonflyError(thrown)
  // Names and answers of others may be in it, and shall not draw on the terminal.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must go
  const plain = message.replace(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/g, '?')
  process.stderr.write(`${command}: ${code}: ${plain}\n  ${hint}\n`)
  return exitStatus
}
