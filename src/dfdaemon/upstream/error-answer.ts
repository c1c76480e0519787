import type { ServerResponse } from 'node:http'
import { ERROR_TABLE, toDragonflyError } from '../../core/error.ts'

/** The form in which registries say errors (OCI distribution specification, "Error Codes"), so that their clients can show them. */
export function sendRefusal(
  response: ServerResponse,
  status: number,
  refusal: { code: string; message: string; detail?: object },
): void {
  const body = `${JSON.stringify({ errors: [refusal] })}\n`
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  })
  response.end(body)
}

/** Says why there is no answer from the upstream; where one has begun, it is broken off, so that nobody takes a part for the whole. */
export function sendFailure(response: ServerResponse, thrown: unknown): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const { code, message, hint } = toDragonflyError(thrown)
  sendRefusal(response, ERROR_TABLE[code].httpStatus, { code, message, detail: { hint } })
}
