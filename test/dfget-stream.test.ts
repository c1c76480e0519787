import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { residentStatus } from './support/cli-run.ts'
import { startDfgetWorld, stopDfgetWorld } from './support/dfget-world.ts'
import type { ServedFile } from './support/origin-server.ts'

/** `-O -`: the content goes to standard output while it comes, on real processes. */

const MIB = 1024 ** 2
const DFGET = path.join(import.meta.dirname, '../src/cli/dfget.ts')

const world = await startDfgetWorld()
const { origin, system, home } = world
after(() => stopDfgetWorld(world))

type Stream = { child: ChildProcess; stderr: () => string; ended: Promise<number | null> }

function startStream(file: ServedFile, ...flags: string[]): Stream {
  const words = ['-u', file.url, '-O', '-', '--config=', '--home', home, '--ip', '127.0.0.1', ...flags]
  const nodes = flags.includes('--pattern=source') ? [] : ['--node', system.node]
  const child = spawn(process.execPath, [DFGET, ...words, ...nodes], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
    cwd: system.directory,
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  return { child, stderr: () => stderr, ended: once(child, 'close').then(([status]) => status) }
}

async function collect(stream: Stream): Promise<{ status: number | null; content: Buffer }> {
  const parts: Buffer[] = []
  stream.child.stdout!.on('data', part => parts.push(part))
  const status = await stream.ended
  return { status, content: Buffer.concat(parts) }
}

describe('-O -', () => {
  it('gives the content and nothing else', async () => {
    const file = origin.serve('/stream/plain', { lengthBytes: 20 * MIB + 7 })
    for (const flags of [[], ['--json'], ['-q'], ['--pattern=source', '--identifier=alone']]) {
      const stream = startStream(file, ...flags)
      const { status, content } = await collect(stream)
      assert.equal(status, 0, stream.stderr())
      assert.ok(content.equals(origin.expectedBytes(file.path)), flags.join(' '))
      if (flags[0] === '--json') assert.equal(JSON.parse(stream.stderr()).output, '-')
      else assert.equal(stream.stderr(), '')
    }
    assert.deepEqual((await readdir(system.directory)).sort(), ['home', 'supernode'])
  })

  it('also where nobody knows the length, and where there is nothing', async () => {
    for (const [name, lengthBytes] of [
      ['chunks', 9 * MIB + 1],
      ['none', 0],
    ] as const) {
      const file = origin.serve(`/stream/${name}`, { lengthBytes, framing: 'chunked' })
      const { status, content } = await collect(startStream(file))
      assert.equal(status, 0)
      assert.ok(content.equals(origin.expectedBytes(file.path)))
    }
  })

  it('begins while the rest is still on its way', async () => {
    const file = origin.serve('/stream/early', {
      lengthBytes: 64 * MIB,
      bodyFault: { kind: 'stall', afterBytes: 6 * MIB },
    })
    const stream = startStream(file)
    const [first] = await once(stream.child.stdout!, 'data')
    assert.ok(file.bodyBytesSent < file.behaviour.lengthBytes, 'the origin has not sent all')
    assert.ok((first as Buffer).equals(origin.expectedBytes(file.path, 0, first.length)))
    stream.child.kill('SIGINT')
    assert.equal(await stream.ended, 130)
  })

  it('ends with its next write when its reader goes away', async () => {
    const file = origin.serve('/stream/gone', { lengthBytes: 64 * MIB, rateBytesPerSecond: 4 * MIB })
    const stream = startStream(file)
    await once(stream.child.stdout!, 'data')
    stream.child.stdout!.destroy()
    assert.equal(await stream.ended, 1)
    assert.ok(file.bodyBytesSent < file.behaviour.lengthBytes, 'the origin has not sent all')
    assert.match(stream.stderr(), /OUTPUT_INVALID: nobody reads standard output any more/)
  })

  it('waits for a reader who does not read, and no longer than until Ctrl-C', async () => {
    const file = origin.serve('/stream/full', { lengthBytes: 8 * MIB })
    const stream = startStream(file)
    await origin.when(() => file.bodyBytesSent === file.behaviour.lengthBytes)
    await once(stream.child.stdout!, 'readable')
    stream.child.kill('SIGINT')
    await once(stream.child, 'exit')
    assert.equal(stream.child.exitCode, 130)
    stream.child.stdout!.destroy()
  })

  it('has no word of a failure among the content, however early', async () => {
    const file = origin.serve('/stream/early-failure', { lengthBytes: 1 })
    const config = path.join(system.directory, 'home')
    for (const flags of [['--pattern=source', '--notbs'], [`--config=${config}`], ['--output=x']]) {
      const stream = startStream(file, '--json', ...flags)
      const { status, content } = await collect(stream)
      assert.deepEqual([status, content.length], [1, 0], stream.stderr())
      assert.equal(JSON.parse(stream.stderr()).ok, false)
    }
  })

  it('ends with the status of a wrong digest, whatever it has passed on', async () => {
    const file = origin.serve('/stream/wrong', { lengthBytes: 5 * MIB })
    const stream = startStream(file, '--md5', 'ab'.repeat(16))
    const { status } = await collect(stream)
    assert.equal(status, 20)
    assert.match(stream.stderr(), /DIGEST_MISMATCH/)
  })

  it('goes on in the same place when the resident peer is killed in the middle', async () => {
    const file = origin.serve('/stream/killed', { lengthBytes: 24 * MIB, rateBytesPerSecond: 8 * MIB })
    const stream = startStream(file)
    const whole = collect(stream)
    await once(stream.child.stdout!, 'data')
    process.kill((await residentStatus(home))!.pid, 'SIGKILL')
    const { status, content } = await whole
    assert.equal(status, 0, stream.stderr())
    assert.ok(content.equals(origin.expectedBytes(file.path)))
  })

  it('is never a mixture of two versions of the content', async () => {
    const file = origin.serve('/stream/mixed', { lengthBytes: 24 * MIB, rateBytesPerSecond: 6 * MIB })
    const stream = startStream(file, '--pattern=source')
    const whole = collect(stream)
    await once(stream.child.stdout!, 'data')
    file.set({ seed: 77 })
    process.kill((await residentStatus(home))!.pid, 'SIGKILL')
    const { status, content } = await whole
    assert.notEqual(status, 0)
    const bytes = origin.serve('/stream/first', { lengthBytes: 24 * MIB })
    assert.ok(content.equals(origin.expectedBytes(bytes.path, 0, content.length)))
  })
})
