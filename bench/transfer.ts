import { type ChildProcess, fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, existsSync } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { Agent, createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Bitmap } from '../src/core/bitmap.ts'
import type { Generation } from '../src/core/generation.ts'
import { parseSize } from '../src/core/size.ts'
import type { TaskId } from '../src/core/task-id.ts'
import { BufferPool } from '../src/net/buffer-pool.ts'
import { PieceClient } from '../src/net/piece-client.ts'
import { startPieceServer } from '../src/net/piece-server.ts'
import { systemClock } from '../src/ops/system-clock.ts'
import { quantile } from './figures.ts'

/**
 * What a transfer costs: one process sends a file over loopback, another one receives, hashes and stores it. `naive` is what one writes
 * with streams (`createReadStream().pipe(res)`, `http.get` and 'data' events), `careful` is PieceServer and PieceClient. Both fetch the
 * same pieces, as many at once. The two alternate, because the machine is seldom quiet; the ratio counts, not the figures.
 *
 *     node bench/transfer.ts [--bytes 1GiB] [--piece 1MiB] [--in-flight 8] [--connections 2] [--depth 2] [--rounds 3] [--only careful]
 */

type Variant = 'naive' | 'careful'

type Plan = {
  file: string
  output: string
  lengthBytes: number
  pieceLength: number
  inFlight: number
  connections: number
  depth: number
}

type Cost = { cpuSeconds: number; wallSeconds: number; rssMib: number }

const TASK = 'ab'.repeat(32) as TaskId
const TOKEN = 'bench'

const { values } = parseArgs({
  options: {
    bytes: { type: 'string', default: '1GiB' },
    piece: { type: 'string', default: '1MiB' },
    'in-flight': { type: 'string', default: '8' },
    connections: { type: 'string', default: '2' },
    depth: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
    role: { type: 'string' },
  },
})

if (values.role === undefined) await main()
else
  process.once(
    'message',
    message => void serve(values.role as string, message as { plan: Plan; port: number }),
  )

async function main(): Promise<void> {
  const directory = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'dragonfly-bench-'))
  const plan: Plan = {
    file: join(directory, 'content'),
    output: join(directory, 'received'),
    lengthBytes: parseSize(values.bytes),
    pieceLength: parseSize(values.piece),
    inFlight: Number(values['in-flight']),
    connections: Number(values.connections),
    depth: Number(values.depth),
  }
  try {
    await fill(plan)
    await compare(plan, Number(values.rounds))
  } finally {
    await rm(directory, { recursive: true })
  }
}

async function compare(plan: Plan, rounds: number): Promise<void> {
  const variants = (['naive', 'careful'] as const).filter(variant => !values.only || values.only === variant)
  const totals = new Map<Variant, number[]>(variants.map(variant => [variant, []]))
  console.log('variant   send CPU s/GiB   receive CPU s/GiB   wall s/GiB   RSS MiB send, receive')
  for (let round = 0; round < rounds; round++) {
    for (const variant of variants) {
      const { send, receive } = await run(variant, plan)
      const perGib = 2 ** 30 / plan.lengthBytes
      totals.get(variant)?.push((send.cpuSeconds + receive.cpuSeconds) * perGib)
      const figures = [send.cpuSeconds, receive.cpuSeconds, receive.wallSeconds].map(value =>
        (value * perGib).toFixed(2),
      )
      console.log(
        `${variant.padEnd(9)} ${figures[0].padStart(14)} ${figures[1].padStart(19)} ${figures[2].padStart(12)}   ${send.rssMib}, ${receive.rssMib}`,
      )
    }
  }
  const [naive, careful] = variants.map(variant => quantile(totals.get(variant)!, 0.5))
  if (careful !== undefined)
    console.log(
      `median CPU, both sides: naive ${naive.toFixed(2)} s/GiB, careful ${careful.toFixed(2)} s/GiB: ${(naive / careful).toFixed(2)} times less`,
    )
}

async function run(variant: Variant, plan: Plan): Promise<{ send: Cost; receive: Cost }> {
  const sender = start(`${variant}-send`)
  sender.send({ plan, port: 0 })
  const [port] = (await once(sender, 'message')) as [number]
  const receiver = start(`${variant}-receive`)
  receiver.send({ plan, port })
  const [receive] = (await once(receiver, 'message')) as [Cost]
  sender.send('stop')
  const [send] = (await once(sender, 'message')) as [Cost]
  sender.kill()
  receiver.kill()
  await rm(plan.output)
  return { send, receive }
}

function start(role: string): ChildProcess {
  return fork(new URL(import.meta.url), ['--role', role])
}

async function serve(role: string, { plan, port }: { plan: Plan; port: number }): Promise<void> {
  const meter = startMeter()
  if (role === 'naive-receive') await naiveReceive(plan, port)
  else if (role === 'careful-receive') await carefulReceive(plan, port)
  else {
    const listening = role === 'naive-send' ? await naiveSend(plan) : await carefulSend(plan)
    process.send?.(listening)
    await once(process, 'message')
  }
  process.send?.(meter())
}

/** The start of the process itself is left out. */
function startMeter(): () => Cost {
  const startMs = performance.now()
  const start = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(start)
    return {
      cpuSeconds: (user + system) / 1e6,
      wallSeconds: (performance.now() - startMs) / 1000,
      rssMib: Math.round(process.resourceUsage().maxRSS / 1024),
    }
  }
}

async function naiveSend(plan: Plan): Promise<number> {
  const server = createServer((request, response) => {
    const [start, last] = /(\d+)-(\d+)/
      .exec(request.headers.range ?? '')!
      .slice(1)
      .map(Number)
    response.writeHead(206, {
      'Content-Length': last - start + 1,
      'Content-Range': `bytes ${start}-${last}/${plan.lengthBytes}`,
    })
    createReadStream(plan.file, { start, end: last }).pipe(response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function naiveReceive(plan: Plan, port: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: plan.inFlight })
  const output = await open(plan.output, 'w')
  await eachPiece(plan, async (start, end) => {
    const request = get({ port, host: '127.0.0.1', agent, headers: { Range: `bytes=${start}-${end - 1}` } })
    const [response] = await once(request, 'response')
    const hash = createHash('sha256')
    const writes: Promise<unknown>[] = []
    let position = start
    response.on('data', (chunk: Buffer) => {
      hash.update(chunk)
      writes.push(output.write(chunk, 0, chunk.length, position))
      position += chunk.length
    })
    await once(response, 'end')
    await Promise.all(writes)
    hash.digest()
  })
  await output.close()
  agent.destroy()
}

async function carefulSend(plan: Plan): Promise<number> {
  const file = await open(plan.file, 'r')
  const content = {
    layout: plan,
    held: new Bitmap(Math.ceil(plan.lengthBytes / plan.pieceLength)),
    generation: '0123456789abcdef' as Generation,
    holdsRange: () => true,
    read: async (into: Uint8Array, position: number) =>
      (await file.read(into, 0, into.length, position)).bytesRead,
    retain: () => () => {},
  }
  const server = await startPieceServer({
    host: '127.0.0.1',
    port: 0,
    catalog: { find: () => ({ content, token: TOKEN }) },
    clock: systemClock,
    limiter: null,
    maxUploads: 16,
    idleMs: 30_000,
  })
  return server.port
}

async function carefulReceive(plan: Plan, port: number): Promise<void> {
  const client = new PieceClient({
    clock: systemClock,
    timeouts: { connectMs: 5000, headMs: 10_000, idleMs: 10_000 },
    connectionsPerSource: plan.connections,
    pipelineDepth: plan.depth,
    idleCloseMs: 30_000,
    maxConnections: 16,
  })
  const buffers = new BufferPool(128 * 2 ** 20)
  const output = await open(plan.output, 'w')
  const { signal } = new AbortController()
  await eachPiece(plan, async (start, end) => {
    const source = { host: '127.0.0.1', port, taskId: TASK, token: TOKEN }
    const range = { start, end }
    const { buffer, bytes } = await client.fetch({
      ...source,
      range,
      buffers,
      hash: () => createHash('sha256'),
      limiter: null,
      signal,
    })
    await output.write(bytes, 0, bytes.length, start)
    buffers.release(buffer)
  })
  await output.close()
  client.close()
}

async function eachPiece(plan: Plan, fetch: (start: number, end: number) => Promise<void>): Promise<void> {
  let next = 0
  const slot = async () => {
    while (next < plan.lengthBytes) {
      const start = next
      next = Math.min(plan.lengthBytes, start + plan.pieceLength)
      await fetch(start, next)
    }
  }
  await Promise.all(Array.from({ length: plan.inFlight }, slot))
}

async function fill(plan: Plan): Promise<void> {
  const file = await open(plan.file, 'w')
  const block = Buffer.alloc(2 ** 20, 'dragonfly')
  for (let position = 0; position < plan.lengthBytes; position += block.length) {
    await file.write(block, 0, Math.min(block.length, plan.lengthBytes - position), position)
  }
  await file.close()
}
