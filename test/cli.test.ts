import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { ERROR_TABLE } from '../src/core/error.ts'
import { openLog } from '../src/ops/log.ts'
import { type CliResult, failureOf, residentStatus, runCli } from './support/cli-run.ts'
import { type DfgetWorld, startDfgetWorld, stopDfgetWorld } from './support/dfget-world.ts'
import type { OriginServer, ServedFile } from './support/origin-server.ts'
import { sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

/** The commands as people and scripts use them. */

const MIB = 1024 ** 2

let world: DfgetWorld
let origin: OriginServer
let system: TestSystem
let home: string
let file: ServedFile
let digest: string
before(async () => {
  world = await startDfgetWorld()
  ;({ origin, system, home } = world)
  file = origin.serve('/dir/file.bin', { lengthBytes: 3 * MIB + 17, seed: 2 })
  digest = await origin.contentSha256(file.path)
})
after(() => stopDfgetWorld(world))

const common = () => world.flags()
const newDirectory = (name: string) => world.newDirectory(name)

function dfget(output: string, ...flags: string[]): Promise<CliResult> {
  return runCli('dfget', ['-u', file.url, '-o', output, '--json', ...common(), ...flags])
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
    assert.equal(failureOf(ended).code, 'ORIGIN_NOT_FOUND')
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
      const { status, code, message } = failureOf(await dfget(output))
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
      const { status, code, message } = failureOf(await runCli('dfget', flags, { isUnprivileged: true }))
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
      assert.deepEqual(failureOf(ended), {
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
    assert.doesNotMatch(stdout, /(?!\n)\p{Cc}/u)
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
})

describe('secrets', () => {
  it('of URL and headers are in no output, log, record, or list of processes', () =>
    world.withHome(async root => {
      const own = await startSystem({ log: openLog(path.join(root, 'supernode.log'), 'debug') })
      try {
        const output = path.join(root, 'out', 'target')
        const secretUrl = (url: string) => {
          const query = 'token=SESAME2&X-Amz-Signature=SESAME3&X-Amz-Credential=SESAME4&v=7&key=SESAME7'
          return `${url.replace('://', '://user:SESAME1@')}?${query}`
        }
        const gone = origin.serve('/secret-gone', { refusal: { status: 404 } })
        const kept = origin.serve('/secret', { lengthBytes: 2 * MIB + 1 })
        const flags = ['-o', output, '--filter', 'key', ...world.flags(root, own.node)]
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
