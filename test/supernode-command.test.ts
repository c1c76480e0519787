import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { ERROR_TABLE } from '../src/core/error.ts'
import { runCli, startCli } from './support/cli-run.ts'
import { withTakenPort } from './support/taken-port.ts'

describe('the supernode command', () => {
  let scratch: string
  before(async () => {
    scratch = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-supernode-'))
  })
  after(() => rm(scratch, { recursive: true }))

  const newDirectory = (name: string) => mkdtemp(path.join(scratch, `${name}-`))
  const local = ['--listen-ip', '127.0.0.1']

  async function config(text: string): Promise<{ directory: string; flags: string[] }> {
    const directory = await newDirectory('supernode')
    const name = path.join(directory, 'supernode.yml')
    await writeFile(name, text)
    return { directory, flags: ['--config', name, ...local] }
  }

  it('takes its settings from the file, and flags win', async () => {
    const other = await newDirectory('cache')
    const { flags } = await config(
      `port: 0\ndownloadPort: 1\nhomeDir: ${other}/file\nuploadLimit: 200MiB\nuploadSlots: 4\nlistenIp: 127.0.0.9\n`,
    )
    const running = startCli('supernode', [...flags, '--home-dir', `${other}/flag`, '--download-port', '0'])
    const [said] = await once(running.child.stdout!, 'data')
    running.child.kill('SIGTERM')
    const { status, stderr } = await running.ended
    assert.deepEqual([status, stderr], [0, ''])
    assert.match(
      String(said),
      /control on 127\.0\.0\.1:\d+, pieces on 127\.0\.0\.1:\d+, cache in .*\/flag\n$/,
    )
    assert.deepEqual(await readdir(other), ['flag'])
  })

  const WRONG: readonly [text: string, says: RegExp][] = [
    ['uplaodLimit: 5M', /"uplaodLimit" is not known, did you mean "uploadLimit"\?/],
    ['Port: 5', /"Port" is not known, did you mean "port"\?/],
    ['port: many', /port/],
    ['uploadLimit: fast', /uploadLimit/],
    ['uploadLimit: -5', /"-5" is not a rate.*\n.*uploadLimit/],
    ['uploadLimit: 0', /a rate of 0 would never end.*\n.*uploadLimit/],
    ['- a list', /object/i],
    ['port: [', /cannot be read/],
  ]
  for (const [text, says] of WRONG) {
    it(`the configuration "${text}" is explained, with status 1`, async () => {
      const { flags } = await config(text)
      const { status, stdout, stderr } = await runCli('supernode', flags)
      assert.deepEqual([status, stdout], [1, ''], stderr)
      assert.match(stderr, /^supernode: CONFIG_INVALID: .*supernode\.yml/)
      assert.match(stderr, says)
      assert.match(stderr, new RegExp(ERROR_TABLE.CONFIG_INVALID.hint))
    })
  }

  it('a file that is not there is explained', async () => {
    const { status, stderr } = await runCli('supernode', ['--config', '/nowhere/supernode.yml'])
    assert.equal(status, 1)
    assert.match(stderr, /CONFIG_INVALID: \/nowhere\/supernode\.yml cannot be read/)
  })

  for (const flag of ['--port', '--download-port']) {
    it(`${flag} that is taken ends it with ADDRESS_IN_USE`, () =>
      withTakenPort(async port => {
        const directory = await newDirectory('taken')
        const others = ['--port', '0', '--download-port', '0', '--home-dir', directory, ...local]
        const { status, stdout, stderr } = await runCli('supernode', [...others, flag, String(port)])
        assert.deepEqual([status, stdout], [35, ''], stderr)
        assert.match(stderr, new RegExp(`^supernode: ADDRESS_IN_USE: .*\\b${port}\\b`))
      }))
  }

  it('--prot gets the nearest flag named', async () => {
    const { status, stderr } = await runCli('supernode', ['--prot', '1'])
    assert.equal(status, 1)
    assert.match(stderr, /unknown option '--prot'\n\(Did you mean --port\?\)/)
  })
})
