import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { runCli } from './support/cli-run.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile } from './support/system.ts'

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
})

async function startSystem(homeDir: string): Promise<{ managerPort: number; stop(): Promise<void> }> {
  const flags = ['--home-dir', homeDir, '--manager-port', '0', '--port', '0', '--download-port', '0']
  const child = spawn(process.execPath, [PROGRAM, 'start', ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const said = await firstLines(child)
  const [, port] = /API on port (\d+)/.exec(said) ?? []
  assert.ok(port, said)
  const stop = async () => {
    const ended = once(child, 'exit')
    child.kill('SIGINT')
    assert.deepEqual(await ended, [0, null])
  }
  return { managerPort: Number(port), stop }
}

async function firstLines(child: ChildProcess): Promise<string> {
  let said = ''
  for await (const part of child.stdout!.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    said += part
    if (said.includes('Ctrl-C')) return said
  }
  return said
}
