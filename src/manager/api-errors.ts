import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { DragonflyError, ERROR_TABLE, type ErrorCode } from '../core/error.ts'
import type { Log } from '../ops/log.ts'

/** Every failure leaves as `{code, message, hint}` of the error table, with the table's HTTP status. */

const RETRY_SECONDS = 1

/** What a client is told where the reason is for the log alone. */
const SAID_TO_CLIENTS: Partial<Record<ErrorCode, string>> = {
  DATABASE_FAILED: 'the database of the managing node did not answer',
  INTERNAL: 'the managing node failed',
}

export function answerError(
  thrown: unknown,
  { request, reply, log }: { request: FastifyRequest; reply: FastifyReply; log: Log },
): FastifyReply {
  const error = requestError(thrown)
  const { httpStatus } = ERROR_TABLE[error.code]
  // The route as it was written: the path itself may carry what a user took for a name.
  const facts = {
    route: request.routeOptions.url ?? null,
    method: request.method,
    address: request.ip,
    code: error.code,
  }
  if (error.code === 'INTERNAL')
    log.error({ ...facts, stack: (thrown as Error).stack ?? null }, 'request failed')
  else if (error.code === 'DATABASE_FAILED') log.error({ ...facts, reason: error.message }, 'request failed')
  else if (error.code.startsWith('CREDENTIAL_'))
    log.warn({ ...facts, reason: error.message }, 'request refused')
  // The reason may name what was sent.
  else log.debug(facts, 'request refused')
  if (httpStatus === 503) reply.header('retry-after', RETRY_SECONDS)
  // RFC 9110, section 11.6.1.
  if (httpStatus === 401) reply.header('www-authenticate', 'Bearer')
  // Not by the route's schema: the answer is the same for all routes.
  return reply
    .status(httpStatus)
    .header('content-type', 'application/json; charset=utf-8')
    .serializer(JSON.stringify)
    .send(bodyOf(error))
}

/** What is not even HTTP, or came too slowly. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const isLarge = error.code === 'HPE_HEADER_OVERFLOW'
  const code: ErrorCode = isLarge ? 'REQUEST_TOO_LARGE' : 'REQUEST_INVALID'
  const body = JSON.stringify(bodyOf(new DragonflyError(code, 'this is no request, or it came too slowly')))
  const status = isLarge ? '431 Request Header Fields Too Large' : '400 Bad Request'
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}

function bodyOf(error: DragonflyError): { code: ErrorCode; message: string; hint: string } {
  const { code, hint, message } = error
  return { code, message: SAID_TO_CLIENTS[code] ?? message, hint }
}

function requestError(thrown: unknown): DragonflyError {
  if (thrown instanceof DragonflyError) return thrown
  if (hasZodFastifySchemaValidationErrors(thrown)) {
    const where = thrown.validationContext ?? 'body'
    // A value is not repeated: it may be a secret in the wrong place.
    const issues = thrown.validation.map(
      ({ instancePath, message }) => `${where}${instancePath.replace(/\/$/, '')}: ${message}`,
    )
    return new DragonflyError('REQUEST_INVALID', issues.slice(0, ISSUES_MAX).join('; '))
  }
  const { code, statusCode, message } = thrown as { code?: string; statusCode?: number; message?: string }
  if (statusCode === 413) return new DragonflyError('REQUEST_TOO_LARGE', 'the body is too large')
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new DragonflyError(
      'REQUEST_INVALID',
      FASTIFY_SAYS[code ?? ''] ?? 'the body is no JSON of this route',
    )
  return new DragonflyError('INTERNAL', message ?? String(thrown), { cause: thrown })
}

const ISSUES_MAX = 8

const FASTIFY_SAYS: Record<string, string> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'the body must be application/json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'there is no body',
  FST_ERR_BAD_URL: 'the path is not well formed',
}
