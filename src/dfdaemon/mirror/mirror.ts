import type { IncomingMessage, ServerResponse } from 'node:http'
import { authorityOf } from '../../net/url-authority.ts'
import type { ContentServer } from '../content/content-server.ts'
import type { Destinations } from '../destination.ts'
import type { RequestKind } from '../metrics.ts'
import type { MirrorOptions, Registry } from '../options.ts'
import { sendRefusal } from '../upstream/error-answer.ts'
import { fieldsOf, without } from '../upstream/fields.ts'
import { passThrough, REGISTRY_FIELD } from '../upstream/pass-through.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { readMirrorPath, repositoryOf } from './mirror-path.ts'
import { chooseRegistry } from './registry-choice.ts'
import { registryInPath } from './registry-in-path.ts'
import { isSharedQuestion, type SharedAnswers } from './shared-answers.ts'

type MirrorParts = {
  readonly options: MirrorOptions
  readonly destinations: Destinations
  readonly upstream: Upstream
  readonly content: Pick<ContentServer, 'answer'>
  readonly sharedAnswers: SharedAnswers
  /** Of a request that cannot be answered by any registry. */
  onInvalid(request: IncomingMessage, what: string): void
}

/** The registry's mirror: blobs go through the swarm, all else to the registry that the request means. */
export class Mirror {
  readonly #parts: MirrorParts

  constructor(parts: MirrorParts) {
    this.#parts = parts
  }

  /** A request in origin form. Resolves when the exchange is over, with what kind of request it was. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<RequestKind> {
    const { options, upstream, content, sharedAnswers, onInvalid } = this.#parts
    const [path, ...query] = request.url!.split('?')
    const read = readMirrorPath(path)
    if (read.kind === 'invalid') {
      onInvalid(request, read.code)
      sendRefusal(response, 400, { code: read.code, message: read.message })
      return 'refused'
    }
    const { name, rest } = takeName(query.join('?'))
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    const said = name ?? fieldOf(request)
    // Uploads go on at a `Location` that names no registry any more.
    const inPath = said === null && isRead ? registryInPath(options, path) : null
    const asked = inPath ?? { name: said, path }
    const registry = chooseRegistry(options, { name: asked.name, repository: repositoryOf(asked.path) })
    const url = registry === null ? null : URL.parse(`${registry.remote}${asked.path}${rest}`)
    if (registry === null || url === null) {
      onInvalid(request, 'registry')
      sendRefusal(response, 400, { code: 'NAME_INVALID', message: 'the registry is not named by its host' })
      return 'refused'
    }
    const { host, port } = authorityOf(url)
    await this.#parts.destinations.checkName({ host, port })
    const { trust } = registry
    const isMeantForUsual = inPath !== null && !isSameServer(registry, options.usual)
    const shown = fieldsOf(request.rawHeaders)
    const fields = isMeantForUsual ? without(shown, CREDENTIALS) : shown
    const exchange = { request, response, url, trust, fields }
    if (read.kind === 'blob' && isRead && read.digest !== null && !registry.isDirect) {
      await content.answer({ digest: read.digest, name: fileNameOf(read.digest) }, exchange)
      return 'blob'
    }
    if (isSharedQuestion(request, url)) await sharedAnswers.answer(exchange)
    else await passThrough(upstream, exchange)
    return read.kind === 'blob' ? 'blob' : 'mirror'
  }
}

/** containerd's `ns` is for the mirror. The rest of the query goes on as it came. */
function takeName(query: string): { name: string | null; rest: string } {
  const parameters = query === '' ? [] : query.split('&')
  const named = parameters.find(isName)
  const others = parameters.filter(parameter => !isName(parameter))
  return {
    name: named === undefined ? null : new URLSearchParams(named).get('ns') || null,
    rest: others.length === 0 ? '' : `?${others.join('&')}`,
  }
}

function isName(parameter: string): boolean {
  return parameter === 'ns' || parameter.startsWith('ns=')
}

function fieldOf(request: IncomingMessage): string | null {
  const value = request.headers[REGISTRY_FIELD]
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : null
}

function isSameServer(one: Registry, other: Registry): boolean {
  return new URL(one.remote).origin === new URL(other.remote).origin
}

/** Who names a registry in the path has seen no other answer to `/v2/` than the usual registry's, so what they show is meant for that. */
const CREDENTIALS = new Set(['authorization', 'cookie'])

function fileNameOf(digest: string): string {
  return digest.replace(':', '-')
}
