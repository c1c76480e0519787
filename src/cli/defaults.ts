import os from 'node:os'
import path from 'node:path'
import type { Http1Timeouts } from '../net/http1-connection.ts'

export const DEFAULT_HOME = path.join(os.homedir(), '.small-dragonfly')
export const DEFAULT_NODE = '127.0.0.1:8002'
export const ORIGIN_TIMEOUTS: Http1Timeouts = { connectMs: 5_000, headMs: 15_000, idleMs: 15_000 }
