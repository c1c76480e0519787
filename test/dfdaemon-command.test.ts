import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { parse as parseYaml } from 'yaml'
import { SETTING_KEYS } from '../src/cli/dfdaemon-settings.ts'
import { residentStatus, runCli, startCli, stopResident } from './support/cli-run.ts'
import { withTakenPort } from './support/taken-port.ts'

const ROOT = path.join(import.meta.dirname, '..')

describe('the dfdaemon command', () => {
  let scratch: string
  before(async () => {
    scratch = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-dfdaemon-'))
  })
  // A peer that has just ended itself may be about to put its home in order.
  after(() => rm(scratch, { recursive: true, maxRetries: 5 }))

  const newDirectory = (name: string) => mkdtemp(path.join(scratch, `${name}-`))

  async function fileOf(name: string, text: string): Promise<string> {
    const file = path.join(await newDirectory('file'), name)
    await writeFile(file, text)
    return file
  }

  /** Settings in force, as `config show` prints them. */
  async function shown(flags: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    const env = { ...process.env, ...environment }
    const { status, stdout, stderr } = await runCli('dfdaemon', [...flags, 'config', 'show'], { env })
    assert.deepEqual([status, stderr], [0, ''])
    return parseYaml(stdout)
  }

  /** Runs until the action is over, then expects an orderly end. */
  async function whileRunning(
    flags: readonly string[],
    action: (url: string, home: string, said: string) => Promise<void>,
    after = stopResident,
  ): Promise<void> {
    const home = await newDirectory('home')
    const usual = ['--port', '0', '--workHome', home]
    const running = startCli('dfdaemon', [...usual, ...flags])
    try {
      const [said] = await once(running.child.stdout!, 'data')
      const [url] = /http:\/\/[^,]+/.exec(String(said)) ?? []
      assert.ok(url, String(said))
      await action(url, home, String(said))
    } finally {
      running.child.kill('SIGTERM')
    }
    const { status, stderr } = await running.ended
    await after(home)
    assert.deepEqual([status, stderr], [0, ''])
  }

  it('"config default" prints a file that changes nothing', async () => {
    const { stdout } = await runCli('dfdaemon', ['config', 'default'])
    const file = await fileOf('dfdaemon.yml', stdout)
    assert.deepEqual(await shown(['--config', file]), await shown(['--config', '']))
    const { hostIp, port, allowedClients, ratelimit } = parseYaml(stdout)
    assert.deepEqual([hostIp, port, ratelimit], ['127.0.0.1', 65_001, 0])
    assert.deepEqual(allowedClients, ['127.0.0.0/8', '::1/128'])
  })

  it('what is wrong with a file, a variable or a flag is explained, with status 1', async () => {
    const file = await fileOf('dfdaemon.yml', 'hostip: 127.0.0.1')
    const outcomes: [flags: string[], environment: NodeJS.ProcessEnv, says: RegExp][] = [
      [['--config', file], {}, /^dfdaemon: CONFIG_INVALID: .*dfdaemon\.yml: "hostip" is not known/],
      [['--config', `${file}.none`], {}, /CONFIG_INVALID: .*dfdaemon\.yml\.none cannot be read: ENOENT/],
      [[], { DFDAEMON_HOSTIP: 'here' }, /CONFIG_INVALID: DFDAEMON_HOSTIP: .*"here" is not an IP address/],
      [['--hostIp', 'here'], {}, /USAGE: command line: .*"here" is not an IP address\n.*hostIp/],
      [['--hostip', '::1'], {}, /unknown option '--hostip'\n\(Did you mean --hostIp\?\)/],
    ]
    for (const [flags, environment, says] of outcomes) {
      const { status, stdout, stderr } = await runCli('dfdaemon', flags, {
        env: { ...process.env, ...environment },
      })
      assert.deepEqual([status, stdout], [1, ''], stderr)
      assert.match(stderr, says)
    }
  })

  it('exit statuses are those of dfdaemon 1.x where it had some', async () => {
    const home = await newDirectory('home')
    const program = await fileOf('dfget', '#!/bin/sh\n')
    await chmod(program, 0o755)
    const outcomes: [flags: string[], status: number, says: RegExp][] = [
      [['--localrepo', 'data'], 12, /localrepo: "data" is not an absolute path/],
      [['--port', '70000'], 14, /port: a port is a number up to 65535/],
      [['--port', 'many'], 14, /port: /],
      [['--port', '0', '--dfpath', program, '--localrepo', `${program}/data`], 16, /localrepo: .*ENOTDIR/],
      [['--port', '0', '--dfpath', '/bin/false'], 33, /\/bin\/false says no version/],
    ]
    for (const [flags, expected, says] of outcomes) {
      const usual = ['--config', '', '--workHome', home]
      const { status, stdout, stderr } = await runCli('dfdaemon', [...usual, ...flags])
      assert.deepEqual([status, stdout], [expected, ''], stderr)
      assert.match(stderr, says)
    }
  })

  it('a taken port ends it with ADDRESS_IN_USE', () =>
    withTakenPort(async port => {
      const home = await newDirectory('home')
      const flags = ['--config', '', '--workHome', home, '--port', String(port)]
      const { status, stdout, stderr } = await runCli('dfdaemon', flags)
      assert.deepEqual([status, stdout], [35, ''], stderr)
      assert.match(stderr, new RegExp(`^dfdaemon: ADDRESS_IN_USE: .*\\b${port}\\b`))
    }))

  it('says where it listens and which registry is asked, and what it was told in vain, once', () =>
    whileRunning(['--config', '', '--maxprocs', '4', '--localrepo', '/data'], async (_, home, said) => {
      assert.match(
        said,
        /^dfdaemon \S+: mirror and proxy on http:\/\/127\.0\.0\.1:\d+, registry https:\/\/index\.docker\.io at https:\/\/registry-1\.docker\.io\n$/,
      )
      const log = await readFile(path.join(home, 'logs', 'dfdaemon.log'), 'utf8')
      const lines = log.split('\n').filter(line => line.includes('settings without effect'))
      assert.deepEqual(
        lines.map(line => JSON.parse(line).settings),
        [['maxprocs', 'localrepo']],
      )
    }))

  it('starts its resident peer, which stays as long as it does', async () => {
    const file = await fileOf('dfdaemon.yml', 'dfget_flags: [--alivetime, 200ms]\n')
    const isIdle = async (home: string) =>
      (await readFile(path.join(home, 'logs', 'dfclient.log'), 'utf8')).includes('"reason":"idle"')
    const stays = async (_: string, home: string) => {
      while ((await residentStatus(home))?.attendants !== 1) await delay(10)
      // Five times as long as it would otherwise.
      await delay(1_000)
      assert.equal(await isIdle(home), false)
    }
    await whileRunning(['--config', file], stays, async home => {
      while (!(await isIdle(home))) await delay(10)
    })
  })

  it('tells of itself at the paths of 1.x, without secrets', async () => {
    const password = await fileOf('password', 'hush-password\n')
    const file = await fileOf(
      'dfdaemon.yml',
      `proxyAuth: {user: somebody, passwordFile: ${password}}\nhttpProxy: http://me:hush-proxy@127.0.0.1:1\n` +
        `dfget_flags: [--header, "Authorization: Basic hush-header", "--header=X-Key: hush-key"]\n`,
    )
    const flags = ['--config', file, '--registry', 'http://127.0.0.1:1']
    await whileRunning(flags, async (url, home) => {
      const ask = async (target: string, method = 'GET') => {
        const answer = await fetch(`${url}${target}`, { method })
        return { status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() }
      }
      const args = await ask('/args')
      const words = ['--port', '0', '--workHome', home, ...flags]
      assert.deepEqual([args.status, args.text], [200, words.map(word => `${word} `).join('')])
      const env = await ask('/env')
      const settings = JSON.parse(env.text)
      assert.equal(settings.registry_mirror.remote, 'http://127.0.0.1:1')
      assert.deepEqual(settings.proxyauth, { user: 'somebody', passwordfile: password })
      assert.equal(settings.httpproxy, 'http://***@127.0.0.1:1')
      assert.deepEqual(settings.dfget_flags, ['--header', 'Authorization: ***', '--header=X-Key: ***'])
      const version = JSON.parse((await ask('/debug/version')).text)
      assert.deepEqual(Object.keys(version), ['Arch', 'NodeVersion', 'OS', 'Version'])
      const metrics = await ask('/metrics')
      assert.match(metrics.type ?? '', /^text\/plain; version=0\.0\.4/)
      assert.match(metrics.text, /^dragonfly_dfdaemon_requests_total\{kind="local",status="2xx"\} 3$/m)
      assert.match(metrics.text, /^dragonfly_dfdaemon_served_bytes_total\{source="swarm"\} 0$/m)
      const head = await ask('/env?x=1', 'HEAD')
      assert.deepEqual([head.status, head.text], [200, ''])
      assert.equal((await ask('/metrics', 'POST')).status, 405)
      const shownFlags = await shown(flags)
      assert.doesNotMatch(args.text + env.text + metrics.text + JSON.stringify(shownFlags), /hush/)
      assert.doesNotMatch(await readFile(path.join(home, 'logs', 'dfdaemon.log'), 'utf8'), /hush/)
    })
  })

  it('tells nothing of itself to clients that may not use it', async () => {
    const file = await fileOf('dfdaemon.yml', 'allowedClients: 192.0.2.0/24\n')
    await whileRunning(['--config', file], async url => {
      for (const target of ['/args', '/env', '/metrics', '/debug/version']) {
        const answer = await fetch(`${url}${target}`)
        assert.equal(answer.status, 403)
        assert.doesNotMatch(await answer.text(), /192\.0\.2|dragonfly_dfdaemon|--workHome/)
      }
    })
  })

  it('gen-ca makes an authority whose key nobody else may read, and replaces nothing unasked', async () => {
    const directory = await newDirectory('ca')
    const [key, cert] = ['ca.key', 'ca.crt'].map(name => path.join(directory, name))
    const flags = ['gen-ca', '--common-name', 'our proxy', '--key-output', key, '--cert-output', cert]
    const modeOf = async (file: string) => ((await stat(file)).mode & 0o777).toString(8)
    const made = await runCli('dfdaemon', flags)
    assert.deepEqual([made.status, made.stderr], [0, ''])
    assert.deepEqual([await modeOf(key), await modeOf(cert)], ['600', '644'])
    const before = await readFile(key, 'utf8')
    await rm(cert)
    const refused = await runCli('dfdaemon', flags)
    assert.equal(refused.status, 1)
    assert.match(refused.stderr, /OUTPUT_INVALID: .*ca\.key is there already; --overwrite replaces it/)
    assert.deepEqual(await readdir(directory), ['ca.key'])
    assert.equal(await readFile(key, 'utf8'), before)
    await chmod(key, 0o644)
    const replaced = await runCli('dfdaemon', [...flags, '--overwrite', '--expire-duration', '24h'])
    assert.equal(replaced.status, 0, replaced.stderr)
    assert.equal(await modeOf(key), '600')
    assert.notEqual(await readFile(key, 'utf8'), before)
    assert.deepEqual((await readdir(directory)).toSorted(), ['ca.crt', 'ca.key'])
  })

  it('has each of its flags and keys in its documentation, and no other', async () => {
    const documents = await readFile(path.join(ROOT, 'docs/dfdaemon.md'), 'utf8')
    const settings = documents.split(/^##+ /m).find(section => section.startsWith('Settings\n')) ?? ''
    const rows = [...settings.matchAll(/^\| (`[^|]*|) *\| (`[^|]*|) *\|/gm)]
    const named = (column: number, pattern: RegExp) =>
      rows.flatMap(row => [...row[column].matchAll(pattern)].map(([, name]) => name)).toSorted()
    const { stdout } = await runCli('dfdaemon', ['--help'])
    const known = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[A-Za-z-]+)/gm)].map(([, flag]) => flag)
    const self = ['--config', '--version', '--help']
    assert.deepEqual(named(1, /`(--[A-Za-z-]+)`/g), known.filter(flag => !self.includes(flag)).toSorted())
    const keys = new Set(named(2, /`([A-Za-z_]+)/g))
    assert.deepEqual([...keys].toSorted(), SETTING_KEYS.toSorted())
  })
})
