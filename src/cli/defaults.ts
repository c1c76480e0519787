import os from 'node:os'
import path from 'node:path'
import { DragonflyError } from '../core/error.ts'
import { DEFAULT_CONTROL_PORT } from '../core/host-port.ts'
import type { Http1Timeouts } from '../net/http1-connection.ts'

export const DEFAULT_NODE = `127.0.0.1:${DEFAULT_CONTROL_PORT}`
export const ORIGIN_TIMEOUTS: Http1Timeouts = { connectMs: 5_000, headMs: 15_000, idleMs: 15_000 }

/**
 * This account's directory.
 * @throws DragonflyError USER_UNKNOWN where neither HOME nor the system's list of users names one
 */
export function defaultHome(): string {
  try {
    return path.join(os.homedir(), '.small-dragonfly')
  } catch (cause) {
    throw new DragonflyError('USER_UNKNOWN', 'this account has no home directory', { cause })
  }
}
