import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { ERROR_TABLE } from '../src/core/error.ts'
import { openLog } from '../src/ops/log.ts'
import { openHome } from '../src/peer/home.ts'
import { type CliResult, residentStatus, runCli, startCli, stopResident } from './support/cli-run.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

/** The commands as people and scripts use them. */

const MIB = 1024 ** 2

let origin: OriginServer
let system: TestSystem
let home: string
let file: ServedFile
let digest: string
before(async () => {
  origin = await startOriginServer()
  system = await startSystem()
  home = path.join(system.directory, 'home')
  file = origin.serve('/dir/file.bin', { lengthBytes: 3 * MIB + 17, seed: 2 })
  digest = await origin.contentSha256(file.path)
})
after(async () => {
  await stopResident(home)
  await system.stop()
  await origin.close()
})

const common = (homeRoot = home) => ['--home', homeRoot, '--node', system.node, '--ip', '127.0.0.1']

function dfget(output: string, ...flags: string[]): Promise<CliResult> {
  return runCli('dfget', ['-u', file.url, '-o', output, '--json', ...common(), ...flags])
}

/** A directory that is removed with the system. */
function newDirectory(name: string): Promise<string> {
  return mkdtemp(path.join(system.directory, `${name}-`))
}

/** A home of its own, whose peer is stopped at the end. */
async function withHome(action: (root: string) => Promise<void>): Promise<void> {
  const root = await newDirectory('home')
  try {
    await action(root)
  } finally {
    await stopResident(root)
  }
}

function failure({ status, stdout, stderr, json }: CliResult): {
  status: number | null
  code: unknown
  message: string
} {
  const { ok, code, message, hint, ...rest } = json()
  assert.deepEqual([ok, rest], [false, {}], stdout + stderr)
  assert.equal(hint, ERROR_TABLE[code as keyof typeof ERROR_TABLE].hint)
  return { status, code, message: String(message) }
}

describe('where dfget puts the file', () => {
  it('a new directory is made, and the file has the usual permissions', async () => {
    const output = path.join(await newDirectory('new'), 'a', 'b', 'target')
    const ended = await dfget(output)
    assert.equal(ended.status, 0, ended.stdout + ended.stderr)
    assert.equal(await sha256OfFile(output), digest)
    assert.equal((await stat(output)).mode & 0o777, 0o666 & ~process.umask())
    assert.deepEqual(await readdir(path.dirname(output)), ['target'])
  })

  it('a new directory goes again where nothing came to lie in it', async () => {
    const directory = await newDirectory('gone')
    const output = path.join(directory, 'a', 'b', 'target')
    const url = `${origin.url}/nothing-here`
    const ended = await runCli('dfget', ['-u', url, '-o', output, '--json', ...common()])
    assert.equal(failure(ended).code, 'ORIGIN_NOT_FOUND')
    assert.deepEqual(await readdir(directory), [])
  })

  it('an existing file is replaced in one step: whoever looks sees the old or the new one, whole', async () => {
    const output = path.join(await newDirectory('old'), 'target')
    const old = 'what was there before'
    await writeFile(output, old)
    const reader = await open(output)
    let isOver = false
    const sizes = new Set<number>()
    const watch = (async () => {
      while (!isOver) {
        sizes.add((await stat(output)).size)
        await new Promise(resolve => setImmediate(resolve))
      }
    })()
    const ended = await dfget(output)
    isOver = true
    await watch
    assert.equal(ended.status, 0, ended.stdout)
    assert.deepEqual(
      [...sizes].filter(size => ![old.length, file.behaviour.lengthBytes].includes(size)),
      [],
    )
    assert.equal(await sha256OfFile(output), digest)
    assert.equal((await reader.readFile()).toString(), old)
    await reader.close()
    assert.deepEqual(await readdir(path.dirname(output)), ['target'])
  })

  it('the same file again is fine, and is another name of the same bytes', async () => {
    const output = path.join(await newDirectory('again'), 'target')
    for (let i = 0; i < 3; i++) assert.equal((await dfget(output)).status, 0)
    assert.equal(await sha256OfFile(output), digest)
    const { ino, nlink } = await stat(output)
    const shared = (await readdir(path.join(home, 'data'))).map(name => path.join(home, 'data', name))
    const inodes = await Promise.all(shared.map(async name => (await stat(name)).ino))
    assert.ok(nlink >= 2 && inodes.includes(ino))
    assert.deepEqual(
      shared.filter(name => !name.endsWith('.service')),
      [],
    )
  })

  it('on another file system it is a copy', async () => {
    const elsewhere = await mkdtemp('/dev/shm/dragonfly-test-')
    try {
      const output = path.join(elsewhere, 'target')
      assert.notEqual((await stat(elsewhere)).dev, (await stat(system.directory)).dev)
      await writeFile(path.join(elsewhere, '.target.dfget'), 'left by a command that was killed')
      for (let i = 0; i < 2; i++) {
        const ended = await dfget(output)
        assert.equal(ended.status, 0, ended.stdout)
        assert.equal(await sha256OfFile(output), digest)
        assert.equal((await stat(output)).nlink, 1)
        assert.equal((await stat(output)).mode & 0o777, 0o666 & ~process.umask())
        assert.deepEqual(await readdir(elsewhere), ['target'])
      }
    } finally {
      await rm(elsewhere, { recursive: true })
    }
  })

  it('what cannot be written is refused before the origin is asked', async () => {
    const directory = await newDirectory('wrong')
    await writeFile(path.join(directory, 'plain'), '')
    const wrong = [directory, '/dev/null', path.join(directory, 'plain', 'target'), '/proc/1/no/target']
    const asked = origin.requests.length
    for (const output of wrong) {
      const { status, code, message } = failure(await dfget(output))
      assert.deepEqual([status, code], [1, 'OUTPUT_INVALID'], output)
      assert.ok(message.includes(output))
    }
    assert.equal(origin.requests.length, asked)
    assert.ok((await stat('/dev/null')).isCharacterDevice())
    assert.deepEqual(await readdir(directory), ['plain'])
  })

  it('a directory without permission to write is refused before the origin is asked', async () => {
    const directory = await newDirectory('read-only')
    await chmod(directory, 0o500)
    const asked = origin.requests.length
    for (const output of [path.join(directory, 'target'), path.join(directory, 'new', 'target')]) {
      const flags = ['-u', file.url, '-o', output, '--json', ...common()]
      const { status, code, message } = failure(await runCli('dfget', flags, { isUnprivileged: true }))
      assert.deepEqual([status, code], [1, 'OUTPUT_INVALID'])
      assert.match(message, /permission denied/)
    }
    assert.equal(origin.requests.length, asked)
    assert.deepEqual(await readdir(directory), [])
  })

  it("the default name is the URL's last part", async () => {
    const cwd = await newDirectory('cwd')
    const names: [path: string, name: string][] = [
      ['/dir/plain.bin', 'plain.bin'],
      ['/a/b%20c.tar.gz', 'b c.tar.gz'],
      ['/x%E2%82%ACy', 'x€y'],
      ['/dir/%zz', '%zz'],
    ]
    for (const [at, name] of names) {
      const served = origin.serve(at, { lengthBytes: 5 })
      const ended = await runCli('dfget', ['-u', `${served.url}?v=1#part`, '--json', ...common()], { cwd })
      assert.equal(ended.status, 0, ended.stdout)
      assert.equal(ended.json().output, path.join(cwd, name))
      assert.equal((await stat(path.join(cwd, name))).size, 5)
    }
    assert.deepEqual((await readdir(cwd)).sort(), names.map(([, name]) => name).sort())
    for (const at of ['', '/', '/..', '/a%2Fb', '/.']) {
      const flags = ['--json', '--notbs', ...common()]
      const ended = await runCli('dfget', ['-u', origin.url + at, ...flags], { cwd })
      assert.deepEqual(failure(ended), {
        status: 1,
        code: 'USAGE',
        message: 'the URL names no file; give one with -o',
      })
    }
  })
})

describe('what dfget says', () => {
  it('--json ends with exactly this line', async () => {
    const output = path.join(await newDirectory('json'), 'target')
    const { stdout, stderr, status, json } = await dfget(output, '--digest', digest)
    assert.deepEqual([status, stderr], [0, ''])
    const said = json()
    const keys = 'ok url output taskId lengthBytes seconds digest bytes sources retries waitMs boundFactor'
    assert.deepEqual(Object.keys(said), keys.split(' '))
    assert.deepEqual(Object.keys(said.bytes as object), ['origin', 'supernode', 'peers', 'local'])
    const { ok, url, lengthBytes, bytes, retries, sources } = said
    assert.deepEqual(
      { ok, url, output: said.output, lengthBytes, digest: said.digest, bytes, retries, sources },
      {
        ok: true,
        url: file.url,
        output,
        lengthBytes: file.behaviour.lengthBytes,
        digest,
        bytes: { origin: 0, supernode: file.behaviour.lengthBytes, peers: 0, local: 0 },
        retries: 0,
        sources: 1,
      },
    )
    assert.match(String(said.taskId), /^[0-9a-f]{64}$/)
    assert.ok(typeof said.seconds === 'number' && said.seconds > 0)
    assert.ok(typeof said.boundFactor === 'number' && said.boundFactor > 0)
    for (const [reason, ms] of Object.entries(said.waitMs as object)) {
      assert.match(reason, /^(?:supernode|layout|schedule|origin|backoff|disk|digest)$/)
      assert.ok(Number.isInteger(ms))
    }
    assert.equal(stdout, `${JSON.stringify(said)}\n`)
  })

  it('without a terminal there are plain lines, and no control characters', async () => {
    const slow = origin.serve('/slow', { lengthBytes: 4 * MIB, rateBytesPerSecond: 1.5 * MIB })
    const output = path.join(await newDirectory('plain'), 'target')
    const { status, stdout, stderr } = await runCli('dfget', ['-u', slow.url, '-o', output, ...common()])
    assert.deepEqual([status, stderr], [0, ''])
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    assert.doesNotMatch(stdout, /[\x00-\x09\x0b-\x1f]/)
    const lines = stdout.trimEnd().split('\n')
    assert.match(lines.find(line => line.includes('%')) ?? '', /^ *\d+% \[=* *\] .*\/4\.00 MiB {2}.*MiB\/s/)
    assert.match(lines.at(-1)!, /^target: 4\.00 MiB in .*supernode 100%(?: {2}sha256:[0-9a-f]{64})?$/)
  })

  it('a failure without --json says code, cause and hint on standard error', async () => {
    const gone = origin.serve('/gone', { refusal: { status: 404 } })
    const output = path.join(await newDirectory('gone'), 'target')
    const { status, stdout, stderr } = await runCli('dfget', ['-u', gone.url, '-o', output, ...common()])
    assert.equal(status, 10)
    assert.match(
      stdout,
      /\ndownload FAIL\(1104\) cost:\d+\.\d{3}s length:-1 reason:10 error:\{"Code":1104,"Msg":".*answered 404"\}\n$/,
    )
    const { hint } = ERROR_TABLE.ORIGIN_NOT_FOUND
    assert.equal(stderr, `dfget: ORIGIN_NOT_FOUND: 127.0.0.1:${origin.port} answered 404\n  ${hint}\n`)
    assert.deepEqual(await readdir(path.dirname(output)), [])
  })

  it('-b draws a bar, on a terminal as without one', async () => {
    const output = path.join(await newDirectory('bar'), 'target')
    const flags = ['-u', file.url, '-o', output, '-b', ...common()]
    const plain = await runCli('dfget', flags)
    assert.equal(plain.status, 0, plain.stderr)
    const program = path.join(import.meta.dirname, '../src/cli/dfget.ts')
    const quoted = [process.execPath, program, ...flags].map(word => `'${word}'`).join(' ')
    const terminal = spawn('script', ['-qec', quoted, '/dev/null'], { stdio: ['ignore', 'pipe', 'inherit'] })
    let drawn = ''
    terminal.stdout.setEncoding('utf8').on('data', text => {
      drawn += text
    })
    const hasTerminals = await once(terminal, 'spawn').then(
      () => true,
      () => false,
    )
    if (hasTerminals) {
      await once(terminal, 'close')
      assert.equal(terminal.exitCode, 0, drawn)
    }
    for (const text of hasTerminals ? [plain.stdout, drawn] : [plain.stdout]) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: a bar is drawn with them
      assert.match(text, /\r\x1b\[2Ktarget: 3\.00 MiB in .*(?:supernode|local) 100%.*\r?\n$/)
    }
  })

  const MISTAKES: readonly [flags: string[], says: RegExp][] = [
    [['--outptu', 'x'], /unknown option '--outptu'\n\(Did you mean --output\?\)/],
    [['--diggest=x'], /unknown option '--diggest=x'\n\(Did you mean --digest\?\)/],
    [['--digest', 'md5:12'], /--digest.*'md5:12' is invalid/],
    [['--node', 'host:99999'], /--node.*'host:99999' is invalid/],
    [['--header', 'no colon'], /--header.*a header is written 'Name: value'/],
    [['--totallimit', 'fast'], /--totallimit.*'fast' is invalid/],
    [['--locallimit', '-5M'], /--locallimit.*argument missing|--locallimit.*'-5M' is invalid/],
    [['--minrate=1e3'], /--minrate.*'1e3' is invalid/],
    [['--timeout', '5'], /--timeout.*"5" is not a duration/],
    [['--alivetime', 'soon'], /--alivetime.*"soon" is not a duration/],
    [['--pattern', 'p3p'], /--pattern.*there are p2p, cdn and source/],
    [['--ip', 'localhost'], /--ip.*"localhost" is not an IP address/],
    [['--node', 'host=heavy'], /--node.*"host=heavy" is not a supernode/],
    [['--md5', '12'], /--md5.*"12" is not an MD5/],
    [['--filter', 'a=b'], /--filter.*"a=b" is not the name of a query parameter/],
    [['--header', 'X-A: b\r\nX-C: d'], /holds a line break/],
    [['--tries', '0'], /--tries.*"0" is not a number from 1 to 1000/],
    [['--localimit', '5M'], /unknown option '--localimit'\n\(Did you mean --locallimit\?\)/],
    [['serve'], /unknown command 'serve'\n\(Did you mean server\?\)|too many arguments/],
    [['--port', '70000'], /--port.*a port is a number up to 65535/],
    [['-o'], /option '-o, --output <file>' argument missing/],
    [['surplus'], /surplus/],
  ]
  for (const [flags, says] of MISTAKES) {
    it(`${flags.join(' ')} is explained, with status 1`, async () => {
      const { status, stdout, stderr } = await runCli('dfget', ['-u', file.url, ...common(), ...flags])
      assert.deepEqual([status, stdout], [1, ''], stderr)
      assert.match(stderr, says)
      assert.match(stderr, /--help shows the flags/)
    })
  }

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
      const { status, code, message } = failure(ended)
      assert.deepEqual([status, code], [1, 'USAGE'], url)
      assert.match(message, /URL/)
    }
    const none = await runCli('dfget', ['-o', output, '--json', ...common()])
    assert.deepEqual(failure(none), {
      status: 1,
      code: 'USAGE',
      message: 'there is no URL; give one with -u',
    })
  })
})

describe('secrets', () => {
  it('of URL and headers are in no output, log, record, or list of processes', () =>
    withHome(async root => {
      const own = await startSystem({ log: openLog(path.join(root, 'supernode.log'), 'debug') })
      try {
        const output = path.join(root, 'out', 'target')
        const secretUrl = (url: string) => {
          const query = 'token=SESAME2&X-Amz-Signature=SESAME3&X-Amz-Credential=SESAME4&v=7'
          return `${url.replace('://', '://user:SESAME1@')}?${query}`
        }
        const gone = origin.serve('/secret-gone', { refusal: { status: 404 } })
        const kept = origin.serve('/secret', { lengthBytes: 2 * MIB + 1 })
        const flags = ['-o', output, '--home', root, '--ip', '127.0.0.1', '--node', own.node]
        const headers = ['--header', 'Cookie: session=SESAME5', '--header', 'X-Api-Key: SESAME6']
        const said: string[] = []
        for (const [served, status] of [
          [gone, 10],
          [kept, 0],
          [kept, 0],
        ] as const) {
          for (const form of [['--json'], ['-b'], []]) {
            const ended = await runCli('dfget', ['-u', secretUrl(served.url), ...flags, ...headers, ...form])
            assert.equal(ended.status, status, ended.stdout + ended.stderr)
            said.push(ended.stdout, ended.stderr)
          }
        }
        assert.equal(kept.requests[0].headers['x-api-key'], 'SESAME6')
        const { pid } = (await residentStatus(root))!
        for (const part of ['cmdline', 'environ']) said.push(await readFile(`/proc/${pid}/${part}`, 'latin1'))
        assert.match(said.join(), new RegExp(`${kept.url}\\?token=\\*\\*\\*&v=7`))
        let records = 0
        for (const base of [root, own.directory]) {
          for (const name of await readdir(base, { recursive: true })) {
            said.push(name)
            const isText = (await stat(path.join(base, name))).isFile() && /\.(?:log|jsonl)$/.test(name)
            if (isText) said.push(await readFile(path.join(base, name), 'latin1'))
            if (isText) records++
          }
        }
        assert.equal(records, 5)
        assert.equal(said.filter(text => text.includes('SESAME')).join('\n'), '')
      } finally {
        await own.stop()
      }
    }))
})

describe('the resident peer', () => {
  it('is started once by two commands at the same moment, and both succeed', () =>
    withHome(async root => {
      const run = (name: string) =>
        runCli('dfget', ['-u', file.url, '-o', path.join(root, name), '--json', ...common(root)])
      const ended = await Promise.all(['one', 'two', 'three'].map(run))
      for (const { status, stdout, stderr } of ended) assert.equal(status, 0, stdout + stderr)
      for (const name of ['one', 'two', 'three'])
        assert.equal(await sha256OfFile(path.join(root, name)), digest)
      const log = await readFile(path.join(root, 'logs', 'dfclient.log'), 'utf8')
      assert.equal(log.match(/"peer started"/g)?.length, 1, log)
    }))

  it('is not kept away by a socket file that nobody listens on', () =>
    withHome(async root => {
      const { socket } = await openHome(root)
      const output = path.join(root, 'target')
      await writeFile(socket, 'not even a socket')
      const first = await runCli('dfget', ['-u', file.url, '-o', output, '--json', ...common(root)])
      assert.equal(first.status, 0, first.stdout)
      const { pid } = (await residentStatus(root))!
      process.kill(pid, 'SIGKILL')
      assert.ok((await stat(socket)).isSocket())
      const second = await runCli('dfget', ['-u', file.url, '-o', output, '--json', ...common(root)])
      assert.equal(second.status, 0, second.stdout)
      assert.notEqual((await residentStatus(root))!.pid, pid)
      assert.equal(second.json().digest, digest)
    }))

  it('keeps what a command had when Ctrl-C ended it within a second', () =>
    withHome(async root => {
      const slow = origin.serve('/interrupted', {
        lengthBytes: 16 * MIB,
        seed: 3,
        rateBytesPerSecond: 8 * MIB,
      })
      const output = path.join(root, 'out', 'target')
      const flags = ['-u', slow.url, '-o', output, '--json', ...common(root)]
      const running = startCli('dfget', flags)
      await origin.when(() => slow.bodyBytesSent >= 6 * MIB)
      const interruptedAt = performance.now()
      running.child.kill('SIGINT')
      const ended = await running.ended
      const tookMs = performance.now() - interruptedAt
      assert.deepEqual([ended.status, failure(ended).code], [130, 'CANCELLED'])
      assert.ok(tookMs < 1_000, `${tookMs} ms`)
      await assert.rejects(stat(path.dirname(output)), { code: 'ENOENT' })
      const again = await runCli('dfget', flags)
      assert.equal(again.status, 0, again.stdout)
      const bytes = again.json().bytes as { local: number }
      assert.ok(bytes.local >= 3 * MIB, JSON.stringify(bytes))
      assert.equal(await sha256OfFile(output), await origin.contentSha256(slow.path))
      assert.ok(slow.bodyBytesSent <= 16 * MIB * 1.01)
    }))

  it('says so where its port is taken', () =>
    withHome(async root => {
      await withTakenPort(async port => {
        const output = path.join(root, 'target')
        const flags = ['-u', file.url, '-o', output, '--json', '--port', String(port), ...common(root)]
        const { status, code, message } = failure(await runCli('dfget', flags))
        assert.deepEqual([status, code], [35, 'ADDRESS_IN_USE'])
        assert.match(message, new RegExp(`\\b${port}\\b`))
      })
    }))
})

async function withTakenPort(action: (port: number) => Promise<void>): Promise<void> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await action((server.address() as { port: number }).port)
  } finally {
    server.close()
  }
}

describe('the supernode command', () => {
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
