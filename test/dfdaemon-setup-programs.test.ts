import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { describe, it, type TestContext } from 'node:test'
import { findProgram } from '../src/cli/dfdaemon-setup-program.ts'
import { CONFIG_TOML, DAEMON_JSON, DROP_IN, openSetupRoot, type SetupRoot } from './support/setup-root.ts'

/** What `dfdaemon setup` writes, read by the programs that it is for. */

const PATIENCE_MS = 30_000

/** Null, and said aloud, where the program is not here. */
async function versionHere(t: TestContext, program: string, needsRoot: boolean): Promise<string | null> {
  const found = await findProgram(program, process.env)
  const why =
    found?.version == null
      ? `${program} is not installed`
      : needsRoot && process.getuid?.() !== 0
        ? `${program} needs root`
        : null
  if (why === null) return `${found!.version!.major}.${found!.version!.minor}`
  t.diagnostic(`NOT TRIED: ${why}`)
  console.log(`NOT TRIED: ${t.name}: ${why}`)
  return null
}

/** Starts a daemon that is stopped with the test, and waits for the line that says that it is up. */
async function startDaemon(root: SetupRoot, command: readonly string[], up: RegExp): Promise<void> {
  const child: ChildProcess = spawn(command[0], command.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = once(child, 'close')
  root.onEnd(async () => {
    child.kill()
    await ended
  })
  const said: string[] = []
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stderr! }).on('line', line => {
      said.push(line)
      if (up.test(line)) resolve()
    })
    child.once('close', () => reject(new Error(`${command[0]} ended:\n${said.join('\n')}`)))
  })
}

/** Exit status and all that is said. */
function run(
  command: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ status: number; said: string }> {
  return new Promise(resolve => {
    execFile(command[0], command.slice(1), { env, timeout: PATIENCE_MS }, (error, stdout, stderr) => {
      resolve({ status: error ? 1 : 0, said: stdout + stderr })
    })
  })
}

type Server = { readonly address: string; readonly asked: string[] }

/** Has no image, and notes what it is asked. */
async function startServer(t: TestContext, name: string, asked: string[]): Promise<Server> {
  const server = http.createServer((request, response) => {
    asked.push(`${name}: ${request.url}`)
    response.writeHead(request.url === '/v2/' ? 200 : 404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

async function startBoth(t: TestContext): Promise<{ daemon: Server; registry: Server; asked: string[] }> {
  const asked: string[] = []
  return {
    daemon: await startServer(t, 'daemon', asked),
    registry: await startServer(t, 'registry', asked),
    asked,
  }
}

/** Of the requests for a manifest: who was asked, in order, without asking twice in a row. */
function whoWasAsked(asked: readonly string[]): string[] {
  const names = asked.filter(line => line.includes('/manifests/')).map(line => line.split(':', 1)[0])
  return names.filter((name, i) => name !== names[i - 1])
}

const NOBODY = '127.0.0.1:9'

describe('containerd', () => {
  const prepare = async (t: TestContext, config = ''): Promise<SetupRoot> => {
    const root = await openSetupRoot(t)
    const own = `root = "${root.at('root')}"\nstate = "${root.at('state')}"\n[grpc]\naddress = "${root.at('socket')}"\n`
    root.put(CONFIG_TOML, `version = 2\n${own}${config}`)
    return root
  }
  const start = (root: SetupRoot) =>
    startDaemon(root, ['containerd', '--config', root.at(CONFIG_TOML)], /containerd successfully booted/)
  const plugin = async (root: SetupRoot) =>
    (await run(['ctr', '-a', root.at('socket'), 'plugins', 'ls'])).said
      .split('\n')
      .find(line => /v1\s+cri\s/.test(line))

  it('takes its configuration, in every form of the file', async t => {
    const version = await versionHere(t, 'containerd', false)
    if (version === null) return
    for (const own of [
      null,
      'version = 2\n',
      'disabled_plugins = []\n',
      '[plugins.cri.registry]\nconfig_path = ""\n',
    ]) {
      const root = await openSetupRoot(t)
      if (own !== null) root.put(CONFIG_TOML, own)
      const { status } = await root.setup('containerd', '--write', '--runtime-version', version)
      assert.equal(status, 0)
      const dump = await run(['containerd', '--config', root.at(CONFIG_TOML), 'config', 'dump'])
      assert.equal(dump.status, 0, dump.said)
      assert.match(dump.said, /config_path = ["']\/etc\/containerd\/certs\.d["']/)
    }
  })

  it('asks dfdaemon first and by the name of the registry, then the registry; the registry alone where dfdaemon is down', async t => {
    const version = await versionHere(t, 'containerd', true)
    if (version === null) return
    const { daemon, registry, asked } = await startBoth(t)
    const root = await prepare(t)
    const flags = ['--registry', registry.address, '--write', '--runtime-version', version]
    await root.setup('containerd', ...flags, '--daemon', `http://${daemon.address}`)
    await start(root)
    assert.match((await plugin(root)) ?? '', /\sok\s*$/)
    const hosts = root.at('/etc/containerd/certs.d')
    const pull = () =>
      run([
        'ctr',
        '-a',
        root.at('socket'),
        'images',
        'pull',
        '--hosts-dir',
        hosts,
        `${registry.address}/lib/small:1`,
      ])
    await pull()
    assert.deepEqual(whoWasAsked(asked), ['daemon', 'registry'])
    assert.equal(asked[0], `daemon: /v2/lib/small/manifests/1?ns=${encodeURIComponent(registry.address)}`)
    asked.length = 0
    await root.setup('containerd', ...flags, '--daemon', `http://${NOBODY}`)
    await pull()
    assert.deepEqual(whoWasAsked(asked), ['registry'])
  })

  it('does not load its plug-in where config_path stands beside deprecated mirrors, which is why setup stops there', async t => {
    const version = await versionHere(t, 'containerd', true)
    if (version === null) return
    const registry = 'plugins."io.containerd.grpc.v1.cri".registry'
    const root = await prepare(
      t,
      `[${registry}]\nconfig_path = "/x"\n[${registry}.mirrors."docker.io"]\nendpoint = ["https://a"]\n`,
    )
    await start(root)
    assert.match((await plugin(root)) ?? '', /\serror\s*$/)
    const { code } = await root.setup('containerd', '--write', '--runtime-version', version)
    assert.equal(code, 'CONFIG_INVALID')
  })
})

describe('dockerd', () => {
  it('has dfdaemon as its first mirror', async t => {
    const version = await versionHere(t, 'dockerd', true)
    if (version === null) return
    const root = await openSetupRoot(t)
    root.put(DAEMON_JSON, '{"registry-mirrors": ["https://mirror.example"], "log-driver": "none"}')
    await root.setup('docker', '--write', '--runtime-version', version)
    const places = [
      '--data-root',
      root.at('data'),
      '--exec-root',
      root.at('exec'),
      '--pidfile',
      root.at('pid'),
    ]
    const flags = ['--iptables=false', '--ip6tables=false', '--bridge=none', '--storage-driver=vfs']
    const socket = root.at('socket')
    await startDaemon(
      root,
      ['dockerd', '--config-file', root.at(DAEMON_JSON), ...places, ...flags, '-H', `unix://${socket}`],
      /API listen on/,
    )
    const [answer] = await once(http.get({ socketPath: socket, path: '/info' }), 'response')
    const info = JSON.parse(Buffer.concat(await answer.toArray()).toString())
    assert.deepEqual(info.RegistryConfig.Mirrors, ['http://127.0.0.1:65001/', 'https://mirror.example/'])
  })
})

describe('podman and skopeo', () => {
  for (const [program, command] of [
    ['skopeo', (_: SetupRoot, image: string) => ['skopeo', 'inspect', `docker://${image}`]],
    [
      'podman',
      (root: SetupRoot, image: string) => [
        'podman',
        ...['--root', root.at('storage'), '--runroot', root.at('run'), '--storage-driver', 'vfs'],
        ...['pull', image],
      ],
    ],
  ] as const) {
    it(`${program} asks dfdaemon first, then the registry; the registry alone where dfdaemon is down`, async t => {
      if ((await versionHere(t, program, program === 'podman')) === null) return
      const { daemon, registry, asked } = await startBoth(t)
      const root = await openSetupRoot(t)
      // The files of an account are read in place of those in /etc (containers-registries.conf.d(5)).
      root.put('home/.config/containers/registries.conf', '')
      const pull = async (address: string) => {
        await root.setup('podman', '--write', '--registry', registry.address, '--daemon', `http://${address}`)
        root.put(
          path.join('home/.config/containers/registries.conf.d', path.basename(DROP_IN)),
          root.text(DROP_IN),
        )
        asked.length = 0
        return run(command(root, `${registry.address}/lib/small:1`), {
          ...process.env,
          HOME: root.at('home'),
        })
      }
      await pull(daemon.address)
      assert.deepEqual(whoWasAsked(asked), ['daemon', 'registry'])
      const component = registry.address.replace(':', '.')
      assert.ok(asked.includes(`daemon: /v2/${component}/lib/small/manifests/1`), asked.join('\n'))
      await pull(NOBODY)
      assert.deepEqual(whoWasAsked(asked), ['registry'])
      assert.ok(fs.existsSync(root.at(DROP_IN)))
    })
  }
})
