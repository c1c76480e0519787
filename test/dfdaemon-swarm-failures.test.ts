import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DragonflyError } from '../src/core/error.ts'
import { HELD_BYTES, USUAL_PATIENCE } from '../src/dfdaemon/content/swarm-source.ts'
import { startBlobMirror } from './support/blob-mirror.ts'
import type { ScriptedDownload } from './support/dfdaemon-fetcher.ts'
import { startFakeRegistry } from './support/dfdaemon-registry.ts'
import { ask, bytesOf, registryAt, startDfdaemonWorld } from './support/dfdaemon-world.ts'

/** Blobs where the swarm fails: each row of the table in docs/internals/dfdaemon.md. */

const MIB = 1024 * 1024
const LENGTH = 3 * MIB + 5
const { log, registry, fetcher, clock, newBlob, get, assertContent, begin, untilOver, settled } =
  await startBlobMirror()

describe('where the swarm fails', () => {
  const failures: [string, (download: ScriptedDownload) => unknown][] = [
    ['because the peer is stopped', download => download.fail(new DragonflyError('CANCELLED', 'it stops'))],
    ['at once', download => download.fail(new DragonflyError('PEER_NOT_STARTED', 'no peer'))],
    [
      'by its own word',
      download => download.say({ event: 'failed', code: 'SUPERNODE_UNREACHABLE', message: 'gone', hint: '' }),
    ],
    ['with another length', download => download.fill(Buffer.alloc(10), 0).then(() => download.complete(10))],
    [
      'with a copy that cannot be read',
      download =>
        download.say({
          event: 'progress',
          progress: { heldBytes: 1 } as never,
          readable: { path: '/', generation: '0123456789abcdef', endByte: MIB, isWhole: false },
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
    const { content, digest, client, download } = await begin()
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
    const { content, client, download } = await begin()
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
    const { content, client, download } = await begin()
    for (let heldBytes = 1; heldBytes <= 12; heldBytes++) {
      download.progress(0, '0123456789abcdef', heldBytes)
      await settled()
      clock.moveOn(USUAL_PATIENCE.stuckMs / 10)
    }
    assertContent(await client.got, content)
  })

  it('to verify the whole, its last bytes come from the registry', async () => {
    const { content, client, download } = await begin()
    await download.grow(content)
    await client.has(LENGTH - HELD_BYTES)
    await settled()
    const before = registry.blobBytes
    clock.moveOn(USUAL_PATIENCE.verifyMs + 1)
    assertContent(await client.got, content)
    assert.equal(registry.blobBytes - before, HELD_BYTES)
  })

  it('with a digest that does not match, the whole is compared with the registry as it goes by', async () => {
    const { content, client, download } = await begin()
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
    const { content, client, download } = await begin()
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
    const { content, client, download } = await begin()
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
    const { content, client, download } = await begin()
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

  it('the log says so, without the credentials of who asked', () => {
    assert.ok(log.text.includes('the upstream is read instead'))
    assert.ok(!log.text.includes('dTpw'))
  })
})
