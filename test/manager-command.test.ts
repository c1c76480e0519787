import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { ERROR_TABLE } from '../src/core/error.ts'
import { type CliResult, type RunningCli, runCli, startCli } from './support/cli-run.ts'
import { POSTGRES_PASSWORD, startPostgres } from './support/postgres.ts'
import { withTakenPort } from './support/taken-port.ts'

describe('the manager command', () => {
  let scratch: string
  before(async () => {
    scratch = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-manager-'))
  })
  after(() => rm(scratch, { recursive: true }))

  const newDirectory = (name: string) => mkdtemp(path.join(scratch, `${name}-`))
  const local = ['--port', '0', '--listen-ip', '127.0.0.1']

  async function config(text: string): Promise<string> {
    const name = path.join(await newDirectory('config'), 'manager.yml')
    await writeFile(name, text)
    return name
  }

  it('runs until it is told to stop, for its owner alone', async () => {
    const home = path.join(await newDirectory('home'), 'new')
    const running = await start(['--home-dir', home, ...local])
    assert.match(
      running.line,
      /^manager \S+: API on 127\.0\.0\.1:\d+, known as http:\/\/127\.0\.0\.1:\d+, database .*\/manager\.db\n$/,
    )
    assert.equal((await fetch(`${running.url}/healthz`)).status, 200)
    const { status, stderr } = await running.stop()
    assert.deepEqual([status, stderr], [0, ''])
    assert.equal((await stat(home)).mode & 0o077, 0)
    assert.deepEqual(await messagesIn(home), ['manager started', 'manager stopped'])
  })

  it('takes its settings from the file, and flags win', async () => {
    const home = await newDirectory('home')
    const file = await config(
      `port: 1\nlistenIp: 127.0.0.9\nhomeDir: ${home}/file\nlease: 3s\nzoneBoundary: security-domain\nrootZone: north\nopenWall: true\nadvertise: http://manager.example:80\narmory: database\n`,
    )
    const running = await start(['--config', file, ...local, '--home-dir', `${home}/flag`])
    await running.stop()
    assert.match(running.line, /API on 127\.0\.0\.1:\d+, known as http:\/\/manager\.example,/)
    assert.deepEqual(await readdir(home), ['flag'])
  })

  it('the file says where hosts are that nobody knows', async () => {
    const file = await config('defaultPlace: { securityDomain: prod, location: eu }\n')
    const running = await start(['--config', file, ...local, '--home-dir', await newDirectory('home')])
    const answer = await fetch(`${running.url}/api/v1/locate`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ hostName: 'client', addresses: [], version: '1' }),
    })
    const { place, isKnown } = (await answer.json()) as { place: object; isKnown: boolean }
    await running.stop()
    assert.deepEqual(place, { securityDomain: 'prod', idc: null, location: 'eu', rack: null })
    assert.equal(isKnown, false)
  })

  const WRONG: readonly [text: string, says: RegExp][] = [
    ['zoneBoundry: idc', /"zoneBoundry" is not known, did you mean "zoneBoundary"\?/],
    ['zoneBoundary: continent', /zoneBoundary/],
    ['port: many', /port/],
    ['defaultPlace: { idc: 5 }', /defaultPlace/],
    ['lease: 15', /lease/],
    ['lease: 1ms', /a lease is from 1s to 10m long/],
    ['database: mysql://me:hidden1@db/x', /a database is written postgres:\/\//],
    ['database: postgres://me:hidden1@db\n  bad: [', /is not YAML/],
    ['advertise: http://me:hidden1@manager', /a managing node is written/],
    ['- hidden1', /object/i],
  ]
  for (const [text, says] of WRONG) {
    it(`the configuration ${JSON.stringify(text)} is explained, with status 1`, async () => {
      const { status, stdout, stderr } = await runCli('manager', ['--config', await config(text), ...local])
      assert.deepEqual([status, stdout], [1, ''], stderr)
      assert.match(stderr, /^manager: CONFIG_INVALID: .*manager\.yml/)
      assert.match(stderr, says)
      assert.ok(!stderr.includes('hidden1'), stderr)
    })
  }

  it('flags that make no sense are explained, and their values not repeated', async () => {
    const home = await newDirectory('home')
    for (const [flags, says] of [
      [['--database', 'mysql://me:hidden1@db/x'], /--database.*a database is written postgres/],
      [['--lease', '0'], /--lease.*a lease is from/],
      [['--zone-boundary', 'hidden1'], /--zone-boundary/],
      [['--advertise', 'http://hidden1@manager'], /--advertise/],
      [['token', 'create', '--uses', '0'], /--uses/],
      [['token', 'create', '--lifetime', '1ms'], /--lifetime is from 1s/],
      [['token', 'create', '--admin', '--uses', '1'], /--uses counts supernodes/],
      [['token', 'create', '--name', 'a\nb'], /--name is a line/],
      [['token', 'create', '--port', '5'], /unknown option '--port'/],
      [['--armory', `${home}/none.csv`, '--home-dir', home, ...local], /none\.csv cannot be read/],
    ] as const) {
      const { status, stderr } = await runCli('manager', flags)
      assert.equal(status, 1, `${flags.join(' ')}: ${stderr}`)
      assert.match(stderr, says)
      assert.ok(!stderr.includes('hidden1'), stderr)
    }
  })

  it('a port that is taken ends it with ADDRESS_IN_USE', () =>
    withTakenPort(async port => {
      const home = await newDirectory('taken')
      const flags = ['--listen-ip', '127.0.0.1', '--home-dir', home, '--port', String(port)]
      const { status, stdout, stderr } = await runCli('manager', flags)
      assert.deepEqual([status, stdout], [ERROR_TABLE.ADDRESS_IN_USE.exitStatus, ''], stderr)
      assert.match(stderr, new RegExp(`^manager: ADDRESS_IN_USE: .*\\b${port}\\b`))
    }))

  it('token: made beside the running managing node, good there at once, listed and revoked', async () => {
    const home = await newDirectory('home')
    const token = (...flags: string[]) => runCli('manager', ['token', ...flags, '--home-dir', home])
    const early = await token('create', '--name', 'before the first start')
    assert.equal(early.status, 0, early.stderr)
    const running = await start(['--home-dir', home, ...local])
    const join = async (supernodeId: string) => {
      const body = JSON.stringify({ token: early.stdout.trim(), supernodeId })
      const headers = { 'content-type': 'application/json' }
      return (await fetch(`${running.url}/api/v1/join`, { method: 'POST', body, headers })).status
    }
    assert.equal(await join('a'), 200)
    const admin = await token('create', '--admin', '--lifetime', '5m')
    assert.match(admin.stdout, /^[0-9a-f]{16}\.[\w-]{43}\n$/)
    const asAdmin = { headers: { authorization: `Bearer ${admin.stdout.trim()}` } }
    assert.equal((await fetch(`${running.url}/api/v1/overview`, asAdmin)).status, 200)

    const listed = (await token('list')).stdout
    assert.match(listed, /join +valid +1\/any .* before the first start\n/)
    assert.match(listed, /admin +valid .* admin\n/)
    assert.equal((await token('revoke', early.stdout.split('.')[0])).status, 0)
    assert.equal(await join('b'), 401)
    assert.equal((await token('revoke', admin.stdout.trim())).status, 0)
    assert.equal((await fetch(`${running.url}/api/v1/overview`, asAdmin)).status, 401)
    const unknown = await token('revoke', '0123456789abcdef')
    assert.deepEqual([unknown.status, unknown.stdout], [ERROR_TABLE.REQUEST_NOT_FOUND.exitStatus, ''])

    const { stdout, stderr } = await running.stop()
    const log = await readFile(path.join(home, 'logs', 'manager.log'), 'utf8')
    for (const secret of [early, admin].map(made => made.stdout.trim().split('.')[1])) {
      for (const text of [listed, stdout, stderr, early.stderr, admin.stderr, log])
        assert.ok(!text.includes(secret))
    }
  })

  it('several commands may make the database at the same time', async () => {
    const home = await newDirectory('home')
    const made = await Promise.all(
      Array.from({ length: 4 }, () => runCli('manager', ['token', 'create', '--home-dir', home])),
    )
    assert.deepEqual(
      made.map(({ status }) => status),
      [0, 0, 0, 0],
      made.map(({ stderr }) => stderr).join(''),
    )
    const { stdout } = await runCli('manager', ['token', 'list', '--home-dir', home])
    assert.equal(stdout.trim().split('\n').length, 5)
  })

  it('a PostgreSQL that does not answer is explained without its password', async () => {
    const home = await newDirectory('home')
    await withTakenPort(async port => {
      const url = `postgres://me:hidden1@127.0.0.1:${port}/x?sslmode=disable&password=hidden2`
      const { status, stdout, stderr } = await runCli('manager', ['--home-dir', home, ...local], {
        env: { ...process.env, DRAGONFLY_DATABASE: url },
      })
      assert.deepEqual([status, stdout], [ERROR_TABLE.DATABASE_FAILED.exitStatus, ''], stderr)
      assert.match(
        stderr,
        new RegExp(
          `^manager: DATABASE_FAILED: postgres://127\\.0\\.0\\.1:${port}/x cannot be used: (?!.*hidden)`,
        ),
      )
    })
  })
})

const postgres = await startPostgres()
after(() => postgres?.stop())
if (postgres)
  describe('the manager command on PostgreSQL', () => {
    it('shows the password to nobody, however it was said', async () => {
      const home = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-manager-'))
      const url = await postgres.newDatabase()
      const file = path.join(home, 'manager.yml')
      await writeFile(file, `database: ${url}\n`)
      const common = ['--port', '0', '--listen-ip', '127.0.0.1', '--home-dir', home]
      const env = { ...process.env, DRAGONFLY_DATABASE: url }
      const ways: [string[], NodeJS.ProcessEnv][] = [
        [['--database', url], process.env],
        [['--config', file], process.env],
        [[], env],
      ]
      for (const [flags, environment] of ways) {
        const running = await start([...common, ...flags], environment)
        const seenByAll = await readFile(`/proc/${running.child.pid}/cmdline`, 'utf8')
        const token = await runCli('manager', ['token', 'create', '--home-dir', home, ...flags], {
          env: environment,
        })
        assert.equal(token.status, 0, token.stderr)
        const { status, stdout, stderr } = await running.stop()
        assert.equal(status, 0, stderr)
        const log = await readFile(path.join(home, 'logs', 'manager.log'), 'utf8')
        for (const text of [seenByAll, stdout, stderr, token.stdout, token.stderr, log])
          assert.ok(!text.includes(POSTGRES_PASSWORD), text)
      }
      await rm(home, { recursive: true })
    })
  })

type Running = RunningCli & { readonly line: string; readonly url: string; stop(): Promise<CliResult> }

async function start(flags: readonly string[], env?: NodeJS.ProcessEnv): Promise<Running> {
  const running = startCli('manager', flags, env === undefined ? {} : { env })
  const [said] = await Promise.race([once(running.child.stdout!, 'data'), once(running.child, 'close')])
  if (running.child.exitCode !== null) assert.fail((await running.ended).stderr)
  const stop = () => {
    running.child.kill('SIGTERM')
    return running.ended
  }
  const url = `http://${/API on (\S+),/.exec(String(said))?.[1]}`
  return { ...running, line: String(said), url, stop }
}

async function messagesIn(home: string): Promise<string[]> {
  const log = await readFile(path.join(home, 'logs', 'manager.log'), 'utf8')
  return log
    .trim()
    .split('\n')
    .map(line => JSON.parse(line).msg)
}
