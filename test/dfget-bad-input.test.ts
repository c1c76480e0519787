import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { type CliResult, failureOf, runCli } from './support/cli-run.ts'
import { startDfgetWorld, stopDfgetWorld } from './support/dfget-world.ts'
import { sha256OfFile } from './support/system.ts'

/** What dfget says to flags, URLs, names and homes that it cannot take, and to those that look as if it could not. */

const world = await startDfgetWorld()
const { origin, system, newDirectory } = world
after(() => stopDfgetWorld(world))

const common = () => world.flags()

async function get(url: string, ...flags: string[]): Promise<CliResult> {
  const output = path.join(await newDirectory('out'), 'target')
  return runCli('dfget', ['-u', url, '-o', output, '--json', ...common(), ...flags])
}

describe('a command line', () => {
  const MISTAKES: readonly [flags: string[], says: RegExp][] = [
    [['--outptu', 'x'], /unknown option '--outptu'\n\(Did you mean --output\?\)/],
    [['--diggest=x'], /unknown option '--diggest'\n\(Did you mean --digest\?\)/],
    [['--digest', 'md5:12'], /--digest.*"md5:12" is not an MD5/],
    [['--node', 'host:99999'], /--node.*"host:99999" is not an address/],
    [['--header', 'no colon'], /--header.*a header is written 'Name: value'/],
    [['--totallimit', 'fast'], /--totallimit.*"fast" is not a rate/],
    [['--locallimit', '-5M'], /--locallimit.*argument missing|--locallimit.*"-5M" is not a rate/],
    [['--minrate=1e3'], /--minrate.*"1e3" is not a rate/],
    [['--timeout', '5'], /--timeout.*"5" is not a duration/],
    [['--alivetime', 'soon'], /--alivetime.*"soon" is not a duration/],
    [['--pattern', 'p3p'], /--pattern.*there are p2p, cdn and source/],
    [['--ip', 'localhost'], /--ip.*"localhost" is not an IP address/],
    [['--node', 'host=heavy'], /--node.*"host=heavy" is not a supernode/],
    [['--md5', '12'], /--md5.*"12" is not an MD5/],
    [['--filter', 'a=b'], /--filter.*names of query parameters, without their values/],
    [['--header', 'X-A: b\r\nX-C: d'], /holds a line break/],
    [['--tries', '0'], /--tries.*"0" is not a number from 1 to 1000/],
    [['--localimit', '5M'], /unknown option '--localimit'\n\(Did you mean --locallimit\?\)/],
    [['serve'], /unknown command 'serve'\n\(Did you mean server\?\)|too many arguments/],
    [['--port', '70000'], /--port.*a port is a number up to 65535/],
    [['-o'], /option '-o, --output <file>' argument missing/],
    [['surplus'], /too many arguments\. Expected 0 arguments but got 1\.\n/],
  ]
  for (const [flags, says] of MISTAKES) {
    it(`${flags.join(' ')} is explained, with status 1`, async () => {
      const { status, stdout, stderr } = await runCli('dfget', ['-u', 'http://h/x', ...common(), ...flags])
      assert.deepEqual([status, stdout], [1, ''], stderr)
      assert.match(stderr, says)
      assert.match(stderr, /--help shows the flags/)
    })
  }

  it('what is refused is not repeated where it may be a secret', async () => {
    const secret = "SESAME' is invalid. \n"
    for (const [flags, says] of [
      [['--header', `Authorization Bearer ${secret}`], /'--header <header>': a header is written/],
      [['--http-proxy', `ftp://user:${secret}@proxy`], /'--http-proxy <url>': a proxy is written/],
      [['--filter', `token=${secret}`], /'-f, --filter <names>': a filter is/],
      [[`--headers=Cookie: ${secret}`], /unknown option '--headers'\n/],
      [[`-H${secret}`], /unknown option '-H'\n/],
      [['--header', 'Authorization:', 'Bearer', secret], /too many arguments.* got 2\.\n/],
    ] as const) {
      const { status, stdout, stderr } = await runCli('dfget', ['-u', 'http://h/x', ...common(), ...flags])
      assert.deepEqual([status, stdout], [1, ''])
      assert.match(stderr, says)
      assert.doesNotMatch(stderr, /SESAME/)
    }
  })

  it('that uses no supernode at all is refused', async () => {
    const dead = ['--config=', '--home', world.home, '--node', '127.0.0.1:1=0,127.0.0.1:2=0']
    const run = (url: string, ...flags: string[]) =>
      runCli('dfget', ['-u', url, '-o', path.join(system.directory, 'out'), '--json', ...dead, ...flags])
    const { status, code, message } = failureOf(await run('http://h/x'))
    assert.deepEqual([status, code], [1, 'USAGE'])
    assert.match(message, /^all supernodes have weight 0/)
    const file = origin.serve('/no-supernode', { lengthBytes: 10 })
    assert.equal((await run(file.url, '--pattern', 'source')).status, 0)
  })

  it('with what has no effect any more is told so, and works', async () => {
    const file = origin.serve('/no-effect', { lengthBytes: 10 })
    const { status, stderr } = await get(file.url, '--clientqueue', '7')
    assert.equal(status, 0)
    assert.equal(stderr, 'dfget: warning: --clientqueue has no effect; no piece waits to be written\n')
    assert.equal((await get(file.url, '--clientqueue', '7', '-q')).stderr, '')
  })

  it('a URL that cannot be downloaded is explained, with status 1', async () => {
    const output = path.join(await newDirectory('url'), 'target')
    for (const url of [
      'ftp://host/file',
      'file:///etc/passwd',
      'host/file',
      'http://',
      'http:///x',
      'http://a b/',
      '',
    ]) {
      const ended = await runCli('dfget', ['-u', url, '-o', output, '--json', ...common()])
      const { status, code, message } = failureOf(ended)
      assert.deepEqual([status, code], [1, 'USAGE'], url)
      assert.match(message, /URL/)
    }
    const none = await runCli('dfget', ['-o', output, '--json', ...common()])
    assert.deepEqual(failureOf(none), {
      status: 1,
      code: 'USAGE',
      message: 'there is no URL; give one with -u',
    })
  })
})

describe('what comes from outside', () => {
  it('a home that cannot be had is status 77', async () => {
    const plain = path.join(await newDirectory('home'), 'plain')
    await writeFile(plain, '')
    const ended = await runCli('dfget', [
      '-u',
      'http://h/x',
      '--json',
      '--config=',
      '--home',
      path.join(plain, 'home'),
    ])
    assert.deepEqual([ended.status, ended.json().code], [77, 'HOME_UNUSABLE'])
  })

  for (const [what, flags, code, says] of [
    ['logs/dfclient.log', [], 'HOME_UNUSABLE', /the log cannot be written: EISDIR/],
    ['logs/dfclient.log', ['--standalone'], 'DISK_ERROR', /the log .* cannot be written: EISDIR/],
    ['log', ['--log-path=log'], 'DISK_ERROR', /the log .*\/log cannot be written: EISDIR/],
    ['meta/lock-name', [], 'HOME_UNUSABLE', /cannot be locked: EISDIR/],
    ['meta/lock-name', ['--standalone'], 'HOME_UNUSABLE', /cannot be locked: EISDIR/],
    ['meta/peer.sock', [], 'HOME_UNUSABLE', /peer\.sock cannot be listened on/],
  ] as const) {
    it(`a home with a directory as ${what} cannot be had, ${flags.join() || 'by a resident peer'}`, async () => {
      const root = await newDirectory('home')
      for (const name of ['meta', 'logs']) await mkdir(path.join(root, name), { mode: 0o700 })
      await mkdir(path.join(root, what))
      const flagged = ['-u', 'http://h/x', '-o', path.join(root, 'out'), '--json', '--tries=1', ...flags]
      const ended = await runCli('dfget', [...flagged, ...world.flags(root)], { cwd: root })
      const said = failureOf(ended)
      assert.equal(said.code, code, said.message)
      assert.match(said.message, says)
    })
  }

  it('an account that nobody knows is status 78, and fine where it names a home', async t => {
    if (process.getuid?.() !== 0) return t.diagnostic('only root can become nobody in particular')
    const program = path.join(import.meta.dirname, '../src/cli/dfget.ts')
    const run = (...flags: string[]) =>
      spawnSync(
        'setpriv',
        ['--reuid=54321', '--clear-groups', process.execPath, program, '--json', '--config=', ...flags],
        {
          encoding: 'utf8',
          cwd: '/',
          env: { PATH: process.env.PATH },
        },
      )
    const unknown = run('-u', 'http://h/x', '-o', '/tmp/never')
    assert.equal(unknown.status, 78, unknown.stdout + unknown.stderr)
    assert.equal(JSON.parse(unknown.stdout).code, 'USER_UNKNOWN')
    const named = run('--print-config', '--home', '/tmp/somewhere')
    assert.equal(named.status, 0, named.stderr)
  })

  it('an output that is a directory, or can only be one, is refused', async () => {
    const directory = await newDirectory('directory')
    for (const output of [directory, `${directory}/new/`, '.', '..', `${directory}/a/..`]) {
      const ended = await runCli('dfget', ['-u', `${origin.url}/x`, '-o', output, '--json', ...common()])
      assert.deepEqual([ended.status, ended.json().code], [1, 'OUTPUT_INVALID'], output)
    }
    assert.deepEqual(await readdir(directory), [])
  })

  it('a name too long for the file system is refused before the origin is asked', async () => {
    const file = origin.serve('/long-name', { lengthBytes: 10 })
    const output = path.join(await newDirectory('out'), 'n'.repeat(256))
    const ended = await runCli('dfget', ['-u', file.url, '-o', output, '--json', ...common()])
    assert.deepEqual([ended.status, ended.json().code], [1, 'OUTPUT_INVALID'])
    assert.equal(file.requests.length, 0)
  })

  it('any name that the file system takes is taken as it is, and stays where it belongs', async () => {
    const file = origin.serve('/names', { lengthBytes: 1_000 })
    const digest = await origin.contentSha256(file.path)
    const names = [
      'a b',
      ' ',
      'a\nb',
      '\x1b[2Jx',
      '..x',
      '...',
      '-o',
      'ü€😀',
      '%2e%2e',
      'a\\b',
      '\'"$(x)',
      'n'.repeat(255),
    ]
    for (const elsewhere of [system.directory, '/dev/shm']) {
      const directory = await mkdtemp(path.join(elsewhere, 'dragonfly-names-'))
      try {
        for (const name of names) {
          const output = path.join(directory, name)
          const ended = await runCli('dfget', ['-u', file.url, '-o', output, ...common()])
          assert.equal(ended.status, 0, ended.stdout + ended.stderr)
          assert.equal(await sha256OfFile(output), digest)
          assert.doesNotMatch(ended.stdout, /(?!\n)\p{Cc}/u)
          assert.match(ended.stdout, /^download SUCCESS cost:\d+\.\d{3}s length:1000 reason:0\n[^\n]+\n$/m)
        }
        assert.deepEqual((await readdir(directory)).sort(), names.toSorted())
      } finally {
        spawnSync('rm', ['-r', directory])
      }
    }
  })

  it('a name from the URL stays in this directory, however it is written', async () => {
    const cwd = await newDirectory('cwd')
    for (const [at, name] of [
      ['/d/a%0Ab', 'a\nb'],
      ['/d/..%5Cx', '..\\x'],
      ['/d/%2e%2e%2e', '...'],
    ]) {
      origin.serve(at, { lengthBytes: 10 })
      const ended = await runCli('dfget', ['-u', origin.url + at, '--json', ...common()], { cwd })
      assert.equal(ended.status, 0, ended.stdout)
      assert.equal(ended.json().output, path.join(cwd, name))
    }
    for (const at of ['/..%2f..%2fetc%2fx', '/%2e%2e', '/a%00b']) {
      const flags = ['--json', '--notbs', ...common()]
      const ended = await runCli('dfget', ['-u', origin.url + at, ...flags], { cwd })
      assert.deepEqual([ended.status, ended.json().code], [1, 'USAGE'], at)
    }
  })

  it('a URL of 10 000 characters is a URL, and one that nobody takes is told so', async () => {
    const long = `/${'d'.repeat(200)}`.repeat(49).concat('/file')
    const file = origin.serve(long, { lengthBytes: 1_000 })
    const query = `?q=${'x'.repeat(10_000 - file.url.length)}`
    assert.equal((await get(file.url + query)).json().lengthBytes, 1_000)
    const { status, code, message } = failureOf(await get(`${file.url}?${'y'.repeat(3_000)}`))
    assert.deepEqual([status, code], [1, 'USAGE'])
    assert.match(message, /the URL has \d+ characters; 12000 are the most/)
    const cwd = await newDirectory('cwd')
    const nameless = await runCli(
      'dfget',
      ['-u', `${origin.url}/${'n'.repeat(9_900)}`, '--json', ...common()],
      { cwd },
    )
    assert.deepEqual([nameless.status, nameless.json().code], [1, 'OUTPUT_INVALID'])
  })

  it('a header that would become two is refused, wherever it is written', async () => {
    const config = path.join(await newDirectory('config'), 'dfget.yml')
    await writeFile(config, 'headers: ["X-A: b\\r\\nX-C: d"]\n')
    const flag = await runCli('dfget', ['-u', 'http://h/x', '--header', 'X-A: b\nX-C: d', '--config='])
    const file = await runCli('dfget', ['-u', 'http://h/x', '--config', config])
    for (const { status, stdout, stderr } of [flag, file]) {
      assert.deepEqual([status, stdout], [1, ''])
      assert.match(stderr, /holds a line break/)
    }
  })
})
