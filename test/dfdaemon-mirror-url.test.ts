import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, beforeEach, describe, it } from 'node:test'
import { type Generation, generationOf } from '../src/core/generation.ts'
import { ask, bytesOf, startDfdaemonWorld } from './support/dfdaemon-world.ts'

/** Content that only its URL names, as a rule of the proxy picks it: never a mixture of versions, and nobody's for somebody else. */

const LENGTH = 1_000_000
const content = bytesOf(LENGTH)
const world = await startDfdaemonWorld(() => ({
  proxy: {
    rules: [{ pattern: /\/files\//, usesHttps: false, isDirect: false, redirect: null }],
    hijack: null,
  },
}))
const { daemon, registry: origin, fetcher } = world
after(() => world.stop())

let validators: Record<string, string>

beforeEach(() => {
  validators = { ETag: '"one"' }
  origin.intercept = (request, response) => {
    response.writeHead(200, { ...validators, 'Content-Length': LENGTH })
    response.end(request.method === 'HEAD' ? undefined : content)
    return true
  }
})

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
const generation = (etag: string): Generation =>
  generationOf({ validator: { etag, lastModified: null }, lengthBytes: LENGTH, nonce: '' }, sha256)

const get = (name: string, headers: Record<string, string> = {}) =>
  ask(daemon.port, `${origin.url}/files/${name}`, { headers })

const bodiesSent = () => origin.count('GET', '/files/')

describe('content that only its URL names', () => {
  it('comes from the swarm in the version that the upstream has', async () => {
    fetcher.script = async download => {
      await download.grow(content, generation('"one"'))
      await download.complete(LENGTH)
    }
    const before = bodiesSent()
    const got = await get('same?X-Amz-Signature=hush')
    assert.equal(got.headers.etag, '"one"')
    assert.ok(got.body.equals(content))
    assert.equal(fetcher.downloads.at(-1)!.order.digest, null)
    assert.equal(bodiesSent(), before)
    assert.ok(!world.log.text.includes('hush'))
  })

  it('comes from the upstream where the swarm has another version', async () => {
    fetcher.script = async download => {
      await download.grow(bytesOf(LENGTH, 2), generation('"old"'))
      await download.complete(LENGTH)
    }
    const got = await get('changed')
    assert.ok(got.body.equals(content))
  })

  it('is one reading for callers who were both let in to the same version', async () => {
    const { both, begun } = await readTwice('shared')
    assert.equal(begun, 1)
    for (const got of both) assert.ok(got.body.equals(content))
  })

  it('is a reading for each caller where the upstream names no version', async () => {
    validators = {}
    const { both, begun } = await readTwice('unnamed')
    assert.equal(begun, 2)
    for (const got of both) assert.ok(got.body.equals(content))
  })

  it('is passed through where its length is not known, and where the request has a condition', async () => {
    const begun = fetcher.downloads.length
    const conditional = await get('conditional', { 'If-None-Match': '"one"' })
    assert.ok(conditional.body.equals(content))
    origin.intercept = (request, response) => {
      response.writeHead(200, { 'Transfer-Encoding': 'chunked' })
      response.end(request.method === 'HEAD' ? undefined : content)
      return true
    }
    assert.ok((await get('chunks')).body.equals(content))
    assert.equal(fetcher.downloads.length, begun)
  })
})

/** By two callers who show different things, while neither has been answered. */
async function readTwice(name: string) {
  const before = fetcher.downloads.length
  fetcher.script = null
  const getting = ['a', 'b'].map(user => get(name, { Authorization: user }))
  const asked = () => origin.count('HEAD', `/files/${name}`)
  while (asked() < 2) await new Promise(resolve => setImmediate(resolve))
  const first = await fetcher.begun(before)
  for (let turn = 0; turn < 50; turn++) await new Promise(resolve => setImmediate(resolve))
  const begun = fetcher.downloads.length - before
  for (const download of fetcher.downloads.slice(before)) {
    await download.grow(content, generation('"one"'))
    await download.complete(LENGTH)
  }
  assert.ok(first)
  return { both: await Promise.all(getting), begun }
}
