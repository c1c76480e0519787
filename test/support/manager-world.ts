import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { after, before, beforeEach } from 'node:test'
import { ERROR_TABLE, isErrorCode } from '../../src/core/error.ts'
import { NOWHERE } from '../../src/manager/armory/armory.ts'
import { Manager, type ManagerOptions } from '../../src/manager/manager.ts'
import type { TokenRequest } from '../../src/wire/manager-api.ts'
import { type KeptLog, keptLog } from './kept-log.ts'
import { MovedClock } from './moved-clock.ts'

/** A managing node on loopback, and its clients. */

export type ApiAnswer = {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  // What the test expects of a body is the test's business.
  readonly body: Record<string, never> & { code: string; message: string; hint: string }
  readonly text: string
}

export type ApiQuestion = {
  readonly method?: string
  readonly path: string
  /** Sent as JSON; a text as it is. */
  readonly body?: unknown
  readonly bearer?: string
  readonly headers?: Record<string, string>
  /** The loopback address to come from. */
  readonly from?: string
}

export type ManagerWorld = {
  readonly manager: Manager
  readonly clock: MovedClock
  readonly log: KeptLog
  ask(question: ApiQuestion): Promise<ApiAnswer>
  token(request?: Partial<TokenRequest>): Promise<string>
}

export async function startManager(
  options: Pick<ManagerOptions, 'database'> & Partial<Omit<ManagerOptions, 'clock' | 'log'>>,
): Promise<ManagerWorld> {
  const clock = new MovedClock()
  const log = keptLog()
  const manager = await Manager.start({
    port: 0,
    listenIp: '127.0.0.1',
    advertise: null,
    armory: { kind: 'none' },
    defaultPlace: NOWHERE,
    zoneBoundary: 'idc',
    rootZone: null,
    isWallOpen: false,
    leaseMs: 15_000,
    ...options,
    clock,
    log,
  })
  return {
    manager,
    clock,
    log,
    ask: question => ask(manager.port, question),
    token: request =>
      manager.createToken({ kind: 'join', name: 'a test', lifetimeMs: 60_000, usesMax: null, ...request }),
  }
}

/** A new managing node on SQLite for each test of a suite, with the armory in the database, and who administers it. */
export function freshManager(): { readonly world: ManagerWorld; readonly admin: string } {
  let directory = ''
  let files = 0
  const present = {} as { world: ManagerWorld; admin: string }
  before(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-manager-'))
  })
  beforeEach(async () => {
    await present.world?.manager.stop()
    const file = path.join(directory, `${++files}.db`)
    present.world = await startManager({ database: { kind: 'sqlite', file }, armory: { kind: 'database' } })
    present.admin = await present.world.token({ kind: 'admin' })
  })
  after(async () => {
    await present.world.manager.stop()
    await rm(directory, { recursive: true })
  })
  return present
}

async function ask(
  port: number,
  { method, path, body, bearer, headers, from }: ApiQuestion,
): Promise<ApiAnswer> {
  const sent = request({
    host: '127.0.0.1',
    port,
    localAddress: from,
    path,
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    agent: false,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...headers,
    },
  })
  return new Promise((resolve, reject) => {
    sent.once('error', reject)
    sent.once('response', async response => {
      const text = Buffer.concat(await response.toArray()).toString()
      resolve({
        status: response.statusCode!,
        headers: response.headers,
        body: text === '' ? null : JSON.parse(text),
        text,
      })
    })
    if (body !== undefined) sent.write(typeof body === 'string' ? body : JSON.stringify(body))
    sent.end()
  })
}

export function leaseOf(host: string): Record<string, unknown> {
  return {
    control: { host, port: 8002 },
    pieces: { host, port: 8001 },
    hostName: `host-${host}`,
    version: '2.0.0',
    load: { peers: 1, tasks: 2, sentBytesPerSecond: 3, uploadLimit: null },
  }
}

/** Joins and renews: the supernode's credential. */
export async function joinAt(world: ManagerWorld, id: string, host = '127.0.0.1'): Promise<string> {
  const joined = await world.ask({
    path: '/api/v1/join',
    body: { token: await world.token(), supernodeId: id },
  })
  const { credential } = joined.body as unknown as { credential: string }
  await renewAt(world, { id, credential, host })
  return credential
}

export function renewAt(
  world: ManagerWorld,
  { id, credential, host = '127.0.0.1' }: { id: string; credential: string; host?: string },
): Promise<ApiAnswer> {
  return world.ask({
    method: 'PUT',
    path: `/api/v1/supernodes/${encodeURIComponent(id)}/lease`,
    body: leaseOf(host),
    bearer: credential,
  })
}

/** The ids of the supernodes that a client is told, in their groups. */
export async function locatedAt(world: ManagerWorld, addresses: string[] = []): Promise<string[][]> {
  const { body } = await world.ask({
    path: '/api/v1/locate',
    body: { hostName: 'client', addresses, version: '1' },
  })
  const { groups } = body as unknown as { groups: { supernodes: { id: string }[] }[] }
  return groups.map(({ supernodes }) => supernodes.map(({ id }) => id))
}

/** The answer is this error of the table, in the form of every error. */
export async function refused(answer: Promise<ApiAnswer>, code: string, says?: RegExp): Promise<void> {
  const { status, body, headers, text } = await answer
  assert.ok(isErrorCode(body.code), text)
  assert.equal(body.code, code, text)
  assert.equal(status, ERROR_TABLE[body.code].httpStatus)
  assert.deepEqual(Object.keys(body), ['code', 'message', 'hint'])
  assert.equal(body.hint, ERROR_TABLE[body.code].hint)
  assert.match(String(headers['content-type']), /^application\/json/)
  assert.equal(headers['www-authenticate'], status === 401 ? 'Bearer' : undefined)
  if (says) assert.match(body.message, says)
}
