import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { LIES, startLyingPeer } from './support/lying-peer.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile, startSystem } from './support/system.ts'

const MIB = 1024 ** 2
const LENGTH_BYTES = 24 * MIB + 17
const HONEST_PEERS = 3
/** A source that lies is asked for no more than what was assigned before the first answer of it was judged, by each. */
const REQUESTS_MAX = HONEST_PEERS * 8

describe('a peer that claims to hold everything and sends', { concurrency: 3 }, () => {
  let origin: OriginServer
  before(async () => {
    origin = await startOriginServer()
  })
  after(() => origin.close())

  for (const lie of LIES) {
    it(`${lie}: gets no byte into a file, and is avoided`, { timeout: 60_000 }, async t => {
      const file = origin.serve(`/${LIES.indexOf(lie)}`, { lengthBytes: LENGTH_BYTES, seed: 11 })
      // A seed that can do little, so that whoever else has something is asked a lot.
      const system = await startSystem({ uploadSlots: 2, uploadLimit: 12 * MIB, freshMs: 60_000 })
      t.after(() => system.stop())
      const content = origin.expectedBytes(file.path)
      const liar = await startLyingPeer({ node: system.node, url: file.url, lie, content })
      t.after(() => liar.close())
      const peers = await Promise.all(Array.from({ length: HONEST_PEERS }, () => system.startPeer()))
      const results = await Promise.all(peers.map(peer => system.download(peer, file.url)))
      const expected = await origin.contentSha256(file.path)
      for (const result of results) {
        assert.equal(result.digest, expected)
        assert.equal(await sha256OfFile(result.path), expected)
      }
      assert.ok(liar.requestCount > 0, 'the liar was asked')
      assert.ok(liar.requestCount <= REQUESTS_MAX, `the liar was asked ${liar.requestCount} times`)
      // Whoever is overtaken by another source has not failed.
      if (lie !== 'one byte after the other') assert.ok(results.some(result => result.retries > 0))
    })
  }
})
