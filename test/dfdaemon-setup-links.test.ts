import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { DAEMON_JSON, OWN_JSON, openSetupRoot } from './support/setup-root.ts'

/** `dfdaemon setup --root` touches nothing outside of the root. */

describe('links below the root', () => {
  it('one that stays inside is followed, and stays a link', async t => {
    const root = await openSetupRoot(t)
    root.put('/srv/daemon.json', OWN_JSON)
    fs.mkdirSync(root.at('/etc/docker'), { recursive: true })
    fs.symlinkSync('../../srv/daemon.json', root.at(DAEMON_JSON))
    await root.setup('docker', '--write')
    assert.ok(fs.lstatSync(root.at(DAEMON_JSON)).isSymbolicLink())
    assert.deepEqual(
      JSON.parse(root.text('/srv/daemon.json'))['registry-mirrors'][0],
      'http://127.0.0.1:65001',
    )
    await root.setup('docker', '--undo')
    assert.ok(fs.lstatSync(root.at(DAEMON_JSON)).isSymbolicLink())
    assert.equal(root.text('/srv/daemon.json'), OWN_JSON)
  })

  for (const [title, link, target] of [
    ['a file', DAEMON_JSON, 'daemon.json'],
    ['a directory', '/etc/docker', '.'],
    ['the record’s directory', '/etc/dragonfly', '.'],
  ]) {
    it(`${title} that leads out is refused, and nothing outside changes`, async t => {
      const [root, outside] = [await openSetupRoot(t), await openSetupRoot(t)]
      outside.put('/daemon.json', OWN_JSON)
      fs.mkdirSync(path.dirname(root.at(link)), { recursive: true })
      fs.symlinkSync(outside.at(target), root.at(link))
      const before = outside.snapshot()
      const { code, message } = await root.setup('docker', '--write')
      assert.equal(code, 'CONFIG_INVALID')
      assert.match(message, /a link out of/)
      assert.deepEqual(outside.snapshot(), before)
    })
  }
})
