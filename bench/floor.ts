import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { close, fsync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { parseSize } from '../src/core/size.ts'
import { sha256OfFile } from '../test/support/system.ts'
import { receive, send } from './least-transfer.ts'
import { need, settle, startNginx, timed, writeRandomFile } from './loopback.ts'

/**
 * The least that a download can take on this machine. Cold: nginx sends to a relay, which hashes, stores and passes on what it gets, and
 * a consumer hashes, stores and syncs it. Warm: the relay sends what it has stored. No pieces, no protocol, no schedule, nothing verified
 * against anything. Each run stands next to `curl -o` from the same nginx. What `bench:single` shows for (a) and (b) cannot be better
 * than this with one thread per process, whatever the code.
 *
 *     npm run bench:floor -- [--bytes 1GiB] [--rounds 5]
 */

if (process.argv[2] === 'relay') relay(Number(process.argv[3]), process.argv[4], process.argv[5])
else if (process.argv[2] === 'consumer') consume(Number(process.argv[3]), process.argv[4], process.argv[5])
else await main()

function relay(originPort: number, file: string, sha256: string): void {
  const cold = net.createServer(async consumer => {
    const passOn = (bytes: Uint8Array, sent: () => void) => consumer.write(bytes, sent)
    const fd = await receive({ port: originPort, ask: '/file', file, sha256, hashes: 1, passOn })
    consumer.end()
    await promisify(close)(fd)
  })
  const warm = net.createServer(consumer => send(file, consumer))
  const portOf = (server: net.Server) => (server.address() as net.AddressInfo).port
  cold.listen(0, '127.0.0.1', () => {
    warm.listen(0, '127.0.0.1', () => console.log(`${portOf(cold)} ${portOf(warm)}`))
  })
}

async function consume(port: number, file: string, sha256: string): Promise<void> {
  const fd = await receive({ port, file, sha256, hashes: 1 })
  await promisify(fsync)(fd)
  await promisify(close)(fd)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { bytes: { type: 'string', default: '1GiB' }, rounds: { type: 'string', default: '5' } },
  })
  const lengthBytes = parseSize(values.bytes)
  need('nginx', 'curl', 'dd')
  const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-bench-'))
  const nginx = await startNginx(directory)
  const served = path.join(nginx.root, 'file')
  await writeRandomFile(served, lengthBytes)
  const sha256 = (await sha256OfFile(served)).replace('sha256:', '')
  const port = nginx.address.split(':')[1]
  const [stored, output] = [path.join(directory, 'stored'), path.join(directory, 'output')]
  const relaying = spawn(process.execPath, [import.meta.filename, 'relay', port, stored, sha256], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const [coldPort, warmPort] = String(await once(relaying.stdout, 'data'))
      .trim()
      .split(' ')
    const watched = [nginx.pid, relaying.pid!]
    for (let round = 1; round <= Number(values.rounds); round++) {
      for (const [kind, relayPort] of [
        ['cold', coldPort],
        ['warm', warmPort],
      ]) {
        const measure = async (program: string, ...words: string[]) => {
          await settle(directory, lengthBytes)
          const cost = await timed(program, words, watched)
          await rm(output)
          return cost
        }
        const plain = await measure('curl', '-sS', '-o', output, `http://${nginx.address}/file`)
        const least = await measure(
          process.execPath,
          import.meta.filename,
          'consumer',
          relayPort,
          output,
          sha256,
        )
        const facts = [plain.wall, plain.cpu, least.wall, least.cpu, least.wall / plain.wall]
        console.log(
          `${kind}: curl %s s (CPU of all %s), least relay %s s (CPU of all %s), ratio %s`,
          ...facts.map(fact => fact.toFixed(2)),
        )
      }
    }
  } finally {
    relaying.kill()
    nginx.stop()
    await rm(directory, { recursive: true, force: true })
  }
}
