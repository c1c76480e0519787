import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { type CliResult, residentStatus, runCli, stopResident } from './support/cli-run.ts'
import { startDfgetWorld, stopDfgetWorld } from './support/dfget-world.ts'
import { startOriginServer } from './support/origin-server.ts'
import { createSelfSigned } from './support/self-signed.ts'

/** What dfget's flags, environment and files do, on real processes. */

const MIB = 1024 ** 2
/** One that nobody listens on. */
const DEAD = '127.0.0.1:1'

const world = await startDfgetWorld()
const { origin, system, home, newDirectory, flags: common } = world
after(() => stopDfgetWorld(world))

async function dfget(url: string, ...flags: string[]): Promise<CliResult & { output: string }> {
  const output = path.join(await newDirectory('out'), 'target')
  const ended = await runCli('dfget', ['-u', url, '-o', output, '--json', ...common(), ...flags])
  return { ...ended, output }
}

async function succeed(url: string, ...flags: string[]): Promise<Record<string, unknown>> {
  const ended = await dfget(url, ...flags)
  assert.equal(ended.status, 0, ended.stdout + ended.stderr)
  return ended.json()
}

async function fail(
  url: string,
  ...flags: string[]
): Promise<{ status: number | null; code: unknown; message: string }> {
  const { status, json, output } = await dfget(url, ...flags)
  const { ok, code, message } = json()
  assert.equal(ok, false)
  await assert.rejects(stat(output), { code: 'ENOENT' })
  return { status, code, message: String(message) }
}

describe('what a task is', () => {
  it('--filter: URLs that differ in what it names are one task, fetched once', async () => {
    const file = origin.serve('/filtered', { lengthBytes: 100_000 })
    const ids = await Promise.all(
      ['?v=1&sign=a&key=x', '?sign=b&v=1', '?v=1&key=y'].map(query =>
        succeed(file.url + query, '-f', 'sign&key'),
      ),
    )
    assert.equal(new Set(ids.map(({ taskId }) => taskId)).size, 1)
    assert.equal(file.requests.filter(({ headers }) => headers.range === undefined).length, 1)
    const other = await succeed(`${file.url}?v=2&key=x`, '-f', 'sign&key')
    assert.notEqual(other.taskId, ids[0].taskId)
    const unfiltered = await succeed(`${file.url}?v=1`)
    assert.notEqual(unfiltered.taskId, ids[0].taskId)
    assert.ok(file.requests.every(({ target }) => !target.includes('#') && !target.includes('!')))
  })

  it('--filter is no way to put one content in the place of another', async () => {
    const file = origin.serve('/poison', { lengthBytes: 1_000 })
    const [evil, plain] = [await succeed(`${file.url}?other=1`, '--filter', 'other'), await succeed(file.url)]
    assert.notEqual(evil.taskId, plain.taskId)
  })

  it('--identifier tells apart what shares a URL', async () => {
    const file = origin.serve('/named', { lengthBytes: 1_000 })
    const ids = [
      await succeed(file.url),
      await succeed(file.url, '-i', 'blue'),
      await succeed(file.url, '--identifier', 'green'),
    ]
    assert.equal(new Set(ids.map(({ taskId }) => taskId)).size, 3)
  })

  it('--md5 and --digest are verified over the whole content, together and alone', async () => {
    const file = origin.serve('/digests', { lengthBytes: 3 * MIB + 5 })
    const md5 = createHash('md5').update(origin.expectedBytes(file.path)).digest('hex')
    const sha256 = await origin.contentSha256(file.path)
    const wrong = 'ab'.repeat(16)
    for (const flags of [
      ['-m', md5],
      ['--md5', `MD5:${md5.toUpperCase()}`],
      ['--digest', `md5:${md5}`],
      ['--digest', sha256, '--md5', md5],
      ['--digest', `${sha256},md5:${md5}`],
    ]) {
      const { digest } = await succeed(file.url, ...flags)
      assert.equal(digest, sha256)
    }
    for (const flags of [
      ['--md5', wrong],
      ['--digest', `md5:${wrong}`],
      ['--digest', sha256, '--md5', wrong],
    ]) {
      const { status, code, message } = await fail(file.url, ...flags)
      assert.deepEqual([status, code], [20, 'DIGEST_MISMATCH'])
      assert.equal(message, `the content is md5:${md5}, expected was md5:${wrong}`)
    }
    const { status, message } = await fail(file.url, '--md5', md5, '--digest', `md5:${wrong}`)
    assert.deepEqual([status, message], [1, 'the digests contradict each other'])
    assert.equal(
      file.requests.filter(({ headers }) => headers.range === undefined).length,
      2,
      'once per task',
    )
  })
})

describe('where it comes from', () => {
  it('--node with weights: one of weight 0 is not asked, and the given order holds without weights', async () => {
    const file = origin.serve('/weights', { lengthBytes: 1_000 })
    const nodes = (text: string) => ['--node', text]
    const output = path.join(await newDirectory('out'), 'target')
    const said = await runCli('dfget', [
      ...['-u', file.url, '-o', output, '--home', home, '--config='],
      ...nodes(`${DEAD}=0,${system.node}=5`),
    ])
    assert.equal(said.status, 0, said.stderr)
    assert.match(said.stdout, new RegExp(`^client:127\\.0\\.0\\.1 connected to node:${system.node}$`, 'm'))
    const log = () => readFile(path.join(home, 'logs', 'dfclient.log'), 'utf8')
    assert.ok(!(await log()).includes(DEAD))
    const other = origin.serve('/order', { lengthBytes: 1_000 })
    const ended = await runCli('dfget', [
      ...['-u', other.url, '-o', output, '--home', home, '--json', '--config='],
      ...nodes(`${DEAD},${system.node}`),
    ])
    assert.equal(ended.status, 0, ended.stdout)
    assert.ok((await log()).includes(DEAD))
  })

  it('--node takes IPv6 in brackets', async () => {
    const printed = await runCli('dfget', [
      '--print-config',
      '--config=',
      '--node',
      '[::1]:9=2,[2001:db8::1]',
    ])
    assert.match(printed.stdout, /- "\[::1\]:9=2"\n {2}- "\[2001:db8::1\]:8002"/)
  })

  it('--header goes to the origin, as often as it is given', async () => {
    const file = origin.serve('/headers', { lengthBytes: 10 })
    await succeed(file.url, '--header', 'X-One: 1', '--header', 'X-Two: a: b')
    const { headers } = file.requests[0]
    assert.deepEqual([headers['x-one'], headers['x-two']], ['1', 'a: b'])
  })

  it('--cacerts: the supernode accepts an origin that the named authority vouches for, for this task only', async () => {
    const own = createSelfSigned({ ipv4: '127.0.0.1' })
    const secure = await startOriginServer({ tls: own })
    try {
      const file = secure.serve('/secure', { lengthBytes: 2 * MIB })
      const directory = await newDirectory('ca')
      const names = ['own.pem', 'other.pem'].map(name => path.join(directory, name))
      await writeFile(names[0], own.cert)
      await writeFile(names[1], createSelfSigned({ dns: 'elsewhere.example' }).cert)
      assert.equal((await fail(file.url)).code, 'ORIGIN_TLS')
      assert.equal((await fail(file.url, '--cacerts', names[1])).code, 'ORIGIN_TLS')
      const { bytes } = await succeed(file.url, '--cacerts', names.join(','))
      assert.equal((bytes as { origin: number }).origin, 0, 'it came through the supernode')
      await succeed(file.url, '--cacerts', names[0], '--cacerts', names[1])
      assert.equal((await fail(file.url)).code, 'ORIGIN_TLS')
      assert.equal(file.requests.filter(({ headers }) => headers.range === undefined).length, 1)
    } finally {
      await secure.close()
    }
    for (const [name, says] of [
      ['/nowhere.pem', /\/nowhere\.pem: ENOENT/],
      [import.meta.filename, /there is no PEM certificate/],
    ] as const) {
      const { status, code, message } = await fail('http://h/x', '--cacerts', name)
      assert.deepEqual([status, code], [1, 'USAGE'])
      assert.match(message, says)
    }
  })
})

describe('how long', () => {
  it('--timeout ends the whole download, with the status of a failed one', async () => {
    const slow = origin.serve('/slow', { lengthBytes: 8 * MIB, rateBytesPerSecond: MIB })
    const { status, code, message } = await fail(slow.url, '-e', '800ms')
    assert.deepEqual([status, code], [80, 'DOWNLOAD_TIMEOUT'])
    assert.equal(message, 'the download took longer than 800ms')
    assert.ok(slow.bodyBytesSent < slow.behaviour.lengthBytes, 'the origin has not sent all')
  })

  it('--alivetime ends the resident peer that has nothing to do', () =>
    world.withHome(async root => {
      const file = origin.serve('/alive', { lengthBytes: 1_000 })
      const ended = await runCli('dfget', [
        ...['-u', file.url, '-o', path.join(root, 'out'), '--json', ...common(root), '--alivetime', '300ms'],
      ])
      assert.equal(ended.status, 0, ended.stdout)
      const log = path.join(root, 'logs', 'dfclient.log')
      const deadline = performance.now() + 20_000
      while (!(await readFile(log, 'utf8')).includes('"reason":"idle"')) {
        assert.ok(performance.now() < deadline, 'it ends itself')
      }
    }))
})

describe('what is said', () => {
  it('--quiet says nothing, and errors all the same', async () => {
    const file = origin.serve('/quiet', { lengthBytes: 1_000 })
    const output = path.join(await newDirectory('out'), 'target')
    const quiet = (url: string) => runCli('dfget', ['-q', '-u', url, '-o', output, ...common()])
    const { status, stdout, stderr } = await quiet(file.url)
    assert.deepEqual([status, stdout, stderr], [0, '', ''])
    const gone = await quiet(`${origin.url}/not-here`)
    assert.deepEqual([gone.status, gone.stdout], [10, ''])
    assert.match(gone.stderr, /ORIGIN_NOT_FOUND/)
  })

  it('--callsystem is in the log, --console shows the log, --verbose makes it longer', () =>
    world.withHome(async root => {
      const file = origin.serve('/labelled', { lengthBytes: 1_000 })
      const flags = ['-u', file.url, '-o', path.join(root, 'out'), ...common(root), '--console']
      const { status, stdout } = await runCli('dfget', [...flags, '--callsystem', 'builder'])
      assert.equal(status, 0, stdout)
      const line = stdout.split('\n').find(text => text.includes('"command served"'))
      assert.equal(JSON.parse(line ?? '{}').callSystem, 'builder')
      assert.match(stdout, /"peer started"/)
      const json = await runCli('dfget', [...flags, '--json', '--dfdaemon'])
      assert.equal(json.json().ok, true)
      assert.match(json.stderr, /"callSystem":"dfdaemon"/)
      await stopResident(root)
      await runCli('dfget', [...flags, '--verbose'])
      assert.match(
        await readFile(`/proc/${(await residentStatus(root))!.pid}/cmdline`, 'latin1'),
        /--verbose/,
      )
    }))

  it('the log is where it is wanted', () =>
    world.withHome(async root => {
      const file = origin.serve('/log', { lengthBytes: 1_000 })
      const log = path.join(root, 'elsewhere', 'peer.log')
      const flags = [
        '-u',
        file.url,
        '-o',
        path.join(root, 'out'),
        ...common(root),
        '--log-path',
        log,
        '--console',
      ]
      const { status, stdout } = await runCli('dfget', flags)
      assert.equal(status, 0, stdout)
      assert.match(await readFile(log, 'utf8'), /"peer started"/)
      assert.match(stdout, /"command served"/)
    }))

  it('version has five lines, -v the number, and completion is for a shell', async () => {
    const { status, stdout } = await runCli('dfget', ['version'])
    assert.equal(status, 0)
    assert.match(
      stdout,
      /^dfget version {2}\S+\n {2}Git commit: {5}\S+\n {2}Build date: {5}\S+\n {2}Node version: {3}v\d+\S+\n {2}OS\/Arch: {8}linux\/(?:amd64|arm64)\n$/,
    )
    assert.match((await runCli('dfget', ['-v'])).stdout, /^\d+\.\d+\.\d+\S*\n$/)
    const script = await runCli('dfget', ['completion', 'bash'])
    assert.equal(spawnSync('bash', ['-n'], { input: script.stdout }).status, 0)
    const wrong = await runCli('dfget', ['completion', 'zhs'])
    assert.equal(wrong.status, 1)
    assert.match(wrong.stderr, /did you mean "zsh"\?/)
  })
})

describe('flags, environment and file', () => {
  const printed = async (flags: string[], env: Record<string, string> = {}) => {
    const { status, stdout, stderr } = await runCli('dfget', ['--print-config', ...flags], {
      env: { ...process.env, ...env },
    })
    assert.equal(status, 0, stderr)
    return stdout
  }

  it('win in this order, and --print-config says which did', async () => {
    const config = path.join(await newDirectory('config'), 'dfget.yml')
    await writeFile(config, 'localLimit: 3M\nminRate: 3M\ntotalLimit: 3M\ninsecure: true\nverbose: true\n')
    const env = { DFGET_LOCAL_LIMIT: '2M', DFGET_MIN_RATE: '2M', DFGET_CONFIG: config }
    const said = await printed(['--locallimit', '1M', '--insecure=false', '--no-verbose'], env)
    for (const line of [
      'localLimit: 1MB # flag',
      'minRate: 2MB # environment',
      'totalLimit: 3MB # file',
      'insecure: false # flag',
      'verbose: false # flag',
      'timeout: 0s # default',
    ]) {
      assert.ok(said.split('\n').includes(line), `${line}\n${said}`)
    }
  })

  it('a mistake in any of them is an error that names the place', async () => {
    const config = path.join(await newDirectory('config'), 'dfget.yml')
    await writeFile(config, 'nodes: [a]\nlocalimit: 5M\n')
    const inFile = await runCli('dfget', ['--print-config', '--config', config])
    assert.equal(inFile.status, 1)
    assert.match(
      inFile.stderr,
      /CONFIG_INVALID: .*dfget\.yml:2: "localimit" is not known, did you mean "localLimit"\?/,
    )
    const env = { ...process.env, DFGET_TIMEOUT: 'soon' }
    const inEnvironment = await runCli('dfget', ['-u', 'http://h/x', '--json', '--config='], { env })
    assert.equal(inEnvironment.status, 1)
    assert.match(String(inEnvironment.json().message), /^DFGET_TIMEOUT: "soon" is not a duration/)
  })

  it('a credential of the environment reaches the origin, and neither the peer’s environment nor its arguments', () =>
    world.withHome(async root => {
      const file = origin.serve('/from-environment', { lengthBytes: 10 })
      const env = { ...process.env, DFGET_HEADERS: 'X-Api-Key: SESAME\nX-Two: 2', DFGET_ALIVE_TIME: '2m' }
      const flags = ['-u', file.url, '-o', path.join(root, 'out'), ...common(root)]
      const { status, stdout } = await runCli('dfget', flags, { env })
      assert.equal(status, 0, stdout)
      assert.deepEqual(
        [file.requests[0].headers['x-api-key'], file.requests[0].headers['x-two']],
        ['SESAME', '2'],
      )
      const { pid } = (await residentStatus(root))!
      const told = await Promise.all(
        ['cmdline', 'environ'].map(part => readFile(`/proc/${pid}/${part}`, 'latin1')),
      )
      assert.ok(!told.join().includes('SESAME'))
      assert.ok(told[0].includes('--alivetime=2m0s'))
    }))
})
