import type { PresentFiles, SetupPlan } from '../dfdaemon/runtimes/runtime-setup.ts'
import { BACKUP, type Step } from './dfdaemon-setup-record.ts'

/** What `dfdaemon setup` says, line by line. Of files that were there, only the lines that change are shown: the others may hold secrets. */

export function viewOfPlan(given: {
  says: string
  plan: SetupPlan
  present: PresentFiles
  runtime: string
  command: string | null
}): string[] {
  const { says, plan, present, runtime, command } = given
  return [
    says,
    ...[...plan.files].flatMap(([path, text]) => ['', ...viewOfFile(path, present.read(path), text)]),
    ...paragraphs(plan.notes),
    '',
    `Nothing was changed. dfdaemon setup ${runtime} --write, with the same flags, puts this in place.`,
    ...(command === null ? [] : [`To make it count after that: ${command}`]),
  ]
}

export function viewOfPlace(given: {
  says: string
  notes: readonly string[]
  paths: readonly string[]
  backups: readonly string[]
  command: string | null
}): string[] {
  const { says, notes, paths, backups, command } = given
  return [
    says,
    '',
    ...paths.map(
      path => `${path}: written${backups.includes(path) ? `, and what it was is ${path}${BACKUP}` : ''}`,
    ),
    ...paragraphs(notes),
    '',
    command === null ? 'It counts from the next pull on.' : `Now run: ${command}`,
  ]
}

export function viewOfUndo(steps: readonly Step[], command: string | null): string[] {
  const said: Record<Step['how'], string> = {
    'as it was': 'as it was before',
    removed: 'removed',
    edited: 'edited by somebody since; only what leads to dfdaemon was taken out',
    left: 'was not changed',
    gone: `removed by somebody since; what it was before is in the file with ${BACKUP} at its end`,
  }
  return [
    ...steps.map(({ path, how }) => `${path}: ${said[how]}`),
    '',
    command === null ? 'It counts from the next pull on.' : `Now run: ${command}`,
  ]
}

function paragraphs(notes: readonly string[]): string[] {
  return notes.flatMap(note => ['', note])
}

function viewOfFile(path: string, before: string | null, after: string): string[] {
  if (before === null) return [`${path}, a new file:`, '', ...linesOf(after)]
  const [old, now] = [linesOf(before), linesOf(after)]
  const shorter = Math.min(old.length, now.length)
  let same = 0
  while (same < shorter && old[same] === now[same]) same++
  let sameAtEnd = 0
  while (sameAtEnd < shorter - same && old.at(-1 - sameAtEnd) === now.at(-1 - sameAtEnd)) sameAtEnd++
  return [
    `${path}, from line ${same + 1} on:`,
    '',
    ...old.slice(same, old.length - sameAtEnd).map(line => `- ${line}`),
    ...now.slice(same, now.length - sameAtEnd).map(line => `+ ${line}`),
  ]
}

function linesOf(text: string): string[] {
  return text.replace(/\n$/, '').split('\n')
}
