export type LoggedRequest = {
  readonly method: string
  /** As sent, with its query. */
  readonly target: string
  readonly path: string
  /** Lower-case names; repeated ones are joined with ", ". */
  readonly headers: Readonly<Record<string, string>>
  readonly remoteAddress: string
}

/** Reads a request's head, without the blank line. */
export function parseRequest(head: string, remoteAddress: string): LoggedRequest {
  const [line, ...fields] = head.split('\r\n')
  const [method, target] = line.split(' ')
  const headers: Record<string, string> = {}
  for (const field of fields) {
    const colon = field.indexOf(':')
    const name = field.slice(0, colon).toLowerCase()
    const value = field.slice(colon + 1).trim()
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
  }
  return { method, target, path: target.split('?')[0], headers, remoteAddress }
}
