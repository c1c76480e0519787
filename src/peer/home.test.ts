import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { openHome } from './home.ts'

const { TMPDIR } = process.env

const mode = (place: string) => statSync(place).mode & 0o777

function scratch(t: TestContext): string {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'dragonfly-home-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** What the system calls its directory for temporary files, for the time of a test. */
function useTemporary(t: TestContext, directory: string): void {
  process.env.TMPDIR = directory
  t.after(() => {
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
  })
}

describe('a home', () => {
  it('is its account’s alone', async t => {
    const root = path.join(scratch(t), 'home')
    const home = await openHome(root)
    assert.equal(home.socket, path.join(root, 'meta', 'peer.sock'))
    for (const place of [root, path.join(root, 'meta'), path.join(root, 'logs')])
      assert.equal(mode(place), 0o700)
  })

  it('closes a meta directory that was open', async t => {
    const root = scratch(t)
    mkdirSync(path.join(root, 'meta'))
    chmodSync(path.join(root, 'meta'), 0o777)
    await openHome(root)
    assert.equal(mode(path.join(root, 'meta')), 0o700)
  })

  it('too deep for a socket has it in a private directory, one per home, that can be listened on', async t => {
    const root = scratch(t)
    useTemporary(t, path.join(root, 't'))
    mkdirSync(path.join(root, 't'))
    const deep = (name: string) => path.join(root, 'd'.repeat(100), name)
    const [a, b] = [await openHome(deep('a')), await openHome(deep('b'))]
    assert.notEqual(a.socket, b.socket)
    assert.equal((await openHome(deep('a'))).socket, a.socket)
    assert.equal(mode(path.dirname(a.socket)), 0o700)
    const server = createServer().listen(a.socket)
    await once(server, 'listening')
    server.close()
  })

  it('refuses a directory for the socket that others can write to, or that is no directory', async t => {
    const root = scratch(t)
    const deep = path.join(root, 'd'.repeat(110))
    const name = `dragonfly-${os.userInfo().uid}`
    const traps: Record<string, (place: string) => void> = {
      open: place => {
        mkdirSync(place)
        chmodSync(place, 0o770)
      },
      link: place => {
        mkdirSync(`${place}.target`, { mode: 0o700 })
        symlinkSync(`${place}.target`, place)
      },
      file: place => writeFileSync(place, ''),
    }
    for (const [trap, lay] of Object.entries(traps)) {
      const temporary = path.join(root, trap)
      mkdirSync(temporary)
      lay(path.join(temporary, name))
      useTemporary(t, temporary)
      await assert.rejects(openHome(deep), { code: 'HOME_UNUSABLE' }, trap)
    }
  })

  it('refuses a root that is no directory', async t => {
    const root = path.join(scratch(t), 'file')
    writeFileSync(root, '')
    await assert.rejects(openHome(root), { code: 'HOME_UNUSABLE' })
  })
})
