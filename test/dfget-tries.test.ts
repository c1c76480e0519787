import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { residentStatus, runCli, startCli } from './support/cli-run.ts'
import { startDfgetWorld, stopDfgetWorld } from './support/dfget-world.ts'
import { sha256OfFile } from './support/system.ts'

/** How dfget persists: `--tries`, `--continue`, and what an interruption leaves; on real processes. */

const MIB = 1024 ** 2

const world = await startDfgetWorld()
const { origin, home } = world
after(() => stopDfgetWorld(world))

const newOutput = async () => path.join(await world.newDirectory('out'), 'target')
const words = (url: string, output: string, ...flags: string[]) => [
  ...['-u', url, '-o', output, ...world.flags(), ...flags],
]
const alone = ['--pattern=source', '--json']

describe('--tries', () => {
  // One try of the command's is three of the peer's at the origin.
  it('tries again what may pass', async () => {
    const refusal = { status: 503, times: 4 }
    const file = origin.serve('/tries/passing', { lengthBytes: 1_000, refusal })
    const once = await runCli('dfget', words(file.url, await newOutput(), ...alone, '--tries=1'))
    assert.equal(once.json().code, 'ORIGIN_ERROR')
    file.set({ refusal })
    const output = await newOutput()
    const ended = await runCli('dfget', words(file.url, output, ...alone, '--tries=2'))
    assert.equal(ended.status, 0, ended.stdout)
    assert.equal(await sha256OfFile(output), await origin.contentSha256(file.path))
  })

  it('never what cannot', async () => {
    const ended = await runCli('dfget', words(`${origin.url}/tries/absent`, await newOutput(), ...alone))
    assert.equal(ended.json().code, 'ORIGIN_NOT_FOUND')
    assert.equal(origin.requests.filter(({ path: name }) => name === '/tries/absent').length, 1)
  })

  it('is for the resident peer, too: killed again and again, it is started again', async () => {
    const file = origin.serve('/tries/killed', { lengthBytes: 12 * MIB, rateBytesPerSecond: 3 * MIB })
    const output = await newOutput()
    const { ended } = startCli('dfget', words(file.url, output, '--json'))
    let pid = 0
    for (const share of [1, 3]) {
      await origin.when(() => file.bodyBytesSent > share * MIB)
      const until = performance.now() + 10_000
      let now = await residentStatus(home)
      while ((now === null || now.pid === pid) && performance.now() < until) now = await residentStatus(home)
      pid = now!.pid
      process.kill(pid, 'SIGKILL')
    }
    const { status, stdout } = await ended
    assert.equal(status, 0, stdout)
    assert.equal(await sha256OfFile(output), await origin.contentSha256(file.path))
  })

  it('is over when --timeout or Ctrl-C is', async () => {
    const file = origin.serve('/tries/late', { lengthBytes: 1_000, refusal: { status: 503 } })
    const late = await runCli(
      'dfget',
      words(file.url, await newOutput(), ...alone, '--tries=1000', '--timeout=4s'),
    )
    assert.deepEqual([late.status, late.json().code], [80, 'DOWNLOAD_TIMEOUT'])
    const before = file.requests.length
    const { child, ended } = startCli('dfget', words(file.url, await newOutput(), ...alone, '--tries=1000'))
    await origin.when(() => file.requests.length >= before + 3)
    child.kill('SIGINT')
    assert.equal((await ended).status, 130)
  })
})

describe('--continue', () => {
  it('leaves an output that is complete as it is, whoever made it, and says so', async () => {
    const file = origin.serve('/continue/whole', { lengthBytes: 2 * MIB })
    const output = await newOutput()
    await writeFile(output, origin.expectedBytes(file.path))
    const before = await stat(output)
    const first = await runCli('dfget', words(file.url, output, '-c'))
    assert.match(first.stdout, /target was complete already, and is as it was\n$/)
    const after = await stat(output)
    assert.deepEqual([after.ino, after.mtimeMs, after.nlink], [before.ino, before.mtimeMs, 1])
    const plain = await runCli('dfget', words(file.url, output))
    assert.doesNotMatch(plain.stdout, /complete already/)
    assert.notEqual((await stat(output)).ino, before.ino)
    const again = await runCli('dfget', words(file.url, output, '-c'))
    assert.match(again.stdout, /complete already/)
  })

  it('replaces what is something else, or a part only', async () => {
    const file = origin.serve('/continue/part', { lengthBytes: 2 * MIB })
    const whole = Buffer.from(origin.expectedBytes(file.path))
    const other = Buffer.from(whole)
    other[MIB]++
    for (const content of [whole.subarray(0, MIB), other, Buffer.concat([whole, whole])]) {
      const output = await newOutput()
      await writeFile(output, content)
      const { status, stdout } = await runCli('dfget', words(file.url, output, '-c'))
      assert.equal(status, 0, stdout)
      assert.doesNotMatch(stdout, /complete already/)
      assert.deepEqual(await readFile(output), whole)
    }
  })

  it('is not needed: what an interrupted download had is not fetched again', async () => {
    const file = origin.serve('/continue/kept', {
      lengthBytes: 8 * MIB,
      bodyFault: { kind: 'stall', afterBytes: 5 * MIB, times: 1 },
    })
    const output = await newOutput()
    const { child, ended } = startCli('dfget', words(file.url, output, ...alone))
    await origin.when(() => file.bodyBytesSent >= 5 * MIB)
    while (((await residentStatus(home))?.tasks.at(-1)?.heldBytes ?? 0) < 2 * MIB);
    const before = file.requests.length
    child.kill('SIGINT')
    const interrupted = await ended
    assert.equal(file.requests.length, before, 'the stall was not waited for')
    assert.deepEqual([interrupted.status, interrupted.json().code], [130, 'CANCELLED'])
    const { status, json, stdout } = await runCli('dfget', words(file.url, output, ...alone))
    assert.equal(status, 0, stdout)
    assert.ok((json().bytes as { local: number }).local >= 2 * MIB, stdout)
    assert.equal(await sha256OfFile(output), await origin.contentSha256(file.path))
  })

  it('nor by the supernode, and no directory is left where no file came to lie', async () => {
    const file = origin.serve('/continue/swarm', { lengthBytes: 16 * MIB, rateBytesPerSecond: 8 * MIB })
    const output = path.join(path.dirname(await newOutput()), 'new', 'target')
    const { child, ended } = startCli('dfget', words(file.url, output, '--json'))
    await origin.when(() => file.bodyBytesSent >= 6 * MIB)
    child.kill('SIGINT')
    assert.equal((await ended).json().code, 'CANCELLED')
    await assert.rejects(stat(path.dirname(output)), { code: 'ENOENT' })
    const { status, json, stdout } = await runCli('dfget', words(file.url, output, '--json'))
    assert.equal(status, 0, stdout)
    assert.ok((json().bytes as { local: number }).local >= 3 * MIB, stdout)
    assert.equal(await sha256OfFile(output), await origin.contentSha256(file.path))
    assert.ok(file.bodyBytesSent <= 16 * MIB * 1.01)
  })
})
