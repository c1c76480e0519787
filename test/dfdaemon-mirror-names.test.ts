import assert from 'node:assert/strict'
import { after, beforeEach, describe, it } from 'node:test'
import { type FakeRegistry, startFakeRegistry } from './support/dfdaemon-registry.ts'
import { ask, bytesOf, registryAt, startDfdaemonWorld } from './support/dfdaemon-world.ts'

/** A registry that is named as the first component of the repository, as podman and its kin do. */

const other = await startFakeRegistry()
const world = await startDfdaemonWorld(({ url, host }) => ({
  mirror: {
    usual: registryAt(url),
    registries: new Map([
      ['other.example', registryAt(other.url)],
      ['other.example/team', registryAt(`${other.url}/base`)],
      ['same.example', registryAt(`http://${host}`)],
    ]),
  },
}))
const { daemon, registry, fetcher } = world
after(() => Promise.all([world.stop(), other.close()]))

beforeEach(() => {
  other.intercept = null
  fetcher.script = null
})

const shown = { Authorization: 'Basic dTpw' }
const lastAt = (one: FakeRegistry) => one.requests.at(-1)!
const usualComponent = registry.host.replace(':', '.')

describe('a registry that is named in the path', () => {
  it('is asked without that component, and the query stays', async () => {
    await ask(daemon.port, '/v2/other.example/lib/app/manifests/1?a=%20')
    assert.equal(lastAt(other).url, '/v2/lib/app/manifests/1?a=%20')
    await ask(daemon.port, '/v2/other.example/team/app/tags/list')
    assert.equal(lastAt(other).url, '/base/v2/team/app/tags/list')
    const count = other.requests.length
    await ask(daemon.port, `/v2/${usualComponent}/lib/app/manifests/1`)
    assert.equal(lastAt(registry).url, '/v2/lib/app/manifests/1')
    assert.equal(other.requests.length, count)
  })

  it('is part of the repository where the table does not have it, and where the request names another', async () => {
    await ask(daemon.port, '/v2/unknown.example/lib/app/manifests/1')
    assert.equal(lastAt(registry).url, '/v2/unknown.example/lib/app/manifests/1')
    await ask(daemon.port, '/v2/same.example/lib/app/manifests/1?ns=other.example')
    assert.equal(lastAt(other).url, '/v2/same.example/lib/app/manifests/1')
    const headers = { 'X-Dragonfly-Registry': 'other.example' }
    await ask(daemon.port, '/v2/same.example/lib/app/manifests/2', { headers })
    assert.equal(lastAt(other).url, '/v2/same.example/lib/app/manifests/2')
  })

  it('gives its blobs through the swarm', async () => {
    const content = bytesOf(300_000)
    const digest = other.addBlob(content)
    fetcher.script = async download => {
      await download.grow(content)
      await download.complete(content.length)
    }
    const got = await ask(daemon.port, `/v2/other.example/lib/app/blobs/${digest}`)
    assert.ok(got.body.equals(content))
    assert.equal(fetcher.downloads.at(-1)!.order.url, `${other.url}/v2/lib/app/blobs/${digest}`)
    assert.equal(other.blobBytes, 0)
  })

  it('answers with its own challenge and its own redirect, unchanged', async () => {
    const fields = {
      'WWW-Authenticate': 'Bearer realm="https://b/token",scope="repository:lib/app:pull"',
      Location: '/v2/lib/app/manifests/other',
    }
    other.intercept = (_, response) => {
      response.writeHead(401, fields).end()
      return true
    }
    const got = await ask(daemon.port, '/v2/other.example/lib/app/manifests/1')
    assert.equal(got.headers['www-authenticate'], fields['WWW-Authenticate'])
    assert.equal(got.headers.location, fields.Location)
  })

  it('is not shown what the client shows to the usual one, and that one is', async () => {
    const digest = other.addBlob(bytesOf(10))
    registry.addBlob(bytesOf(10))
    const paths = ['manifests/1', 'tags/list', `blobs/${digest}`]
    for (const path of paths) {
      await ask(daemon.port, `/v2/other.example/lib/app/${path}`, { method: 'HEAD', headers: shown })
      const { headers, url } = lastAt(other)
      assert.equal(url, `/v2/lib/app/${path}`)
      assert.equal(headers.authorization, undefined, path)
    }
    for (const name of [usualComponent, 'same.example']) {
      await ask(daemon.port, `/v2/${name}/lib/app/manifests/1`, { headers: shown })
      assert.equal(lastAt(registry).headers.authorization, shown.Authorization)
    }
    await ask(daemon.port, '/v2/lib/app/manifests/1?ns=other.example', { headers: shown })
    assert.equal(lastAt(other).headers.authorization, shown.Authorization)
  })

  it('gets no upload, which would go on at the usual one', async () => {
    const count = other.requests.length
    await ask(daemon.port, '/v2/other.example/lib/app/blobs/uploads/', { method: 'POST' })
    assert.equal(other.requests.length, count)
    assert.equal(lastAt(registry).url, '/v2/other.example/lib/app/blobs/uploads/')
  })
})
