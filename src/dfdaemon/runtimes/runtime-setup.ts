import { DragonflyError } from '../../core/error.ts'
import type { DaemonAddress } from './daemon-address.ts'
import type { RegistryName } from './registry-name.ts'
import type { RuntimeVersion } from './runtime-version.ts'

/** How a container runtime is told of dfdaemon: from the files that are there to the files that shall be there. Nothing here touches a disk. */

export type PresentFiles = {
  /** Null where there is no such file. */
  read(path: string): string | null
  /** Paths of files that fit, sorted; `*` and `?` mean something in the last name only. */
  list(pattern: string): readonly string[]
}

export type SetupRequest = {
  readonly daemon: DaemonAddress
  /** At least one, each once. */
  readonly registries: readonly RegistryName[]
  /** Null means the newest. */
  readonly version: RuntimeVersion | null
  /** Docker only: requests for all registries go through dfdaemon as a proxy. */
  readonly usesProxy: boolean
}

export type SetupPlan = {
  /** Whole new texts of the files that must change, by path. */
  readonly files: ReadonlyMap<string, string>
  /** What else the operator should know, a paragraph each. */
  readonly notes: readonly string[]
}

/** A file of ours that somebody else has edited since. */
export type EditedFile = {
  readonly path: string
  readonly text: string
  /** What it was before us; null where there was none. */
  readonly before: string | null
}

export type RuntimeSetup = {
  readonly name: string
  /** Says its version when it is run with `--version`. */
  readonly program: string
  /** @throws DragonflyError USAGE, CONFIG_INVALID which explains what stands in the way */
  plan(request: SetupRequest, present: PresentFiles): SetupPlan
  /**
   * What remains of such a file without what leads to this daemon; null where nothing of use remains.
   * @throws DragonflyError CONFIG_INVALID
   */
  without(file: EditedFile, daemon: DaemonAddress): string | null
  /** What makes the runtime read these files, or null where it does so by itself. */
  commandFor(paths: readonly string[]): string | null
}

export function unreadable(path: string, why: string): DragonflyError {
  return new DragonflyError('CONFIG_INVALID', `${path} ${why}; it was left as it is`)
}
