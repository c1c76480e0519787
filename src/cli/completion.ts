import type { Command, Option } from 'commander'
import { DragonflyError } from '../core/error.ts'
import { PATTERNS } from './dfget-values.ts'
import { nearestName } from './nearest-name.ts'

/** Completion scripts for shells, written from what the command itself knows about its flags. */

type Shell = 'bash' | 'zsh' | 'fish'

const WRITERS: Readonly<Record<Shell, (command: Command) => string>> = { bash, zsh, fish }

/** @throws DragonflyError USAGE */
export function completionScript(command: Command, shell: string): string {
  const shells = Object.keys(WRITERS)
  if (Object.hasOwn(WRITERS, shell)) return WRITERS[shell as Shell](command)
  const advice = `there is no completion for "${shell}", did you mean "${nearestName(shell, shells)}"?`
  throw new DragonflyError('USAGE', `${advice} There are ${shells.join(', ')}.`)
}

/** What follows the flag: a file, a directory, one of a few words, something else, or nothing. */
type Argument = { kind: 'none' | 'file' | 'directory' | 'free' | 'words'; words: string }

function argumentOf(option: Option): Argument {
  const [, name] = /[<[]([^>\]]+)[>\]]/.exec(option.flags) ?? []
  if (name === undefined) return { kind: 'none', words: '' }
  if (name === 'pattern') return { kind: 'words', words: PATTERNS.join(' ') }
  if (name.startsWith('file')) return { kind: 'file', words: '' }
  return { kind: name === 'directory' ? 'directory' : 'free', words: '' }
}

function shown(command: Command): Option[] {
  return command.createHelp().visibleOptions(command) as Option[]
}

const namesOf = (option: Option) => [option.short, option.long].filter(name => name != null)
const subcommands = (command: Command) => command.commands.map(sub => sub.name())

function bash(command: Command): string {
  const name = command.name()
  const options = shown(command)
  const after = (kind: Argument['kind']) =>
    options
      .filter(option => argumentOf(option).kind === kind)
      .flatMap(namesOf)
      .join('|')
  const words = options.flatMap(option => {
    const { kind, words } = argumentOf(option)
    if (kind !== 'words') return []
    return [`    ${namesOf(option).join('|')}) COMPREPLY=($(compgen -W '${words}' -- "$word")); return ;;`]
  })
  return `# bash completion for ${name}: source this file, or put it into /etc/bash_completion.d/
_${name}() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]}
  case $before in
${words.join('\n')}
    ${after('file')}) COMPREPLY=($(compgen -f -- "$word")); return ;;
    ${after('directory')}) COMPREPLY=($(compgen -d -- "$word")); return ;;
    ${after('free')}) return ;;
    completion) COMPREPLY=($(compgen -W '${Object.keys(WRITERS).join(' ')}' -- "$word")); return ;;
  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W '${options.flatMap(namesOf).join(' ')}' -- "$word"))
  else
    COMPREPLY=($(compgen -W '${subcommands(command).join(' ')}' -- "$word"))
  fi
}
complete -o filenames -F _${name} ${name}
`
}

function zsh(command: Command): string {
  const name = command.name()
  const quote = (text: string) => text.replaceAll("'", "'\\''").replace(/[[\]:]/g, '\\$&')
  const specs = shown(command).map(option => {
    const { kind, words } = argumentOf(option)
    const action = {
      none: '',
      file: ':file:_files',
      directory: ':directory:_files -/',
      free: ':value: ',
      words: `:value:(${words})`,
    }[kind]
    const names = namesOf(option)
    const form = names.length > 1 ? `'(${names.join(' ')})'{${names.join(',')}}` : names[0]
    return `    ${form}'[${quote(option.description)}]${action}'`
  })
  const subs = command.commands.map(sub => `'${sub.name()}:${quote(sub.description())}'`).join(' ')
  return `#compdef ${name}
# zsh completion for ${name}: put it as _${name} into a directory of $fpath
_${name}() {
  local -a commands=(${subs})
  if [[ $words[2] == completion ]]; then
    _values shell ${Object.keys(WRITERS).join(' ')}
    return
  fi
  _arguments -s \\
${specs.map(spec => `${spec} \\`).join('\n')}
    '1:command:{_describe command commands}'
}
_${name} "$@"
`
}

function fish(command: Command): string {
  const name = command.name()
  const quote = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`
  const flags = shown(command).map(option => {
    const { kind, words } = argumentOf(option)
    const takes = {
      none: '',
      file: ' -r -F',
      directory: " -x -a '(__fish_complete_directories)'",
      free: ' -x',
      words: ` -x -a '${words}'`,
    }[kind]
    const short = option.short ? ` -s ${option.short.slice(1)}` : ''
    const long = option.long ? ` -l ${option.long.slice(2)}` : ''
    return `complete -c ${name}${short}${long}${takes} -d ${quote(option.description)}`
  })
  const subs = command.commands.map(
    sub => `complete -c ${name} -f -n __fish_use_subcommand -a ${sub.name()} -d ${quote(sub.description())}`,
  )
  const shells = `complete -c ${name} -f -n '__fish_seen_subcommand_from completion' -a '${Object.keys(WRITERS).join(' ')}'`
  return [
    `# fish completion for ${name}: put it into ~/.config/fish/completions/${name}.fish`,
    ...flags,
    ...subs,
    shells,
    '',
  ].join('\n')
}
