import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { HELD_BYTES } from '../src/dfdaemon/content/swarm-source.ts'
import { startBlobMirror } from './support/blob-mirror.ts'
import { ask } from './support/dfdaemon-world.ts'

/** Blobs through the mirror, where all goes well: what comes, from where, and when. */

const MIB = 1024 * 1024
const LENGTH = 3 * MIB + 5
const {
  daemon,
  registry,
  fetcher,
  newBlob,
  get,
  swarmHas,
  assertContent,
  nextDownload,
  beginGet,
  begin,
  settled,
} = await startBlobMirror()

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
    assert.equal(headers.via, '1.1 dragonfly')
    assert.equal(registry.requests.at(-1)!.headers.via, '1.1 dragonfly')
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
    const { content, client, download } = await begin()
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

  it('ends when the whole is verified, for who comes now too, while the peer has yet to store it', async () => {
    const { content, path, client, download } = await begin()
    await download.grow(content)
    await client.has(LENGTH - HELD_BYTES)
    const late = beginGet(path)
    await late.has(LENGTH - HELD_BYTES)
    download.verified(LENGTH)
    assertContent(await client.got, content)
    assertContent(await late.got, content)
    await download.given
  })

  it('waits where the whole is verified, and has another name than the peer has said yet', async () => {
    const { content, client, download } = await begin()
    await download.fill(content, 0)
    const { file } = download
    await download.move()
    download.verified(LENGTH, file)
    await settled()
    await download.complete(LENGTH)
    assertContent(await client.got, content)
  })

  it('is one reading for all who come while it lasts, each from its own byte', async () => {
    const { content, path, client: first, download } = await begin()
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
