import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { type Processes, startProcesses } from './support/processes.ts'
import { sha256OfFile } from './support/system.ts'

const MIB = 1024 ** 2
const LENGTH_BYTES = 256 * MIB
const PEERS = 8
const PEER_RATE = 32 * MIB

describe('eight cold peers on one supernode that may send as much as two of them', () => {
  let origin: OriginServer
  let processes: Processes
  before(async () => {
    origin = await startOriginServer()
    processes = await startProcesses(['--upload-limit', String(2 * PEER_RATE)])
  })
  after(async () => {
    await processes.stop()
    await origin.close()
  })

  it('all get the same 256 MiB, which the origin sends once, mostly from each other', {
    timeout: 120_000,
  }, async () => {
    const file = origin.serve('/file', { lengthBytes: LENGTH_BYTES, seed: 21 })
    const accounts = Array.from({ length: PEERS }, () =>
      processes.account(['--totallimit', String(PEER_RATE)]),
    )
    const outcomes = await Promise.all(accounts.map(account => account.dfget(file.url).outcome))
    const expected = await origin.contentSha256(file.path)
    let fromPeers = 0
    for (const [i, { status, digest, bytes }] of outcomes.entries()) {
      assert.deepEqual([status, digest], [0, expected])
      assert.equal(await sha256OfFile(accounts[i].output), expected)
      assert.equal(bytes.peers + bytes.supernode, LENGTH_BYTES)
      fromPeers += bytes.peers
    }
    assert.ok(file.bodyBytesSent <= 1.01 * LENGTH_BYTES, `the origin sent ${file.bodyBytesSent} bytes`)
    const share = fromPeers / (PEERS * LENGTH_BYTES)
    assert.ok(share >= 0.8, `${Math.round(share * 100)} % came from peers`)
  })
})
