import { type Command, CommanderError, InvalidArgumentError } from 'commander'
import { DragonflyError, toDragonflyError } from '../core/error.ts'

/** Turns one of core's parsers into a flag's, so that a bad value is reported like every other usage error. */
export function flagValue<T>(parse: (text: string) => T): (text: string) => T {
  return text => {
    try {
      return parse(text)
    } catch (thrown) {
      throw new InvalidArgumentError(toDragonflyError(thrown).message)
    }
  }
}

export const portFlag = flagValue(text => {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port > 65_535)
    throw new DragonflyError('USAGE', 'a port is a number up to 65535')
  return port
})

/** Parses the command line, runs what it names, and returns the exit status. */
export async function runCommand(command: Command, argv: readonly string[]): Promise<number> {
  command.exitOverride().showHelpAfterError('(--help shows the flags)')
  for (const sub of command.commands) sub.exitOverride().showHelpAfterError('(--help shows the flags)')
  try {
    await command.parseAsync(argv)
    return Number(process.exitCode ?? 0)
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode
    throw thrown
  }
}
