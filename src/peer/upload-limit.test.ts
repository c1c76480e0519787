import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { test } from 'node:test'
import { startOriginServer } from '../../test/support/origin-server.ts'
import { startSystem } from '../../test/support/system.ts'

const KIB = 1024
const LENGTH = 512 * KIB
const RATE = 1024 * KIB
/** A timer may be early by a millisecond. */
const AHEAD_SECONDS = 0.005

test('what a peer sends to all together keeps to its total limit, from when that is set', async t => {
  const origin = await startOriginServer()
  t.after(() => origin.close())
  const system = await startSystem()
  t.after(() => system.stop())
  const peer = await system.startPeer()
  const file = origin.serve('/file', { lengthBytes: LENGTH })
  const { run, release } = await system.begin(peer, file.url)
  const { taskId } = await run.done
  release()
  const fetchWhole = async () => {
    const outgoing = request({
      ...{ host: '127.0.0.11', port: peer.uploadPort, path: `/tasks/${taskId}`, agent: false },
      headers: { Authorization: `Bearer ${run.token}` },
    }).end()
    const [answer] = await once(outgoing, 'response')
    return Buffer.concat(await answer.toArray())
  }
  // The limiter saves up from when it is set, so that is measured too.
  const startedAt = performance.now()
  peer.limits.change({ total: RATE })
  const received = await Promise.all([fetchWhole(), fetchWhole()])
  const seconds = (performance.now() - startedAt) / 1000
  const leastSeconds = (2 * LENGTH) / RATE - AHEAD_SECONDS
  assert.ok(seconds >= leastSeconds, `${seconds} s, and at the limit it takes ${leastSeconds} s`)
  for (const bytes of received) assert.ok(bytes.equals(Buffer.from(origin.expectedBytes('/file'))))
})
