import assert from 'node:assert/strict'
import type { ClientRequest } from 'node:http'
import { after, beforeEach, describe, it } from 'node:test'
import { DragonflyError } from '../src/core/error.ts'
import { HELD_BYTES, USUAL_PATIENCE } from '../src/dfdaemon/content/swarm-source.ts'
import type { ScriptedDownload } from './support/dfdaemon-fetcher.ts'
import { startFakeRegistry } from './support/dfdaemon-registry.ts'
import {
  ask,
  bytesOf,
  type DfdaemonWorld,
  type Got,
  registryAt,
  startDfdaemonWorld,
} from './support/dfdaemon-world.ts'

/** Blobs through the mirror: who gets them, from where, and what happens when the swarm fails. Each row of docs/internals/dfdaemon.md. */

const MIB = 1024 * 1024
const LENGTH = 3 * MIB + 5

const world: DfdaemonWorld = await startDfdaemonWorld(({ url }) => ({
  mirror: { usual: registryAt(url), registries: new Map([['direct.example', registryAt(url, true)]]) },
}))
const { daemon, registry, fetcher, clock, log } = world
const store = await startFakeRegistry()
after(() => Promise.all([world.stop(), store.close()]))

let seed = 1

beforeEach(() => {
  fetcher.script = null
  registry.intercept = null
  registry.store = null
  registry.allowed.clear()
})

/** A blob of its own for each test, so that nothing is remembered of it. */
function newBlob(lengthBytes = LENGTH) {
  const content = bytesOf(lengthBytes, ++seed)
  const digest = registry.addBlob(content)
  store.addBlob(content)
  return { content, digest, path: `/v2/library/app/blobs/${digest}` }
}

const get = (path: string, headers: Record<string, string> = {}) => ask(daemon.port, path, { headers })

/** The swarm has it all. */
function swarmHas(content: Buffer) {
  fetcher.script = async download => {
    await download.grow(content)
    await download.complete(content.length)
  }
}

function assertContent(got: Got, expected: Buffer) {
  assert.ok(got.isWhole, 'the whole body came')
  assert.ok(got.body.equals(expected), 'the right bytes came')
}

const nextDownload = () => fetcher.begun(fetcher.downloads.length)

/** A client that has got so many bytes already. */
function beginGet(path: string, headers: Record<string, string> = {}) {
  let outgoing!: ClientRequest
  let hasBytes = 0
  let onMore = () => {}
  const got = ask(daemon.port, path, {
    headers,
    onRequest: request => {
      outgoing = request
    },
    onResponse: response =>
      response.on('data', part => {
        hasBytes += part.length
        onMore()
      }),
  })
  const has = (bytes: number) =>
    new Promise<void>(resolve => {
      onMore = () => hasBytes >= bytes && resolve()
      onMore()
    })
  return { got, has, leave: () => outgoing.destroy() }
}

describe('a blob', () => {
  it('comes from the swarm, with the head that the registry gives it', async () => {
    const { content, digest, path } = newBlob()
    swarmHas(content)
    const before = registry.blobBytes
    const got = await get(path)
    assert.equal(got.status, 200)
    assertContent(got, content)
    assert.equal(registry.blobBytes, before, 'the registry sent none of it')
    const { headers } = got
    assert.equal(headers['content-length'], `${LENGTH}`)
    assert.equal(headers['docker-content-digest'], digest)
    assert.equal(headers.etag, `"${digest}"`)
    assert.equal(headers['content-type'], 'application/octet-stream')
    assert.equal(headers['accept-ranges'], 'bytes')
    assert.equal(headers['content-encoding'], undefined)
  })

  it('is asked of the peer by its digest, with what the origin needs and nothing else', async () => {
    const { content, digest, path } = newBlob()
    swarmHas(content)
    const downloading = nextDownload()
    await get(`${path}?x=1`, {
      Authorization: 'Basic dTpw',
      Cookie: 'a=b',
      'User-Agent': 'containerd/1.6',
      'Accept-Encoding': 'gzip',
      Range: 'bytes=1000000-',
    })
    const { order } = await downloading
    assert.deepEqual(order, {
      url: `${registry.url}${path}?x=1`,
      headers: [
        ['Authorization', 'Basic dTpw'],
        ['Cookie', 'a=b'],
      ],
      name: digest.replace(':', '-'),
      digest,
      authorities: null,
      isInsecure: false,
      lookAhead: 16,
      readFrom: 1_000_000,
    })
  })

  it('is given by HEAD without asking the swarm', async () => {
    const { path } = newBlob()
    const begun = fetcher.downloads.length
    const got = await ask(daemon.port, path, { method: 'HEAD' })
    assert.equal(got.status, 200)
    assert.equal(got.headers['content-length'], `${LENGTH}`)
    assert.equal(fetcher.downloads.length, begun)
  })

  it('of no bytes needs no swarm', async () => {
    const { path } = newBlob(0)
    const begun = fetcher.downloads.length
    const got = await get(path)
    assert.equal(got.headers['content-length'], '0')
    assertContent(got, Buffer.alloc(0))
    assert.equal(fetcher.downloads.length, begun)
  })

  it('that the registry does not have is not found, as the registry says it', async () => {
    const path = `/v2/library/app/blobs/sha256:${'0'.repeat(64)}`
    const begun = fetcher.downloads.length
    const got = await get(path)
    assert.equal(got.status, 404)
    assert.equal(got.body.toString(), '{"errors":[{"code":"BLOB_UNKNOWN"}]}')
    assert.equal(fetcher.downloads.length, begun)
  })

  it('of a registry that is direct comes from the registry', async () => {
    const { content, path } = newBlob()
    const begun = fetcher.downloads.length
    assertContent(await get(`${path}?ns=direct.example`), content)
    assert.equal(fetcher.downloads.length, begun)
  })

  it('begins while the rest is still on its way, and waits with its end until the whole is verified', async () => {
    const { content, path } = newBlob()
    const downloading = nextDownload()
    const client = beginGet(path)
    const download = await downloading
    await download.grow(content.subarray(0, MIB))
    await client.has(MIB)
    await download.grow(content.subarray(MIB))
    await client.has(LENGTH - HELD_BYTES)
    const isOver = await Promise.race([client.got.then(() => true), settled().then(() => false)])
    assert.equal(isOver, false)
    await download.complete(LENGTH)
    const got = await client.got
    assertContent(got, content)
  })

  it('is one reading for all who come while it lasts, each from its own byte', async () => {
    const { content, path } = newBlob()
    const downloading = nextDownload()
    const first = beginGet(path)
    const download = await downloading
    await download.grow(content.subarray(0, 2 * MIB))
    await first.has(MIB)
    const begun = fetcher.downloads.length
    const late = beginGet(path)
    const part = beginGet(path, { Range: `bytes=${MIB}-` })
    await Promise.all([late.has(2 * MIB), part.has(MIB)])
    await download.grow(content.subarray(2 * MIB))
    await download.complete(LENGTH)
    const [whole, again, rest] = await Promise.all([first.got, late.got, part.got])
    assertContent(whole, content)
    assertContent(again, content)
    assertContent(rest, content.subarray(MIB))
    assert.equal(fetcher.downloads.length, begun)
    await download.given
  })

  it('is given up when the last reader has left, and not before', async () => {
    const { content, path } = newBlob()
    const downloading = nextDownload()
    const [one, other] = [beginGet(path), beginGet(path)]
    const download = await downloading
    await download.grow(content.subarray(0, MIB))
    await Promise.all([one.has(MIB), other.has(MIB)])
    one.leave()
    await assert.rejects(one.got.then(got => assert.ok(got.isWhole)))
    await download.grow(content.subarray(MIB, 2 * MIB))
    await other.has(2 * MIB)
    assert.equal(download.signal.aborted, false)
    other.leave()
    await other.got.catch(() => {})
    await download.given
  })
})

describe('a range', () => {
  it('is read from its first byte on, before what lies before it', async () => {
    const { content, path } = newBlob()
    const start = MIB + 3
    const downloading = nextDownload()
    const client = beginGet(path, { Range: `bytes=${start}-${start + 99}` })
    const download = await downloading
    assert.equal(download.order.readFrom, start)
    const holed = Buffer.concat([Buffer.alloc(start), content.subarray(start)])
    await download.fill(holed, start + 2000)
    const got = await client.got
    assert.equal(got.status, 206)
    assert.equal(got.headers['content-range'], `bytes ${start}-${start + 99}/${LENGTH}`)
    assert.equal(got.headers['content-length'], '100')
    assertContent(got, content.subarray(start, start + 100))
  })

  it('far from what is read already gets a reading of its own, in the name of the first', async () => {
    const { path, content } = newBlob(40 * MIB)
    const downloading = nextDownload()
    const first = beginGet(path, { Authorization: 'first' })
    const download = await downloading
    await download.grow(content.subarray(0, MIB))
    await first.has(MIB)
    const next = nextDownload()
    const second = beginGet(path, { Range: `bytes=${30 * MIB}-${30 * MIB + 9}`, Authorization: 'second' })
    const own = await next
    assert.equal(own.order.readFrom, 30 * MIB)
    assert.deepEqual(own.order.headers, [['Authorization', 'first']])
    await own.fill(content, 31 * MIB)
    assertContent(await second.got, content.subarray(30 * MIB, 30 * MIB + 10))
    first.leave()
    await first.got.catch(() => {})
  })

  it('beyond the end is refused with the length, and nothing is fetched', async () => {
    const { path } = newBlob()
    const begun = fetcher.downloads.length
    const got = await get(path, { Range: `bytes=${LENGTH}-` })
    assert.equal(got.status, 416)
    assert.equal(got.headers['content-range'], `bytes */${LENGTH}`)
    assert.equal(fetcher.downloads.length, begun)
  })
})

describe('where the swarm fails', () => {
  const failures: [string, (download: ScriptedDownload) => unknown][] = [
    ['because the peer is stopped', download => download.fail(new DragonflyError('CANCELLED', 'it stops'))],
    ['at once', download => download.fail(new DragonflyError('PEER_NOT_STARTED', 'no peer'))],
    [
      'by its own word',
      download => download.say({ event: 'failed', code: 'SUPERNODE_UNREACHABLE', message: 'gone', hint: '' }),
    ],
    ['with another length', download => download.grow(Buffer.alloc(10)).then(() => download.complete(10))],
    [
      'with a copy that cannot be read',
      download =>
        download.say({
          event: 'progress',
          progress: { heldBytes: 1 } as never,
          readable: { path: '/', generation: '0123456789abcdef', endByte: MIB },
        }),
    ],
  ]
  for (const [how, fail] of failures) {
    it(`${how}, the registry is read instead`, async () => {
      const { content, path } = newBlob()
      fetcher.script = fail
      const got = await get(path, { Authorization: 'Basic dTpw' })
      assert.equal(got.status, 200)
      assertContent(got, content)
      assert.equal(registry.requests.at(-1)!.headers.authorization, 'Basic dTpw')
    })
  }

  it('in the middle, the registry goes on at the byte where the answer stands', async () => {
    const { content, path, digest } = newBlob()
    const downloading = nextDownload()
    const client = beginGet(path)
    const download = await downloading
    await download.grow(content.subarray(0, MIB))
    await client.has(MIB)
    const before = registry.blobBytes
    download.fail(new DragonflyError('PEER_LOST', 'killed'))
    assertContent(await client.got, content)
    assert.equal(registry.blobBytes - before, LENGTH - MIB)
    const { headers } = registry.requests.at(-1)!
    assert.equal(headers.range, `bytes=${MIB}-${LENGTH - 1}`)
    assert.equal(headers['if-range'], `"${digest}"`)
  })

  it('by silence, the registry goes on when patience is at its end', async () => {
    const { content, path } = newBlob()
    const downloading = nextDownload()
    const client = beginGet(path)
    const download = await downloading
    await download.grow(content.subarray(0, MIB))
    await client.has(MIB)
    clock.moveOn(USUAL_PATIENCE.silentMs - 500)
    await settled()
    assert.equal(download.signal.aborted, false)
    clock.moveOn(600)
    assertContent(await client.got, content)
    await download.given
  })

  it('by pieces that are never the next, too', async () => {
    const { content, path } = newBlob()
    const downloading = nextDownload()
    const client = beginGet(path)
    const download = await downloading
    for (let heldBytes = 1; heldBytes <= 12; heldBytes++) {
      download.progress(0, '0123456789abcdef', heldBytes)
      await settled()
      clock.moveOn(USUAL_PATIENCE.stuckMs / 10)
    }
    assertContent(await client.got, content)
  })

  it('to verify the whole, its last bytes come from the registry', async () => {
    const { content, path } = newBlob()
    const downloading = nextDownload()
    const client = beginGet(path)
    const download = await downloading
    await download.grow(content)
    await client.has(LENGTH - HELD_BYTES)
    await settled()
    const before = registry.blobBytes
    clock.moveOn(USUAL_PATIENCE.verifyMs + 1)
    assertContent(await client.got, content)
    assert.equal(registry.blobBytes - before, HELD_BYTES)
  })

  it('with a digest that does not match, the whole is compared with the registry as it goes by', async () => {
    const { content, path } = newBlob()
    const downloading = nextDownload()
    const client = beginGet(path)
    const download = await downloading
    const wrong = Buffer.from(content)
    wrong[LENGTH - 7] ^= 1
    await download.grow(wrong)
    await client.has(LENGTH - HELD_BYTES)
    const before = registry.blobBytes
    download.fail(new DragonflyError('DIGEST_MISMATCH', 'not what it should be'))
    assertContent(await client.got, content)
    assert.equal(registry.blobBytes - before, LENGTH)
  })

  it('with a digest that does not match, the comparison begins anew where the registry breaks off', async () => {
    const { content, path } = newBlob()
    const downloading = nextDownload()
    const client = beginGet(path)
    const download = await downloading
    const wrong = Buffer.from(content)
    wrong[LENGTH - 7] ^= 1
    await download.grow(wrong.subarray(0, MIB))
    await client.has(MIB)
    let broken = 0
    registry.intercept = (request, response) => {
      if (request.method !== 'GET' || broken === 2) return false
      broken++
      response.writeHead(200, { 'content-length': LENGTH })
      response.write(content.subarray(0, broken * MIB + 1000), () => response.destroy())
      return true
    }
    download.fail(new DragonflyError('DIGEST_MISMATCH', 'not what it should be'))
    assertContent(await untilOver(client.got), content)
    assert.equal(broken, 2)
  })

  it('with wrong bytes that the client has already, the answer is broken off before its end', async () => {
    const { content, path } = newBlob()
    const downloading = nextDownload()
    const client = beginGet(path)
    const download = await downloading
    const wrong = Buffer.from(content)
    wrong[7] ^= 1
    await download.grow(wrong)
    await client.has(LENGTH - HELD_BYTES)
    download.fail(new DragonflyError('DIGEST_MISMATCH', 'not what it should be'))
    const got = await client.got
    assert.equal(got.isWhole, false)
    assert.ok(got.body.length < LENGTH)
  })

  it('with another version, no byte of it follows those of the first', async () => {
    const { content, path } = newBlob()
    const downloading = nextDownload()
    const client = beginGet(path)
    const download = await downloading
    await download.grow(content.subarray(0, MIB))
    await client.has(MIB)
    await download.grow(bytesOf(MIB, 0), 'fedcba9876543210')
    assertContent(await client.got, content)
  })

  it('and the registry breaks off, it is asked again from there, three times at most', async () => {
    const { content, path } = newBlob()
    fetcher.script = download => download.fail(new DragonflyError('PEER_LOST', 'killed'))
    let broken = 0
    const breakOff = (times: number) => {
      broken = 0
      registry.intercept = (request, response) => {
        if (request.method !== 'GET' || broken === times) return false
        const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
        const isPart = request.headers.range !== undefined
        response.writeHead(isPart ? 206 : 200, {
          'content-length': LENGTH - start,
          ...(isPart ? { 'content-range': `bytes ${start}-${LENGTH - 1}/${LENGTH}` } : {}),
        })
        broken++
        response.write(content.subarray(start, start + 1000), () => response.destroy())
        return true
      }
    }
    breakOff(3)
    assertContent(await untilOver(get(path)), content)
    assert.equal(broken, 3)
    breakOff(4)
    const got = await untilOver(get(path))
    assert.equal(got.isWhole, false)
    assert.ok(got.body.equals(content.subarray(0, 4000)))
  })

  it('and the registry is gone, the answer says so where nothing was sent', async () => {
    const gone = await startFakeRegistry()
    const { content } = newBlob(1000)
    const digest = gone.addBlob(content)
    const second = await startDfdaemonWorld(() => ({
      mirror: { usual: registryAt(gone.url), registries: new Map() },
    }))
    try {
      second.fetcher.script = async download => {
        await gone.close()
        download.fail(new DragonflyError('PEER_LOST', 'killed'))
      }
      const got = await untilOver(ask(second.daemon.port, `/v2/a/b/blobs/${digest}`), second.clock)
      assert.equal(got.status, 502)
      const [{ code, detail }] = JSON.parse(got.body.toString()).errors
      assert.equal(code, 'ORIGIN_UNREACHABLE')
      assert.ok(detail.hint.length > 0)
    } finally {
      await second.stop()
    }
  })
})

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
    for (const secret of ['alice-secret', 'bob-secret', 'dTpw', 'secret-signature']) {
      assert.ok(!log.text.includes(secret), secret)
    }
  })
})

/** Lets the pauses between tries pass. */
async function untilOver(getting: Promise<Got>, passing = clock): Promise<Got> {
  let isOver = false
  const over = () => {
    isOver = true
  }
  getting.then(over, over)
  while (!isOver) {
    await settled()
    passing.moveOn(500)
  }
  return getting
}

/** When all that is under way in this process without waiting for the clock has been done. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
}
