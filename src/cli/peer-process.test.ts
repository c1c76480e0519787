import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { type Home, openHome } from '../peer/home.ts'
import { lockStart } from '../peer/home-lock.ts'
import { askStartedPeer, type PeerStart } from './peer-process.ts'
import { questionPeer } from './peer-question.ts'

const STATUS = { method: 'GET', path: '/status' }

async function scratchHome(t: TestContext): Promise<Home> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-start-'))
  t.after(() => rm(directory, { recursive: true }))
  return openHome(directory)
}

/** The script in the place of dfget. */
async function programOf(t: TestContext, home: Home, script: string): Promise<PeerStart> {
  const program = path.join(home.root, 'program.mjs')
  await writeFile(program, `import { writeSync } from 'node:fs'\n${script}`)
  const { execArgv } = process
  process.execArgv = []
  t.after(() => Object.assign(process, { execArgv }))
  return { program, flags: [] }
}

describe('starting the resident peer', () => {
  for (const [script, says] of [
    ['', 'it ended at once'],
    [`writeSync(3, '{"code":"O')`, 'it ended in the middle of a word'],
    [`writeSync(3, 'null\\n')`, 'it said nothing that is understood'],
    [`writeSync(3, '{"code":"x","message":"y"}\\n')`, 'y'],
  ]) {
    it(`fails with a reason where the process does: ${script}`, async t => {
      const home = await scratchHome(t)
      const start = await programOf(t, home, script)
      await assert.rejects(askStartedPeer(home, start, STATUS), {
        code: 'PEER_NOT_STARTED',
        message: `the resident peer did not start: ${says}`,
      })
    })
  }

  it('fails with a reason where no process can be made', async t => {
    const home = await scratchHome(t)
    const { execPath } = process
    process.execPath = '/nowhere/node'
    t.after(() => Object.assign(process, { execPath }))
    await assert.rejects(askStartedPeer(home, { program: 'dfget', flags: [] }, STATUS), {
      code: 'PEER_NOT_STARTED',
      message: /did not start: .*ENOENT/,
    })
  })

  it('is waited for until the signal, be it this command or another that starts it', async t => {
    const home = await scratchHome(t)
    const reason = new Error('interrupted')
    const start = await programOf(t, home, 'setTimeout(() => {}, 3_000)')
    const interrupted = async () => {
      const controller = new AbortController()
      const asked = askStartedPeer(home, start, { ...STATUS, signal: controller.signal })
      setTimeout(() => controller.abort(reason), 300)
      const startedAt = performance.now()
      await assert.rejects(asked, reason)
      assert.ok(performance.now() - startedAt < 1_000)
    }
    await interrupted()
    const unlock = await lockStart(home)
    await interrupted()
    await unlock()
  })
})

it('a peer that ends in the middle of an answer is lost', async t => {
  const home = await scratchHome(t)
  for (const answer of ['HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"a"', 'HTTP/1.1 200 OK\r\n\r\n{"a"']) {
    const server = createServer(socket => socket.resume().end(answer))
    await new Promise<void>(resolve => server.listen(home.socket, resolve))
    await assert.rejects(questionPeer(home, STATUS), { code: 'PEER_LOST' })
    await new Promise(resolve => server.close(resolve))
  }
})
