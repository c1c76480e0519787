import type { IncomingMessage, ServerResponse } from 'node:http'
import { VERSION } from '../ops/version.ts'
import type { DaemonMetrics } from './metrics.ts'
import type { DfdaemonOptions } from './options.ts'

/** What the daemon says of itself. These paths are not passed on to a registry. Whoever calls has settled that the client may ask. */

type Answer = { readonly contentType: string; readonly body: string }

const TEXT = 'text/plain; charset=utf-8'
const JSON_TYPE = 'application/json; charset=utf-8'

export class LocalEndpoints {
  readonly #answers: ReadonlyMap<string, () => Answer | Promise<Answer>>

  constructor({ shown, metrics }: Pick<DfdaemonOptions, 'shown'> & { readonly metrics: DaemonMetrics }) {
    this.#answers = new Map<string, () => Answer | Promise<Answer>>([
      ['/args', () => ({ contentType: TEXT, body: shown.args.map(word => `${word} `).join('') })],
      ['/env', () => json(shown.settings)],
      ['/debug/version', () => json(versionFacts())],
      ['/metrics', () => metrics.text()],
    ])
  }

  /** @param path without the query */
  has(path: string): boolean {
    return this.#answers.has(path)
  }

  /** GET and HEAD of a path that it has. */
  async answer(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answerOf = this.#answers.get(path)
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    if (answerOf === undefined || !isRead) {
      response.writeHead(answerOf ? 405 : 404, { allow: 'GET, HEAD', 'content-length': 0 }).end()
      return
    }
    const { contentType, body } = await answerOf()
    response.writeHead(200, {
      'content-type': contentType,
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
    })
    response.end(request.method === 'HEAD' ? undefined : body)
  }
}

function json(facts: object): Answer {
  return { contentType: JSON_TYPE, body: `${JSON.stringify(facts)}\n` }
}

/** The keys of dfdaemon 1.x, with Node's version in the place of Go's. */
function versionFacts(): Record<string, string> {
  const arch = { x64: 'amd64', ia32: '386' }[process.arch as string] ?? process.arch
  return { Arch: arch, NodeVersion: process.version, OS: process.platform, Version: VERSION }
}
