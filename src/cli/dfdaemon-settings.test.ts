import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createAuthority } from '../dfdaemon/proxy/certificates.ts'
import { silentLog } from '../ops/log.ts'
import { compileDfdaemonOptions } from './dfdaemon-options.ts'
import { type DfdaemonSettings, gatherSettings } from './dfdaemon-settings.ts'

describe('the settings of dfdaemon', () => {
  let scratch: string
  before(async () => {
    scratch = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-settings-'))
  })
  after(() => rm(scratch, { recursive: true }))

  /** What is in force with this file. */
  async function gather(text: string, environment: NodeJS.ProcessEnv = {}, flags: object = {}) {
    const named = path.join(scratch, 'dfdaemon.yml')
    await writeFile(named, text)
    return gatherSettings(flags, { environment, named })
  }

  const compile = (settings: DfdaemonSettings, environment: NodeJS.ProcessEnv = {}) =>
    compileDfdaemonOptions(settings, {
      environment,
      args: [],
      fetcher: { fetch: () => assert.fail('nothing is fetched') },
      log: silentLog,
    })

  it('come from flags before the environment, that before the file, that before the defaults, key by key', async () => {
    const file =
      'port: 1\nratelimit: 1M\nregistry_mirror:\n  remote: http://file:1\n  insecure: true\n' +
      'logConfig: {maxSize: 7, maxBackups: 3}\nhijack_https:\nsupernodes: [a]\nverbose: true\n'
    const environment = {
      DFDAEMON_PORT: '2',
      DFDAEMON_RATELIMIT: '2M',
      DFDAEMON_HOSTIP: '',
      DFDAEMON_SUPERNODES: 'b, c:1=2',
      DFDAEMON_LOGCONFIG_MAXSIZE: '8',
      DFDAEMON_PROXIES: '[{regx: blobs, direct: true}]',
    }
    const flags = { port: '3', registry_mirror: { remote: 'http://flag:3/' }, verbose: false }
    const settings = await gather(file, environment, flags)
    const { port, ratelimit, hostIp, supernodes, verbose, logConfig, proxies, accessMemory } = settings
    assert.deepEqual([port, ratelimit, hostIp, verbose], ['3', '2M', '127.0.0.1', false])
    assert.deepEqual(settings.registry_mirror, {
      remote: 'http://flag:3/',
      certs: [],
      insecure: true,
      direct: false,
    })
    assert.deepEqual([supernodes, accessMemory], [['b', 'c:1=2'], '30s'])
    assert.deepEqual(logConfig, { maxSize: '8', maxBackups: '3' })
    assert.deepEqual(proxies, [{ regx: 'blobs', direct: true }])
    assert.equal(settings.hijack_https, undefined)
  })

  it('become options: addresses, patterns, files, numbers', async () => {
    const password = path.join(scratch, 'password')
    await writeFile(password, 'open sesame\n')
    const text = `
hostIp: ::1
port: 0
registry_mirror: {remote: "https://host:5000/path/"}
registries:
  - {name: docker.io, remote: "https://index.docker.io", direct: true}
  - {name: "Registry:5000/Team", remote: "http://other", insecure: true}
proxies:
  - {regx: "(?i)BLOBS/sha256"}
  - {regx: "\\\\.iso$", use_https: true, direct: true, redirect: "mirror:8080"}
allowedClients: 10.0.0.0/8
proxyAuth: {user: ali, passwordFile: ${password}}
accessMemory: 2m
proxyExcept: [internal]
`
    const options = await compile(await gather(text), { https_proxy: 'http://proxy:1' })
    const { mirror, proxy, clients } = options
    assert.deepEqual([options.host, options.port, options.tls], ['::1', 0, null])
    assert.equal(mirror.usual.remote, 'https://host:5000/path')
    assert.deepEqual(
      [...mirror.registries].map(([name, { remote, isDirect, trust }]) => [
        name,
        remote,
        isDirect,
        trust.isInsecure,
      ]),
      [
        ['docker.io', 'https://registry-1.docker.io', true, false],
        ['registry:5000/team', 'http://other', false, true],
      ],
    )
    assert.deepEqual(proxy, {
      hijack: null,
      rules: [
        { pattern: /BLOBS\/sha256/i, usesHttps: false, isDirect: false, redirect: null },
        { pattern: /\.iso$/, usesHttps: true, isDirect: true, redirect: 'mirror:8080' },
      ],
    })
    assert.deepEqual(clients.allowed, [{ family: 4, words: [10 * 2 ** 24], length: 8 }])
    assert.deepEqual(clients.credentials, { user: 'ali', password: 'open sesame' })
    assert.equal(options.accessMemoryMs, 120_000)
    assert.deepEqual(options.proxies, { http: null, https: 'http://proxy:1/', except: ['internal'] })
  })

  it('name PEM files, which are read at the start and must fit each other', async () => {
    const pairs = await Promise.all(
      ['a', 'b'].map(commonName => createAuthority({ commonName, lifetimeMs: 60_000, now: 0 })),
    )
    const fileOf = async (name: string, text: string) => {
      await writeFile(path.join(scratch, name), text)
      return path.join(scratch, name)
    }
    const [cert, key] = [await fileOf('cert', pairs[0].cert), await fileOf('key', pairs[0].key)]
    const other = await fileOf('other', pairs[1].key)
    const tls = await compile(await gather(`certpem: ${cert}\nkeypem: ${key}`))
    assert.deepEqual(tls.tls, pairs[0])
    const opened = `{cert: ${cert}, key: ${key}, hosts: [{regx: ":443$", certs: [${cert}]}]}`
    const { proxy } = await compile(await gather(`hijack_https: ${opened}`))
    assert.deepEqual(proxy.hijack, {
      ...pairs[0],
      hosts: [{ pattern: /:443$/, trust: { authorities: pairs[0].cert, isInsecure: false } }],
    })
    await assert.rejects(compile(await gather(`certpem: ${cert}\nkeypem: ${other}`)), {
      code: 'CONFIG_INVALID',
      message: /cert, .*other: .*key values mismatch/,
    })
  })

  const WRONG: readonly [text: string, says: RegExp][] = [
    ['hostip: 127.0.0.1', /"hostip" is not known, did you mean "hostIp"\?/],
    ['registry_miror: {}', /"registry_miror" is not known, did you mean "registry_mirror"\?/],
    ['registry_mirror: {insecur: true}', /"insecur" is not known, did you mean "insecure"\?/],
    ['hijack_https: {hosts: [{regex: a}]}', /"regex" is not known, did you mean "regx"\?/],
    ['proxies: [{regx: a, usehttps: true}]', /"usehttps" is not known, did you mean "use_https"\?/],
    ['proxies: [{regx: "("}]', /"\(" is not a regular expression[\s\S]*proxies\[0\]\.regx/],
    ['proxies: [{regx: a, redirect: "http://x"}]', /a redirect is written host\[:port\]/],
    ['allowedClients: [10.0.0.1/8]', /"10\.0\.0\.1\/8" has bits set behind its prefix/],
    ['verbose: yes', /"yes" is neither true nor false/],
    ['accessMemory: soon', /"soon" is not a duration/],
    ['registry_mirror: {remote: "https://user:hush@host"}', /a registry is written https:/],
    ['registries: [{remote: "https://host"}]', /registries\[0\]\.name/],
    ['hijack_https: {key: "-----BEGIN PRIVATE KEY-----hush"}', /the name of a file is wanted here/],
    ['proxyAuth: {user: somebody}', /user and passwordFile belong together/],
    ['certpem: /nowhere/cert.pem', /certpem and keypem belong together/],
    [
      'registry_mirror: {certs: [/nowhere/ca.pem]}',
      /registry_mirror\.certs: \/nowhere\/ca\.pem cannot be read: ENOENT/,
    ],
    ['port: [', /cannot be read: it is not YAML/],
  ]
  for (const [text, says] of WRONG) {
    it(`"${text}" is explained, and what may be secret is not repeated`, async () => {
      const refused = gather(text).then(settings => compile(settings))
      await assert.rejects(refused, (thrown: Error & { code: string }) => {
        assert.equal(thrown.code, 'CONFIG_INVALID')
        assert.match(thrown.message, says)
        assert.doesNotMatch(thrown.message, /hush/)
        return true
      })
    })
  }
})
