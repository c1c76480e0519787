import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, statfs } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type RunningCli, residentStatus, runCli, startCli, stopResident } from './support/cli-run.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile } from './support/system.ts'

/** A file that no memory and no 32-bit number holds, through real processes. */

const GIB = 1024 ** 3
const MIB = 1024 ** 2
const LENGTH_BYTES = 5 * GIB
/** One copy at the supernode, one at the peer; the output is the peer's copy by another name. */
const NEEDED_BYTES = 14 * GIB
const PEER_RSS_MAX = 200 * MIB
const SUPERNODE_RSS_MAX = 400 * MIB
/** Five times as long as it takes where nothing else runs. */
const PATIENCE_MS = 250_000

describe('a file of 5 GiB', () => {
  let directory = ''
  let home = ''
  let origin: OriginServer
  let supernode: RunningCli
  before(async () => {
    const { bavail, bsize } = await statfs(os.tmpdir())
    const freeBytes = bavail * bsize
    assert.ok(
      freeBytes >= NEEDED_BYTES,
      `this test needs 14 GiB of disk in ${os.tmpdir()}, ${Math.floor(freeBytes / GIB)} GiB are free; set TMPDIR`,
    )
    directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-huge-'))
    home = path.join(directory, 'home')
    origin = await startOriginServer()
    const flags = ['--home-dir', path.join(directory, 'supernode'), '--listen-ip', '127.0.0.1']
    supernode = startCli('supernode', [...flags, '--port', '0', '--download-port', '0'], {
      patienceMs: PATIENCE_MS,
    })
  })
  after(async () => {
    await stopResident(home)
    supernode.child.kill('SIGTERM')
    await supernode.ended
    await origin.close()
    await rm(directory, { recursive: true, force: true })
  })

  it('arrives whole, is read once, and takes little memory', async () => {
    const [said] = await once(supernode.child.stdout!, 'data')
    const port = /control on \S+:(\d+),/.exec(said)![1]
    const file = origin.serve('/huge', { lengthBytes: LENGTH_BYTES, seed: 0 })
    const output = path.join(directory, 'huge')
    const flags = ['-u', file.url, '-o', output, '--home', home, '--ip', '127.0.0.1', '--json']
    const { status, json, stdout, stderr } = await runCli(
      'dfget',
      [...flags, '--node', `127.0.0.1:${port}`],
      {
        patienceMs: PATIENCE_MS,
      },
    )
    assert.equal(status, 0, stdout + stderr)
    const { lengthBytes, digest, bytes } = json()
    assert.equal(lengthBytes, LENGTH_BYTES)
    assert.deepEqual(bytes, { origin: 0, supernode: LENGTH_BYTES, peers: 0, local: 0 })
    assert.ok(file.bodyBytesSent <= LENGTH_BYTES * 1.01)
    const resident = await residentStatus(home)
    const peerRss = await peakRss(resident!.pid)
    const supernodeRss = await peakRss(supernode.child.pid!)
    const [expected, found] = await Promise.all([origin.contentSha256('/huge'), sha256OfFile(output)])
    assert.equal(digest, expected)
    assert.equal(found, expected)
    assert.ok(peerRss <= PEER_RSS_MAX, `the peer took ${Math.round(peerRss / MIB)} MiB`)
    assert.ok(supernodeRss <= SUPERNODE_RSS_MAX, `the supernode took ${Math.round(supernodeRss / MIB)} MiB`)
    console.log(`peer ${Math.round(peerRss / MIB)} MiB, supernode ${Math.round(supernodeRss / MIB)} MiB`)
  })
})

async function peakRss(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]) * 1024
}
