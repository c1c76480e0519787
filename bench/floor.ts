import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { parseSize } from '../src/core/size.ts'
import { sha256OfFile } from '../test/support/system.ts'
import { need, settle, startNginx, timed, writeRandomFile } from './loopback.ts'

/**
 * The least that a download can take on this machine. Cold: nginx sends to a relay, which hashes, stores and passes on what it gets, and
 * a consumer hashes, stores and syncs it. Warm: the relay sends what it has stored. No pieces, no protocol, no schedule, only
 * the whole compared at the end. Each run stands next to `curl -o` from the same nginx. What `bench:single` shows for (a) and (b) cannot be better
 * than this with one thread per process, whatever the code.
 *
 *     npm run bench:floor -- [--bytes 1GiB] [--rounds 5]
 */

const LEAST = path.join(import.meta.dirname, 'least-relay.ts')

const { values } = parseArgs({
  options: { bytes: { type: 'string', default: '1GiB' }, rounds: { type: 'string', default: '5' } },
})
const lengthBytes = parseSize(values.bytes)
need('nginx', 'curl', 'dd')
const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-bench-'))
const nginx = await startNginx(directory)
const served = path.join(nginx.root, 'file')
await writeRandomFile(served, lengthBytes)
const digest = await sha256OfFile(served)
const port = nginx.address.split(':')[1]
const [stored, output] = [path.join(directory, 'stored'), path.join(directory, 'output')]
const relaying = spawn(process.execPath, [LEAST, 'relay', port, stored, digest], {
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
      const least = await measure(process.execPath, LEAST, 'consumer', relayPort, output, digest)
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
