import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { runCli } from './support/cli-run.ts'
import { startDfgetWorld, stopDfgetWorld } from './support/dfget-world.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile, type TestSystem } from './support/system.ts'

/** Credentials from `.netrc`, on real processes. */

const BASIC = `Basic ${Buffer.from('me:open sesame').toString('base64')}`

let origin: OriginServer
let elsewhere: OriginServer
let system: TestSystem
let home: string
before(async () => {
  ;({ origin, system, home } = await startDfgetWorld({ freshMs: 0 }))
  elsewhere = await startOriginServer({ host: '127.0.0.2' })
})
after(async () => {
  await stopDfgetWorld({ origin, system, home })
  await elsewhere.close()
})

const newDirectory = () => mkdtemp(path.join(system.directory, 'netrc-'))

async function writeNetrc(text: string, mode = 0o600): Promise<string> {
  const directory = await newDirectory()
  const file = path.join(directory, '.netrc')
  await writeFile(file, text)
  await chmod(file, mode)
  return directory
}

/** `accountHome` is where `~/.netrc` is looked for. */
async function dfget(url: string, accountHome: string, ...flags: string[]) {
  const output = path.join(await newDirectory(), 'target')
  const common = ['--json', '--config=', '--home', home, '--node', system.node, '--ip', '127.0.0.1']
  const env = { ...process.env, HOME: accountHome }
  const ended = await runCli('dfget', ['-u', url, '-o', output, ...common, ...flags], { env })
  return { ...ended, output }
}

const MACHINE = 'machine 127.0.0.1 login me password "open sesame"\n'

describe('.netrc', () => {
  it('opens what its host guards, and what it opened is private', async () => {
    const file = origin.serve('/guarded', { lengthBytes: 200_000, authorization: BASIC })
    const accountHome = await writeNetrc(MACHINE)
    const ended = await dfget(file.url, accountHome)
    assert.equal(ended.status, 0, ended.stdout + ended.stderr)
    assert.equal(ended.stderr, '')
    assert.equal(await sha256OfFile(ended.output), await origin.contentSha256(file.path))
    const stranger = await dfget(file.url, await newDirectory())
    assert.equal(stranger.json().code, 'ORIGIN_UNAUTHORIZED')
    const log = await readFile(path.join(home, 'logs', 'dfclient.log'), 'utf8')
    for (const secret of ['open sesame', BASIC.slice(6)]) assert.ok(!(log + ended.stdout).includes(secret))
  })

  it('is for its host alone: no redirect takes it elsewhere', async () => {
    const end = elsewhere.serve('/end', { lengthBytes: 1_000 })
    const start = origin.serve('/start', { redirect: { to: end.url } })
    const ended = await dfget(start.url, await writeNetrc(MACHINE))
    assert.equal(ended.status, 0, ended.stdout)
    assert.ok(start.requests.every(({ headers }) => headers.authorization === BASIC))
    assert.ok(end.requests.length > 0)
    assert.ok(end.requests.every(({ headers }) => headers.authorization === undefined))
  })

  it('gives way to what the command says', async () => {
    const accountHome = await writeNetrc(MACHINE)
    const file = origin.serve('/said', { lengthBytes: 1_000 })
    await dfget(file.url, accountHome, '--header', 'authorization: Bearer mine')
    await dfget(file.url.replace('//', '//you:there@'), accountHome)
    const said = file.requests.map(({ headers }) => headers.authorization)
    assert.ok(said.includes('Bearer mine'))
    assert.ok(said.includes(`Basic ${Buffer.from('you:there').toString('base64')}`))
    assert.ok(!said.includes(BASIC))
  })

  it('has a default only where it is named, for then somebody wants it to go anywhere', async () => {
    const accountHome = await writeNetrc('default login me password "open sesame"')
    const file = origin.serve('/default', { lengthBytes: 1_000 })
    await dfget(file.url, accountHome)
    assert.ok(file.requests.every(({ headers }) => headers.authorization === undefined))
    await dfget(file.url, accountHome, '--netrc', path.join(accountHome, '.netrc'))
    assert.ok(file.requests.some(({ headers }) => headers.authorization === BASIC))
  })

  it('that others may read is warned of, where it is used', async () => {
    const accountHome = await writeNetrc(MACHINE, 0o644)
    const { url } = origin.serve('/exposed', { lengthBytes: 1_000 })
    assert.match(
      (await dfget(url, accountHome)).stderr,
      /^dfget: warning: others may read .*\.netrc; chmod 600 it\n$/,
    )
    const other = elsewhere.serve('/exposed', { lengthBytes: 1_000 })
    assert.equal((await dfget(other.url, accountHome)).stderr, '')
  })

  it('that is named and cannot be read is an error', async () => {
    const ended = await dfget(`${origin.url}/x`, system.directory, '--netrc', '/nowhere/netrc')
    assert.deepEqual([ended.status, ended.json().code], [1, 'CONFIG_INVALID'])
  })
})
