import { type Command, Option } from 'commander'
import type { Layers } from './dfget-layers.ts'
import { ROWS, SETTING_NAMES } from './dfget-settings.ts'
import { flagValue } from './flags.ts'

/** Gives the command a flag per setting. Values are checked as they are met and kept as they are written. */
export function addSettingFlags(command: Command): void {
  for (const name of SETTING_NAMES) {
    const { flags, about, isSwitch, isList, check } = ROWS[name]
    const option = new Option(flags, about)
    if (isSwitch) {
      // Overrules a file or the environment that says yes.
      command.addOption(option).addOption(new Option(`--no-${option.name()}`).hideHelp())
      continue
    }
    const checked = flagValue((text: string) => {
      check(text)
      return text
    })
    const parse = (text: string, before: string[] | undefined) =>
      isList ? [...(before ?? []), checked(text)] : [checked(text)]
    command.addOption(option.argParser(parse))
  }
}

/** What the command line says, after it was parsed. */
export function flagsOf(command: Command): Layers['flags'] {
  const flags: Record<string, readonly string[]> = {}
  for (const name of SETTING_NAMES) {
    const given: unknown = command.getOptionValue(new Option(ROWS[name].flags).attributeName())
    if (given !== undefined) flags[name] = Array.isArray(given) ? given : [String(given)]
  }
  return flags
}

const DFGET_SWITCHES: ReadonlySet<string> = new Set(
  SETTING_NAMES.filter(name => ROWS[name].isSwitch).map(name => new Option(ROWS[name].flags).name()),
)

/** `--flag=true` and `--flag=false` of switches, as Go's flags are written, in commander's words. */
export function plainSwitches(argv: readonly string[], switches = DFGET_SWITCHES): string[] {
  const end = argv.indexOf('--')
  return argv.map((word, index) => {
    const [, name, said] = /^--([A-Za-z-]+)=(true|false)$/.exec(word) ?? []
    if (name === undefined || !switches.has(name) || (end >= 0 && index > end)) return word
    return said === 'true' ? `--${name}` : `--no-${name}`
  })
}

/** The flags by which a resident peer is told how to run. */
export function peerFlags(): string[] {
  return SETTING_NAMES.filter(name => ROWS[name].isOfPeer).map(
    name => `--${new Option(ROWS[name].flags).name()}`,
  )
}

/** The command line that tells a resident peer all that is not as usual, but its home. It reads no configuration of its own. */
export function peerArguments(
  settings: Readonly<Record<string, unknown>>,
  sources: Readonly<Record<string, string>>,
): string[] {
  const told = SETTING_NAMES.filter(
    name => ROWS[name].isOfPeer && name !== 'workHome' && sources[name] !== 'default',
  )
  const words = told.flatMap(name => {
    const { flags, isSwitch, show } = ROWS[name]
    const flag = `--${new Option(flags).name()}`
    if (isSwitch) return settings[name] === true ? [flag] : []
    return [`${flag}=${show(settings[name])}`]
  })
  return ['--config=', ...words]
}
