import { type Command, CommanderError, InvalidArgumentError } from 'commander'
import { toDragonflyError } from '../core/error.ts'

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

/** Parses the command line, runs what it names, and returns the exit status. */
export async function runCommand(command: Command, argv: readonly string[]): Promise<number> {
  for (const one of withCommands(command)) {
    one
      .exitOverride()
      .showHelpAfterError('(--help shows the flags)')
      .configureOutput({ outputError: (text, write) => write(withoutValues(text)) })
  }
  try {
    await command.parseAsync(argv)
    return Number(process.exitCode ?? 0)
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode
    throw thrown
  }
}

function withCommands(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(withCommands)]
}

/** Commander repeats what it refuses, and that may be a secret: the value of a flag, also of one that nobody knows, or a word too many. */
export function withoutValues(text: string): string {
  return text
    .replace(/^(error: option '[^']*') argument '.*' is invalid\. /s, '$1: ')
    .replace(/^(error: unknown option '(?:-[^-']|--[^'=]*)).*'/s, "$1'")
    .replace(/^(error: too many arguments[^.]*\. Expected \d+ arguments? but got \d+): .*\n/s, '$1.\n')
}
