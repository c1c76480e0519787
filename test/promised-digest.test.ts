import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import path from 'node:path'
import { after, before, it } from 'node:test'
import { announcement, ControlPeer } from './support/control-peer.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

/** Content that is named by its digest, and comes from others in any order. */

const MIB = 1024 ** 2
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()

let origin: OriginServer
let system: TestSystem
before(async () => {
  origin = await startOriginServer()
  system = await startSystem({ freshMs: 3_600_000 })
})
after(async () => {
  await system.stop()
  await origin.close()
})

it('is verified as a whole, from wherever it is read meanwhile', async () => {
  const file = origin.serve('/anywhere', { lengthBytes: 40 * MIB + 3 })
  const digest = await origin.contentSha256(file.path)
  for (const readFrom of [undefined, 0, 17 * MIB, 40 * MIB]) {
    const peer = await system.startPeer()
    const reader = readFrom === undefined ? {} : { lookAhead: 4, readFrom }
    const result = await system.download(peer, file.url, { digest, ...reader })
    assert.equal(result.digest, digest)
    assert.equal(await sha256OfFile(result.path), digest)
  }
  assert.equal(file.requests.length, 1)
})

it('is told with the digests of all that is before each piece, also by a supernode that has started again', async () => {
  const file = origin.serve('/told', { lengthBytes: 5 * MIB + 3 })
  const digest = await origin.contentSha256(file.path)
  const content = origin.expectedBytes(file.path)
  const prefixes = [1, 2, 3, 4, 5, 6].map(count => sha256(content.subarray(0, count * MIB)))
  await system.download(await system.startPeer(), file.url, { digest })
  for (const start of ['the first', 'another']) {
    const peer = await ControlPeer.greeted(system.node)
    const said = await peer.announce(announcement({ url: file.url, digest }))
    assert.ok(said.type === 'layout', start)
    assert.deepEqual(Buffer.from(said.prefixes ?? []), Buffer.concat(prefixes), start)
    peer.socket.terminate()
    await system.restartSupernode()
  }
})

it('is verified as a whole where an earlier run of the peer has left a part of it', async () => {
  const file = origin.serve('/resumed', { lengthBytes: 40 * MIB })
  const digest = await origin.contentSha256(file.path)
  const homeRoot = path.join(system.directory, 'resumed')
  const first = await system.startPeer({ homeRoot, totalLimit: 32 * MIB })
  const begun = await system.begin(first, file.url, { digest, lookAhead: 4, readFrom: 8 * MIB })
  while (begun.run.snapshot().heldBytes < 10 * MIB) await new Promise(setImmediate)
  await first.stop()
  const second = await system.startPeer({ homeRoot })
  const result = await system.download(second, file.url, { digest })
  assert.ok(result.bytes.local >= 10 * MIB, `${result.bytes.local} bytes were there`)
  assert.equal(result.digest, digest)
  assert.equal(await sha256OfFile(result.path), digest)
})
