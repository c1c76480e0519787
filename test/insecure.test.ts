import assert from 'node:assert/strict'
import path from 'node:path'
import { it } from 'node:test'
import { runCli, stopResident } from './support/cli-run.ts'
import { startOriginServer } from './support/origin-server.ts'
import { createSelfSigned } from './support/self-signed.ts'
import { startSystem } from './support/system.ts'

it('--insecure: an origin that nobody vouches for is accepted, for this task only', async () => {
  const secure = await startOriginServer({ tls: createSelfSigned({ dns: 'elsewhere.example' }) })
  const system = await startSystem({ freshMs: 60_000 })
  const home = path.join(system.directory, 'home')
  try {
    const file = secure.serve('/secure', { lengthBytes: 2 * 1024 ** 2 })
    const run = (...flags: string[]) =>
      runCli('dfget', [
        ...['-u', file.url, '-o', path.join(home, 'out'), '--json', '--config=', '--home', home],
        ...['--node', system.node, '--ip', '127.0.0.1', ...flags],
      ])
    assert.equal((await run()).json().code, 'ORIGIN_TLS')
    const ended = await run('--insecure')
    assert.equal(ended.status, 0, ended.stdout)
    assert.equal((ended.json().bytes as { origin: number }).origin, 0, 'it came through the supernode')
    assert.equal((await run()).json().code, 'ORIGIN_TLS')
    assert.equal((await run('--insecure')).status, 0)
    assert.equal(file.requests.filter(({ headers }) => headers.range === undefined).length, 1)
  } finally {
    await stopResident(home)
    await system.stop()
    await secure.close()
  }
})
