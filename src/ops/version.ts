import manifest from '../../package.json' with { type: 'json' }

/** The release, as package.json has it. */
export const VERSION: string = manifest.version

/** As origins see it in their access logs: a fleet's one reader, or a host that reads for itself. */
export function userAgentOf(command: 'dfget' | 'manager' | 'supernode'): string {
  return `dragonfly/${VERSION} (${command})`
}
