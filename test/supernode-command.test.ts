import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { ERROR_TABLE } from '../src/core/error.ts'
import { runCli, startCli } from './support/cli-run.ts'
import { CLUSTER_SECRET, CREDENTIAL, JOIN_TOKEN, startLeaseManager } from './support/lease-manager.ts'
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
    ['manager: ftp://host', /a managing node is written http:.*\n.*manager/],
    ['parent: a b', /"a b" is not an address.*\n.*parent/],
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

  it('joins a cluster with a token from a file or the environment, once, and says it nowhere', async () => {
    const manager = await startLeaseManager({ renewMs: 5_000 })
    try {
      const tokenFile = path.join(await newDirectory('token'), 'token')
      await writeFile(tokenFile, `${JOIN_TOKEN}\n`)
      const environments = [
        { flags: ['--join-file', tokenFile], env: {} },
        { flags: [], env: { DRAGONFLY_JOIN_TOKEN: JOIN_TOKEN } },
        { flags: ['--join', JOIN_TOKEN], env: {} },
      ]
      for (const { flags, env } of environments) {
        const home = await newDirectory('joined')
        const usual = [
          '--port',
          '0',
          '--download-port',
          '0',
          '--home-dir',
          home,
          '--manager',
          manager.url,
          ...local,
        ]
        for (const more of [flags, []]) {
          const running = startCli('supernode', [...usual, ...more], {
            env: { ...process.env, ...(more === flags ? env : {}) },
          })
          await once(running.child.stdout!, 'data')
          const shown = await readFile(`/proc/${running.child.pid}/cmdline`, 'utf8')
          assert.ok(!shown.includes(JOIN_TOKEN), 'ps shows the token')
          running.child.kill('SIGTERM')
          const { status, stdout, stderr } = await running.ended
          assert.deepEqual([status, stderr], [0, ''])
          const log = await readFile(path.join(home, 'logs', 'supernode.log'), 'utf8')
          assert.match(log, /lease taken/)
          for (const secret of [JOIN_TOKEN, CREDENTIAL, CLUSTER_SECRET])
            assert.ok(!`${stdout}${log}`.includes(secret))
        }
      }
      const joins = manager.requests.filter(({ path }) => path.endsWith('/join'))
      assert.deepEqual(
        joins.map(({ body }) => body.token),
        Array(3).fill(JOIN_TOKEN),
      )
      assert.equal(manager.requests.filter(({ method }) => method === 'DELETE').length, 6)
    } finally {
      await manager.close()
    }
  })

  it('explains what is wrong with its place in a cluster, without what is secret', async () => {
    const directory = await newDirectory('wrong')
    const secretFile = path.join(directory, 'secret')
    await writeFile(secretFile, `${JOIN_TOKEN}\n`)
    const manager = 'http://127.0.0.1:1'
    const wrong: [flags: string[], says: RegExp][] = [
      [['--manager', 'ftp://user:hush@host'], /a managing node is written http:/],
      [['--manager', 'http://user:hush@host:1'], /a managing node is written http:/],
      [['--parent', 'a b'], /is not an address/],
      [['--manager', manager], /USAGE: .*needs a token once.*--join-file/],
      [
        ['--manager', manager, '--join-file', `${directory}/none`],
        /CONFIG_INVALID: .*none cannot be read: ENOENT/,
      ],
      [['--manager', manager, '--join', JOIN_TOKEN], /MANAGER_UNREACHABLE: .*127\.0\.0\.1:1/],
      [
        ['--cluster-secret-file', secretFile],
        /CONFIG_INVALID: .*secret does not hold a secret of 64 hex digits/,
      ],
      [['--manager', manager, '--cluster-secret-file', secretFile], /USAGE: .*gives the cluster/],
    ]
    for (const [flags, says] of wrong) {
      const others = ['--port', '0', '--download-port', '0', '--home-dir', directory, ...local]
      const { status, stdout, stderr } = await runCli('supernode', [...others, ...flags])
      assert.notEqual(status, 0)
      assert.equal(stdout, '')
      assert.match(stderr, says)
      assert.ok(!stderr.includes(JOIN_TOKEN) && !stderr.includes('hush'), stderr)
    }
  })

  it('has each of its flags in its documentation, and no other', async () => {
    const documents = await readFile(path.join(import.meta.dirname, '../docs/supernode.md'), 'utf8')
    const documented = [...documents.matchAll(/^\| `(--[a-z-]+)` \|/gm)].map(([, flag]) => flag)
    const { stdout } = await runCli('supernode', ['--help'])
    const known = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, flag]) => flag)
    const self = ['--config', '--version', '--help']
    assert.deepEqual(documented.toSorted(), known.filter(flag => !self.includes(flag)).toSorted())
  })

  it('--prot gets the nearest flag named', async () => {
    const { status, stderr } = await runCli('supernode', ['--prot', '1'])
    assert.equal(status, 1)
    assert.match(stderr, /unknown option '--prot'\n\(Did you mean --port\?\)/)
  })
})
