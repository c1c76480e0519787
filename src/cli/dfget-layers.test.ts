import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { readConfigFile } from './dfget-config-file.ts'
import { peerArguments } from './dfget-flags.ts'
import { compileSettings, type Layers } from './dfget-layers.ts'
import { ROWS, SETTING_NAMES } from './dfget-settings.ts'
import { printConfig } from './print-config.ts'

let directory: string
before(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-config-'))
})
after(() => rm(directory, { recursive: true }))

async function write(name: string, text: string): Promise<string> {
  const file = path.join(directory, name)
  await writeFile(file, text)
  return file
}

const compile = (layers: Partial<Layers>) =>
  compileSettings({ flags: {}, environment: {}, file: new Map(), ...layers })

describe('a setting', () => {
  it('comes from the flag, else from the environment, else from the file, else from the default', async () => {
    const file = await readConfigFile(await write('all.yml', 'localLimit: 3M\nminRate: 3M\ntotalLimit: 3M\n'))
    const environment = { DFGET_LOCAL_LIMIT: '2M', DFGET_MIN_RATE: '2M' }
    const { settings, sources } = compile({ flags: { localLimit: ['1M'] }, environment, file })
    const mib = 1024 ** 2
    const { localLimit, minRate, totalLimit, timeout } = settings
    assert.deepEqual([localLimit, minRate, totalLimit, timeout], [mib, 2 * mib, 3 * mib, null])
    assert.deepEqual(
      [sources.localLimit, sources.minRate, sources.totalLimit, sources.timeout],
      ['flag', 'environment', 'file', 'default'],
    )
  })

  it('that is a list comes whole from one place', () => {
    const environment = {
      DFGET_NODES: 'a=2,[::1]:9',
      DFGET_HEADERS: 'A: 1\nB: x: y',
      DFGET_FILTER: 'key&sign',
    }
    const { nodes, headers, filter } = compile({ environment }).settings
    assert.deepEqual(nodes, [
      { address: { host: 'a', port: 8002 }, weight: 2 },
      { address: { host: '::1', port: 9 }, weight: null },
    ])
    assert.deepEqual(headers, [
      ['A', '1'],
      ['B', 'x: y'],
    ])
    assert.deepEqual(filter, ['key', 'sign'])
    assert.equal(compile({ environment, flags: { nodes: ['b', 'c,d'] } }).settings.nodes.length, 3)
  })

  it('that makes no sense in the environment is told with the variable’s name', () => {
    assert.throws(() => compile({ environment: { DFGET_LOCAL_LIMIT: 'fast' } }), {
      code: 'CONFIG_INVALID',
      message: /^DFGET_LOCAL_LIMIT: "fast" is not a rate/,
    })
  })

  it('has a variable unless it belongs to one download, and each variable one setting', () => {
    const names = SETTING_NAMES.flatMap(name => ROWS[name].environment)
    assert.equal(new Set(names).size, names.length)
    for (const name of SETTING_NAMES)
      assert.equal(ROWS[name].environment.length === 0, ROWS[name].isPerCommand, name)
  })

  it('written as it is shown is the same again', () => {
    const flags = {
      nodes: ['a:1=2', 'b'],
      filter: ['key&sign'],
      pattern: ['CDN'],
      localLimit: ['1000KB'],
      minRate: ['0'],
      timeout: ['1h2m3.5s'],
      aliveTime: ['0'],
      verbose: ['true'],
      logMaxSize: ['7'],
    }
    const { settings } = compile({ flags })
    for (const name of SETTING_NAMES) {
      const shown = ROWS[name].show(settings[name])
      if (shown === null || ROWS[name].isPerCommand || shown.length === 0) continue
      assert.deepEqual(ROWS[name].compile([shown].flat()), settings[name], name)
    }
  })
})

describe('the configuration file', () => {
  it('has the keys of old, and those of all flags that do not belong to one download', async () => {
    const text = [
      '# what dfget 1.x knew',
      'nodes: [127.0.0.1:8002=1, "[::1]:8003=2", super]',
      'localLimit: 20M',
      'minRate: 64K',
      'totalLimit: 0',
      'clientQueueSize: 6',
      'workHome: /tmp/elsewhere',
      'logConfig:',
      '  maxSize: 50',
      '  maxBackups: 2',
      '  path: /tmp/dfget.log',
      'timeout: 3m0s',
      'insecure: true',
      'identifier: 007',
      'filter: key&sign',
      'callSystem:',
    ].join('\n')
    const { settings, sources } = compile({ file: await readConfigFile(await write('old.yml', text)) })
    const { nodes, totalLimit, workHome, logMaxSize, logMaxBackups, logPath, timeout, insecure, identifier } =
      settings
    assert.deepEqual(
      nodes.map(({ address, weight }) => [address.host, address.port, weight]),
      [
        ['127.0.0.1', 8002, 1],
        ['::1', 8003, 2],
        ['super', 8002, null],
      ],
    )
    assert.deepEqual(
      { totalLimit, workHome, logMaxSize, logMaxBackups, logPath, timeout, insecure, identifier },
      {
        totalLimit: null,
        workHome: '/tmp/elsewhere',
        logMaxSize: 50,
        logMaxBackups: 2,
        logPath: '/tmp/dfget.log',
        timeout: 180_000,
        insecure: true,
        identifier: '007',
      },
    )
    assert.deepEqual([settings.filter, sources.callSystem], [['key', 'sign'], 'default'])
  })

  const WRONG: readonly [name: string, text: string, says: RegExp][] = [
    [
      'a.yml',
      'nodes: [a]\nlocalimit: 5M\n',
      /a\.yml:2: "localimit" is not known, did you mean "localLimit"\?/,
    ],
    ['b.yml', '\nurl: http://h/x\n', /b\.yml:2: "url" is not known/],
    [
      'c.yml',
      'logConfig:\n  maxsize: 1\n',
      /c\.yml:2: "logConfig\.maxsize" is not known, did you mean "logConfig\.maxSize"\?/,
    ],
    ['d.yml', 'nodes:\n  - a\nlocalLimit: fast\n', /d\.yml:3: localLimit: "fast" is not a rate/],
    ['e.yml', 'timeout: 300\n', /e\.yml:1: timeout: "300" is not a duration/],
    ['f.yml', 'a: 1\nnodes: [\n', /f\.yml:\d: /],
    ['g.yml', '- a list\n', /g\.yml:1: a mapping of keys to values is wanted here/],
    ['h.yml', 'minRate: [1M, 2M]\n', /h\.yml:1: minRate: one value is wanted, not a list/],
    ['i.yml', 'nodes: [[a]]\n', /i\.yml:1: a plain value is wanted here/],
    ['j.yml', 'insecure: perhaps\n', /j\.yml:1: insecure: "perhaps" is neither true nor false/],
    ['k.yml', 'port: 1\nport: 2\n', /k\.yml:2: .*unique/],
    [
      'l.conf',
      '[node]\nadress=a\n',
      /l\.conf:2: "adress" in section "node" is not known; there is "address"/,
    ],
    ['m.conf', 'nodes: a\n', /m\.conf:1: this is not a line of an INI file/],
    ['n.conf', '[node]\naddress=a:b\n', /n\.conf:2: nodes: "a:b" is not an address/],
  ]
  for (const [name, text, says] of WRONG) {
    it(`${JSON.stringify(text)} is an error with its line`, async () => {
      const file = await write(name, text)
      const wrong = async () => compile({ file: await readConfigFile(file) })
      await assert.rejects(wrong, { code: 'CONFIG_INVALID', message: says })
    })
  }

  it('in the form of old names the supernodes', async () => {
    const file = await write('dragonfly.conf', '; of old\n[node]\n# two of them\naddress = a,b:8003\n')
    const { nodes } = compile({ file: await readConfigFile(file) }).settings
    assert.deepEqual(
      nodes.map(({ address }) => address),
      [
        { host: 'a', port: 8002 },
        { host: 'b', port: 8003 },
      ],
    )
  })

  it('is the first that is there, and none is fine', async () => {
    const first = await write('first.yml', 'callSystem: one')
    const second = await write('second.yml', 'callSystem: two')
    const usual = [path.join(directory, 'absent.yml'), first, second]
    assert.equal(compile({ file: await readConfigFile(null, usual) }).settings.callSystem, 'one')
    assert.equal((await readConfigFile(null, usual.slice(0, 1))).size, 0)
    assert.equal((await readConfigFile('', usual)).size, 0)
  })

  it('that does not parse is not passed over for the next', async () => {
    const broken = await write('broken.yml', 'nodes: [')
    const usual = [broken, await write('good.yml', 'callSystem: two')]
    await assert.rejects(readConfigFile(null, usual), { code: 'CONFIG_INVALID' })
  })

  it('that was named and is not there is an error', async () => {
    await assert.rejects(readConfigFile(path.join(directory, 'gone.yml')), {
      code: 'CONFIG_INVALID',
      message: /gone\.yml cannot be read/,
    })
  })
})

it('what is in force is shown as a file that reads back as the same, with its sources and without secrets', async () => {
  const effective = compile({
    flags: {
      url: ['https://user:SESAME@h/x?X-Amz-Signature=SESAME&key=SESAME'],
      filter: ['key'],
      headers: ['Authorization: Bearer SESAME'],
      httpProxy: ['http://user:SESAME@proxy:1'],
      totalLimit: ['20M'],
    },
    environment: { DFGET_NODES: 'a=2,b' },
    file: await readConfigFile(await write('print.yml', 'logConfig: {maxSize: 9}')),
  })
  const shown = printConfig(effective)
  assert.ok(!shown.includes('SESAME'), shown)
  assert.match(shown, /^# url: https:\/\/h\/x # flag$/m)
  assert.match(shown, /^totalLimit: 20MB # flag\n/m)
  assert.match(shown, /^nodes: # environment\n {2}- a:8002=2\n {2}- b:8002\n/m)
  assert.match(shown, /^logConfig:\n {2}path: null # default\n {2}maxSize: 9 # file\n/m)
  const again = compile({
    file: await readConfigFile(await write('again.yml', shown.replace(/http:\/\/\*\*\*@/, 'http://'))),
  })
  for (const name of [
    'totalLimit',
    'nodes',
    'logMaxSize',
    'expireTime',
    'minRate',
    'insecure',
    'tries',
  ] as const) {
    assert.deepEqual(again.settings[name], effective.settings[name], name)
  }
})

it('the resident peer is told what is not as usual, and reads nothing else', () => {
  const { settings, sources } = compile({
    flags: {
      ip: ['10.0.0.1'],
      workHome: ['/told/by/whoever/starts/it'],
      localLimit: ['1M'],
      verbose: ['true'],
    },
    environment: { DFGET_TOTAL_LIMIT: '20M', DFGET_ALIVE_TIME: '90s' },
  })
  assert.deepEqual(peerArguments(settings, sources), [
    '--config=',
    '--totallimit=20MB',
    '--ip=10.0.0.1',
    '--alivetime=1m30s',
    '--verbose',
  ])
})
