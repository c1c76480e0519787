import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DragonflyError } from '../src/core/error.ts'
import { startBlobMirror } from './support/blob-mirror.ts'

/** Who may read what lies next door. */

const MIB = 1024 * 1024
const LENGTH = 3 * MIB + 5
const {
  registry,
  fetcher,
  clock,
  log,
  store,
  newBlob,
  get,
  swarmHas,
  assertContent,
  nextDownload,
  beginGet,
  settled,
} = await startBlobMirror()

describe('who may read', () => {
  const alice = { Authorization: 'Bearer alice-secret' }
  const bob = { Authorization: 'Bearer bob-secret' }

  it('is decided by the registry: who is refused gets its refusal, and no byte that lies next door', async () => {
    const { content, path } = newBlob()
    registry.allowed.set('library/app', alice.Authorization)
    swarmHas(content)
    assertContent(await get(path, alice), content)
    for (const headers of [bob, {}]) {
      const begun = fetcher.downloads.length
      const got = await get(path, headers as Record<string, string>)
      assert.equal(got.status, 401)
      assert.equal(got.headers['www-authenticate'], `Bearer realm="${registry.url}/token",service="fake"`)
      assert.equal(got.body.toString(), '{"errors":[{"code":"UNAUTHORIZED"}]}')
      assert.equal(fetcher.downloads.length, begun)
    }
  })

  it('is decided for late-comers before they join', async () => {
    const { content, path } = newBlob()
    registry.allowed.set('library/app', alice.Authorization)
    const downloading = nextDownload()
    const client = beginGet(path, alice)
    const download = await downloading
    await download.grow(content)
    await client.has(MIB)
    assert.equal((await get(path, bob)).status, 401)
    await download.complete(LENGTH)
    assertContent(await client.got, content)
  })

  it('is remembered for the same caller and repository alone, and for a while', async () => {
    const { content, digest, path } = newBlob()
    swarmHas(content)
    registry.allowed.set('library/app', alice.Authorization)
    const asked = () => registry.count('HEAD', digest)
    await get(path, alice)
    await get(path, alice)
    assert.equal(asked(), 1)
    await get(`/v2/library/other/blobs/${digest}`, alice)
    assert.equal(asked(), 2, 'another repository is asked for')
    await get(path, { ...alice, Cookie: 'session=2' })
    assert.equal(asked(), 3, 'who shows something else is asked for')
    clock.moveOn(60_001)
    registry.allowed.set('library/app', bob.Authorization)
    assert.equal((await get(path, alice)).status, 401)
  })

  it('is never remembered where it is no', async () => {
    const { content, digest, path } = newBlob()
    swarmHas(content)
    registry.allowed.set('library/app', bob.Authorization)
    assert.equal((await get(path, alice)).status, 401)
    registry.allowed.set('library/app', alice.Authorization)
    assertContent(await get(path, alice), content)
    assert.equal(registry.count('HEAD', digest), 2)
  })

  it('is asked once by all who ask the same at the same time', async () => {
    const { content, digest, path } = newBlob()
    swarmHas(content)
    const heads: (() => void)[] = []
    registry.intercept = (request, response) => {
      if (request.method !== 'HEAD') return false
      heads.push(() => response.writeHead(200, { 'content-length': LENGTH }).end())
      return true
    }
    const getting = Array.from({ length: 5 }, () => get(path, alice))
    while (heads.length === 0) await settled()
    await settled()
    for (const answer of heads) answer()
    for (const got of await Promise.all(getting)) assertContent(got, content)
    assert.equal(registry.count('HEAD', digest), 1)
  })

  it('is asked along redirects, and credentials stay behind', async () => {
    const { content, digest, path } = newBlob()
    swarmHas(content)
    registry.store = store
    const before = store.requests.length
    const got = await get(path, { ...alice, Cookie: 'a=b', 'Private-Token': 'c', 'User-Agent': 'tester' })
    assertContent(got, content)
    assert.equal(got.headers['docker-content-digest'], digest)
    const [{ method, headers }] = store.requests.slice(before)
    assert.equal(method, 'HEAD')
    const { authorization, cookie, 'private-token': token, 'user-agent': agent } = headers
    assert.deepEqual([authorization, cookie, token, agent], [undefined, undefined, undefined, 'tester'])
  })

  it('is not told again to a host that a redirect leads back to', async () => {
    const { path, digest } = newBlob()
    registry.intercept = (request, response) => {
      if (!request.url!.startsWith('/v2/')) return false
      response.writeHead(307, { location: `${store.url}/back`, 'content-length': 0 }).end()
      return true
    }
    store.intercept = (_, response) => {
      response.writeHead(307, { location: `${registry.url}/again/${digest}`, 'content-length': 0 }).end()
      return true
    }
    await get(path, alice)
    store.intercept = null
    const back = registry.requests.find(({ url }) => url === `/again/${digest}`)
    assert.ok(back, 'it was followed')
    assert.equal(back.headers.authorization, undefined)
  })

  for (const status of [405, 501]) {
    it(`is asked by a GET of one byte where HEAD is answered with ${status}`, async () => {
      const { content, digest, path } = newBlob()
      swarmHas(content)
      registry.intercept = (request, response) => {
        if (request.method !== 'HEAD') return false
        response.writeHead(status).end()
        return true
      }
      assertContent(await get(path), content)
      const asked = registry.requests.filter(({ url, method }) => method === 'GET' && url.includes(digest))
      assert.deepEqual(
        asked.map(({ headers }) => headers.range),
        ['bytes=0-0'],
      )
    })
  }

  it('is asked by GET where the URL that a redirect names is signed for GET only', async () => {
    const { content, path } = newBlob()
    swarmHas(content)
    registry.store = store
    store.intercept = (request, response) => {
      if (request.method !== 'HEAD') return false
      response.writeHead(403).end()
      return true
    }
    const got = await get(path, { Range: 'bytes=5-9' })
    store.intercept = null
    assert.equal(got.status, 206)
    assertContent(got, content.subarray(5, 10))
  })

  it('goes along when the rest is read from where the registry redirects to, without credentials', async () => {
    const { content, path } = newBlob()
    registry.store = store
    fetcher.script = async download => {
      await download.grow(content.subarray(0, MIB))
      download.fail(new DragonflyError('PEER_LOST', 'killed'))
    }
    assertContent(await get(path, alice), content)
    const { method, headers } = store.requests.at(-1)!
    assert.equal(method, 'GET')
    assert.equal(headers.authorization, undefined)
  })

  it('leaves no credentials and no signature in the log', () => {
    assert.ok(log.text.includes('the upstream is read instead'))
    for (const secret of ['alice-secret', 'bob-secret', 'secret-signature']) {
      assert.ok(!log.text.includes(secret), secret)
    }
  })
})
