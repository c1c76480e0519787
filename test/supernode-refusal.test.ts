import assert from 'node:assert/strict'
import { rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

const MIB = 1024 * 1024
const LENGTH = 24 * MIB + 17

describe('a supernode whose disk fails for a while', () => {
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

  it('serves those whom it has refused again, on the channel that was open all the time', async () => {
    const repo = path.join(system.directory, 'supernode', 'repo')
    await rename(repo, `${repo}.away`)
    await writeFile(repo, 'no directory')
    const file = origin.serve('/file', { lengthBytes: LENGTH, seed: 3, rateBytesPerSecond: MIB })
    const peers = [await system.startPeer(), await system.startPeer()]
    const downloads = Promise.all(peers.map(peer => system.download(peer, file.url)))
    const isAlone = () => peers.every(peer => peer.status().tasks.some(({ bytes }) => bytes.origin > 0))
    while (!isAlone()) await new Promise(setImmediate)
    await rm(repo)
    await rename(`${repo}.away`, repo)
    file.set({ rateBytesPerSecond: null })
    for (const { bytes, path } of await downloads) {
      assert.ok(bytes.supernode + bytes.peers > LENGTH / 2, JSON.stringify(bytes))
      assert.equal(await sha256OfFile(path), await origin.contentSha256('/file'))
    }
  })
})
