import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

describe('a file that many peers want', () => {
  let origin: OriginServer
  let system: TestSystem
  before(async () => {
    origin = await startOriginServer()
    system = await startSystem()
  })
  after(async () => {
    await system.stop()
    await origin.close()
  })

  it('reaches all of them, is the same everywhere, and is read from the origin once', async () => {
    const lengthBytes = 24 * 1024 * 1024 + 17
    const file = origin.serve('/many', { lengthBytes, seed: 7 })
    const peers = await Promise.all(Array.from({ length: 6 }, () => system.startPeer()))
    const results = await Promise.all(peers.map(peer => system.download(peer, file.url)))
    const expected = await origin.contentSha256('/many')
    for (const result of results) {
      assert.equal(result.digest, expected)
      assert.equal(await sha256OfFile(result.path), expected)
      assert.equal(result.bytes.peers + result.bytes.supernode, lengthBytes)
    }
    assert.ok(file.bodyBytesSent <= lengthBytes * 1.01)
  })
})
