import type { Command } from 'commander'

/** Sub-commands in which a command speaks of itself. What they need is loaded only for them. */
export function addSelfCommands(command: Command): void {
  command
    .command('version')
    .description('print the version, and what it was built from')
    .action(async () => {
      const { versionLines } = await import('./version-lines.ts')
      process.stdout.write(versionLines(command.name()))
    })
  command
    .command('completion')
    .description('print a completion script for a shell: bash, zsh or fish')
    .argument('<shell>')
    .action(async shell => {
      const { completionScript } = await import('./completion.ts')
      process.stdout.write(completionScript(command, shell))
    })
}
