import type * as z from 'zod'
import type { Clock } from '../core/clock.ts'
import { DragonflyError, type ErrorCode, isErrorCode } from '../core/error.ts'
import { oneLine } from '../core/text.ts'
import {
  API_PREFIX,
  apiError,
  type JoinAnswer,
  type JoinRequest,
  joinAnswer,
  type LeaseAnswer,
  type LeaseRequest,
  type LocateAnswer,
  type LocateRequest,
  leaseAnswer,
  locateAnswer,
} from '../wire/manager-api.ts'
import { firstInTurn } from './in-turn.ts'
import { faultInLease, faultInLocated } from './manager-answer.ts'

/**
 * Asks managing nodes, any of which may answer for all. What they say is read up to a limit and checked; no redirect is followed, because it would take
 * credentials along. All throw MANAGER_UNREACHABLE where nobody answers in time, PROTOCOL_INVALID where the answer is none, the code that the
 * managing node gave where it refuses, and CANCELLED.
 */

export type ManagerCall = {
  /** `http(s)://host:port`, in the order in which to ask. */
  readonly managers: readonly string[]
  readonly clock: Clock
  readonly signal: AbortSignal
  /** For each of them; 2 s unless set. */
  readonly timeoutMs?: number
  /** For all of them together; as many time-outs as there are managers, unless set. */
  readonly totalMs?: number
  /** How long one is waited for before the next is asked beside it. Unless set, the next is asked when it has failed. */
  readonly headStartMs?: number
  /** `Authorization: Bearer …`. */
  readonly credential?: string
  /** Each failure, for the log. */
  onFailed?(manager: string, error: DragonflyError): void
}

const TIMEOUT_MS = 2_000
const ANSWER_BYTES_MAX = 1024 * 1024
const MESSAGE_LENGTH_MAX = 500

export function locate(call: ManagerCall, request: LocateRequest): Promise<LocateAnswer> {
  return ask(call, {
    method: 'POST',
    path: '/locate',
    body: request,
    schema: locateAnswer,
    faultIn: faultInLocated,
  })
}

/** A token may count its uses, so that only one managing node at a time is asked. */
export function join(call: ManagerCall, request: JoinRequest): Promise<JoinAnswer> {
  const oneAtATime = { ...call, headStartMs: undefined }
  return ask(oneAtATime, { method: 'POST', path: '/join', body: request, schema: joinAnswer })
}

export function renewLease(
  call: ManagerCall,
  supernodeId: string,
  request: LeaseRequest,
): Promise<LeaseAnswer> {
  return ask(call, {
    method: 'PUT',
    path: leasePath(supernodeId),
    body: request,
    schema: leaseAnswer,
    faultIn: faultInLease,
  })
}

/** The supernode ends: nobody need wait for its lease to run out. */
export async function leave(call: ManagerCall, supernodeId: string): Promise<void> {
  await ask(call, { method: 'DELETE', path: leasePath(supernodeId), body: null, schema: null })
}

function leasePath(supernodeId: string): string {
  return `/supernodes/${encodeURIComponent(supernodeId)}/lease`
}

type Question<T> = {
  readonly method: string
  readonly path: string
  readonly body: object | null
  /** Null where no body is expected. */
  readonly schema: z.ZodType<T> | null
  faultIn?(answer: NoInfer<T>): string | null
}

async function ask<T>(call: ManagerCall, question: Question<T>): Promise<T> {
  const { managers, clock, signal, timeoutMs = TIMEOUT_MS, headStartMs = timeoutMs, onFailed } = call
  const failures: DragonflyError[] = []
  const won = await firstInTurn({
    items: managers,
    attempt: async (manager, ending) => ({ answer: await askOne(manager, question, call, ending) }),
    headStartMs: () => headStartMs,
    totalMs: call.totalMs ?? timeoutMs * managers.length + 1,
    clock,
    signal,
    onFailed(manager, thrown) {
      const error = translated(manager, thrown)
      failures.push(error)
      onFailed?.(manager, error)
    },
  })
  if (won) return won.answer
  if (signal.aborted) throw new DragonflyError('CANCELLED', 'nobody waits for the managing node')
  // One that answers knows more than one that does not.
  const refused = failures.find(({ code }) => code !== 'MANAGER_UNREACHABLE')
  throw refused ?? failures[0] ?? new DragonflyError('MANAGER_UNREACHABLE', unanswered(managers))
}

function unanswered(managers: readonly string[]): string {
  if (managers.length === 0) return 'there is no managing node to ask'
  return `no managing node answered in time: ${managers.map(shownManager).join(', ')}`
}

async function askOne<T>(
  manager: string,
  { method, path, body, schema, faultIn }: Question<T>,
  { clock, timeoutMs = TIMEOUT_MS, credential }: ManagerCall,
  ending: AbortSignal,
): Promise<T> {
  const late = new AbortController()
  const cancel = clock.schedule(timeoutMs, () => late.abort(new TooLate(timeoutMs)))
  try {
    const response = await fetch(new URL(API_PREFIX + path, manager), {
      method,
      // Answered with a status that is no success, so it counts as refused.
      redirect: 'manual',
      signal: AbortSignal.any([ending, late.signal]),
      headers: {
        accept: 'application/json',
        ...(body === null ? {} : { 'content-type': 'application/json' }),
        ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
      },
      body: body === null ? undefined : JSON.stringify(body),
    })
    const text = await readText(response)
    if (!response.ok) throw refusal(manager, response.status, text)
    if (schema === null) return undefined as T
    const parsed = schema.safeParse(parseJson(text))
    const fault = parsed.success ? (faultIn?.(parsed.data) ?? null) : firstIssue(parsed.error)
    if (parsed.success && fault === null) return parsed.data
    throw invalid(manager, fault ?? '')
  } finally {
    cancel()
  }
}

function firstIssue({ issues: [issue] }: z.ZodError): string {
  return oneLine(`${issue.path.join('.') || 'the answer'}: ${issue.message}`)
}

class TooLate extends Error {
  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`)
  }
}

class TooMuch extends Error {
  constructor() {
    super(`the answer has more than ${ANSWER_BYTES_MAX} bytes`)
  }
}

async function readText(response: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of response.body ?? []) {
    bytes += part.byteLength
    // Leaving the loop cancels the stream, and with it the connection.
    if (bytes > ANSWER_BYTES_MAX) throw new TooMuch()
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What the managing node says of its refusal counts as far as it is its own to say. */
function refusal(manager: string, status: number, text: string): DragonflyError {
  const parsed = apiError.safeParse(parseJson(text))
  const code = parsed.data?.code
  const said = parsed.success ? oneLine(parsed.data.message).slice(0, MESSAGE_LENGTH_MAX) : ''
  const message = `${shownManager(manager)} answered with status ${status}${said && `: ${said}`}`
  if (isErrorCode(code) && OWN_CODE.test(code)) return new DragonflyError(code, message)
  const meant: ErrorCode = status >= 500 || status === 429 ? 'MANAGER_UNREACHABLE' : 'PROTOCOL_INVALID'
  return new DragonflyError(meant, message)
}

const OWN_CODE = /^(?:MANAGER|DATABASE|CREDENTIAL|REQUEST)_/

function translated(manager: string, thrown: unknown): DragonflyError {
  if (thrown instanceof DragonflyError) return thrown
  if (thrown instanceof TooMuch) return invalid(manager, thrown.message)
  const { message, cause } = thrown as Error
  const reason = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : message
  return new DragonflyError(
    'MANAGER_UNREACHABLE',
    `no managing node answers at ${shownManager(manager)}: ${reason}`,
    { cause: thrown },
  )
}

function invalid(manager: string, what: string): DragonflyError {
  return new DragonflyError(
    'PROTOCOL_INVALID',
    `${shownManager(manager)} gave no valid answer: ${what.slice(0, MESSAGE_LENGTH_MAX)}`,
  )
}

/** Without credentials, whatever somebody put in. */
function shownManager(manager: string): string {
  return URL.parse(manager)?.host ?? 'an address that is none'
}
