import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { findVersion, type RuntimeVersion } from '../dfdaemon/runtimes/runtime-version.ts'

/** Which version of a runtime this machine has, by asking its program. */

type InstalledProgram = { readonly path: string; readonly version: RuntimeVersion | null }

const ANSWER_MS = 10_000
/** Where daemons are, which the path of an account often leaves out. */
const USUAL_DIRECTORIES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** Null where it is not installed. */
export async function findProgram(
  name: string,
  environment: NodeJS.ProcessEnv,
): Promise<InstalledProgram | null> {
  const directories = [...(environment.PATH ?? '').split(':').filter(path.isAbsolute), ...USUAL_DIRECTORIES]
  const program = directories.map(directory => path.join(directory, name)).find(isExecutable)
  if (program === undefined) return null
  try {
    const { stdout } = await promisify(execFile)(program, ['--version'], {
      timeout: ANSWER_MS,
      env: environment,
    })
    return { path: program, version: findVersion(stdout) }
  } catch {
    return { path: program, version: null }
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
