import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { residentStatus, runCli } from './support/cli-run.ts'
import { startFakeRegistry } from './support/dfdaemon-registry.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile } from './support/system.ts'
import { withTakenPort } from './support/taken-port.ts'

const PROGRAM = path.join(import.meta.dirname, '../src/cli/dragonfly.ts')

describe('the whole system in one process', () => {
  let directory: string
  let origin: OriginServer
  before(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-whole-'))
    origin = await startOriginServer()
  })
  after(async () => {
    await origin.close()
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  })

  it('a client that knows only its manager downloads through its supernode, also after a restart', async () => {
    const homeDir = path.join(directory, 'system')
    const armory = path.join(homeDir, 'manager', 'armory.csv')
    const supernodes = new Set<string>()
    for (const name of ['first', 'second']) {
      const system = await startSystem(homeDir)
      try {
        const file = origin.serve(`/${name}`, { lengthBytes: 3_000_000, seed: 4 })
        const [output, home] = [path.join(directory, name), path.join(directory, `home-${name}`)]
        const { status, stdout, stderr } = await runCli('dfget', [
          ...['-u', file.url, '-o', output, '--json', '--standalone', '--home', home],
          ...['--manager', `http://127.0.0.1:${system.managerPort}`],
        ])
        assert.equal(status, 0, stdout + stderr)
        assert.equal(JSON.parse(stdout).bytes.supernode, 3_000_000)
        assert.equal(await sha256OfFile(output), await origin.contentSha256(file.path))
        const meta = await readFile(path.join(home, 'meta', 'node.json'), 'utf8')
        assert.match(meta, /"this-machine"/)
        supernodes.add(
          JSON.parse(await readFile(path.join(homeDir, 'supernode', 'cluster.json'), 'utf8')).supernodeId,
        )
      } finally {
        await system.stop()
      }
      await appendFile(armory, '198.51.100.0/24,,elsewhere,,,\n')
    }
    assert.equal(supernodes.size, 1)
    assert.equal((await readFile(armory, 'utf8')).match(/198\.51\.100/g)?.length, 2)
  })

  it('a layer that a runtime pulls through its dfdaemon comes through the swarm, and the peer ends with the system', async () => {
    const homeDir = path.join(directory, 'with-images')
    const registry = await startFakeRegistry()
    const content = randomBytes(3_000_000)
    const digest = registry.addBlob(content)
    const system = await startSystem(homeDir, { DFDAEMON_REGISTRY_MIRROR_REMOTE: registry.url })
    try {
      assert.match(system.said, /npx dfdaemon setup docker --write --daemon http:\/\/127\.0\.0\.1:\d+$/m)
      const answer = await fetch(`${system.dfdaemon}/v2/lib/image/blobs/${digest}`)
      assert.equal(answer.status, 200)
      assert.ok(content.equals(Buffer.from(await answer.arrayBuffer())), 'the content is another')
      const metrics = await (await fetch(`${system.dfdaemon}/metrics`)).text()
      assert.match(metrics, /served_bytes_total\{source="swarm"\} 3000000$/m)
      assert.match(metrics, /served_bytes_total\{source="upstream"\} 0$/m)
      assert.equal(registry.blobBytes, content.length)
    } finally {
      await system.stop()
      await registry.close()
    }
    assert.equal(await residentStatus(path.join(homeDir, 'dfdaemon')), null)
  })

  it('says so where the port of its dfdaemon is taken, and nothing of it runs', () =>
    withTakenPort(async port => {
      const flags = ['--home-dir', path.join(directory, 'taken'), '--dfdaemon-port', String(port)]
      const others = ['--manager-port', '0', '--port', '0', '--download-port', '0']
      const { status, stderr } = await runCli('dragonfly', ['start', ...flags, ...others])
      assert.equal(status, 35, stderr)
      assert.match(stderr, new RegExp(`^dragonfly: ADDRESS_IN_USE: .*\\b${port}\\b`))
    }))
})

type RunningSystem = { managerPort: number; dfdaemon: string; said: string; stop(): Promise<void> }

async function startSystem(homeDir: string, environment: NodeJS.ProcessEnv = {}): Promise<RunningSystem> {
  const ports = ['--manager-port', '--port', '--download-port', '--dfdaemon-port'].flatMap(flag => [
    flag,
    '0',
  ])
  const flags = ['--home-dir', homeDir, ...ports]
  const child = spawn(process.execPath, [PROGRAM, 'start', ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...environment },
  })
  const said = await firstLines(child)
  const [, port] = /API on port (\d+)/.exec(said) ?? []
  const [, dfdaemon] = /dfdaemon .* on (http:\S+),/.exec(said) ?? []
  assert.ok(port && dfdaemon, said)
  const stop = async () => {
    const ended = once(child, 'exit')
    child.kill('SIGINT')
    assert.deepEqual(await ended, [0, null])
  }
  return { managerPort: Number(port), dfdaemon, said, stop }
}

async function firstLines(child: ChildProcess): Promise<string> {
  let said = ''
  for await (const part of child.stdout!.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    said += part
    if (said.includes('Ctrl-C')) return said
  }
  return said
}
