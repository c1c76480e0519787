import path from 'node:path'
import { formatExactDuration, parseDuration } from '../core/duration.ts'
import { redactUrl } from '../core/filter-url.ts'
import { DEFAULT_CONTROL_PORT } from '../core/host-port.ts'
import { formatRateLimit, parseRateLimit } from '../core/rate.ts'
import { formatWeightedNode, parseWeightedNode } from '../core/weighted-node.ts'
import { DEFAULT_NODE, defaultHome } from './defaults.ts'
import { list, named, type Setting, toggle, value } from './dfget-setting.ts'
import {
  formatPromisedDigest,
  type Header,
  parseAddress,
  parseCount,
  parseFilterName,
  parseHeader,
  parseLabel,
  parseManager,
  parseMd5,
  parsePath,
  parsePattern,
  parsePort,
  parsePromisedDigest,
  parseProxy,
  parseTimeout,
} from './dfget-values.ts'

const MINUTE_MS = 60_000

const node = (text: string) => parseWeightedNode(text, DEFAULT_CONTROL_PORT)
const plain = (text: string) => text
const limit = { parse: parseRateLimit, show: formatRateLimit, none: '0' }
const perCommand = { isPerCommand: true } as const
const ofPeer = { isOfPeer: true } as const
const time = { show: formatExactDuration, none: '0s' }

/** Everything that dfget can be told, in the order in which it is shown. `docs/dfget.md` describes it. */
const SETTINGS = named({
  url: value('-u, --url <url>', 'what to download', {
    ...perCommand,
    parse: plain,
    fallback: null,
    show: redactUrl,
  }),
  output: value(
    '-o, --output <file>',
    'where to put it (default: the last part of the URL, in this directory)',
    {
      ...perCommand,
      parse: parsePath,
      fallback: null,
    },
  ),
  outputDocument: value('-O, --output-document <file>', 'the same, as wget spells it; - is standard output', {
    ...perCommand,
    parse: parsePath,
    fallback: null,
  }),
  contentDisposition: toggle(
    '--content-disposition',
    'without -o, name the file as the origin says, which is asked for it',
  ),
  inputFile: value(
    '--input-file <file>',
    'download the URLs of this file, one on a line, into the directory -o; - is standard input',
    {
      ...perCommand,
      parse: parsePath,
      fallback: null,
    },
  ),
  continue: toggle(
    '-c, --continue',
    'leave an output that is complete already as it is; downloads are resumed in any case',
    perCommand,
  ),
  nodes: list(
    '-n, --node <nodes>',
    `supernodes host[:port][=weight], comma separated or repeated (default: ${DEFAULT_NODE})`,
    {
      parse: node,
      separator: ',',
      fallback: [node(DEFAULT_NODE)],
      show: formatWeightedNode,
    },
  ),
  managers: list(
    '--manager <urls>',
    'managing nodes http(s)://host:port that know the supernodes, comma separated or repeated; not asked where supernodes are named',
    {
      parse: parseManager,
      separator: ',',
      fallback: [],
    },
  ),
  identifier: value('-i, --identifier <text>', 'tells apart what shares a URL', {
    parse: parseLabel,
    fallback: '',
  }),
  filter: list('-f, --filter <names>', 'query parameters that do not select content, as name&name', {
    parse: parseFilterName,
    separator: '&',
    fallback: [],
  }),
  md5: value('-m, --md5 <hex>', 'MD5 that the whole content must have', {
    ...perCommand,
    parse: parseMd5,
    fallback: null,
  }),
  digest: list('--digest <digest>', 'sha256:<hex> or md5:<hex> that the whole content must have', {
    ...perCommand,
    parse: parsePromisedDigest,
    separator: ',',
    fallback: [],
    show: formatPromisedDigest,
  }),
  headers: list<Header>('--header <header>', "'Name: value' for the origin, repeatable", {
    parse: parseHeader,
    fallback: [],
    show: ([name]) => `${name}: ***`,
  }),
  cacerts: list(
    '--cacerts <files>',
    'PEM files of authorities that may vouch for the origin, comma separated or repeated',
    {
      parse: parsePath,
      separator: ',',
      fallback: [],
    },
  ),
  insecure: toggle('--insecure', "do not check the origin's certificate"),
  pattern: value('-p, --pattern <pattern>', 'where pieces may come from: p2p, cdn or source (default: p2p)', {
    parse: parsePattern,
    fallback: 'p2p',
  }),
  notbs: toggle('--notbs', 'never fetch from the origin without a supernode'),
  callSystem: value('--callsystem <label>', 'who asks, for the log', { parse: parseLabel, fallback: '' }),
  dfdaemon: toggle('--dfdaemon', 'the caller is dfdaemon; the same as --callsystem dfdaemon'),
  localLimit: value('-s, --locallimit <rate>', 'limit per second for this download, e.g. 20M; 0 is none', {
    ...limit,
    fallback: null,
  }),
  totalLimit: value(
    '--totallimit <rate>',
    'limit per second of this peer, for sending and for receiving; 0 is none',
    {
      ...limit,
      ...ofPeer,
      fallback: null,
    },
  ),
  minRate: value(
    '--minrate <rate>',
    'a download that is slower for a whole minute is given up, unless a limit holds it; 0 is none (default: none)',
    {
      ...limit,
      fallback: null,
    },
  ),
  clientQueueSize: value(
    '--clientqueue <count>',
    'taken for the sake of dfget 1.x, without effect: no piece waits to be written',
    {
      parse: parseCount(1, 1024),
      fallback: 6,
    },
  ),
  timeout: value('-e, --timeout <duration>', 'for the whole download, e.g. 3m0s; 0 is none (default: none)', {
    parse: parseTimeout,
    fallback: null,
    ...time,
  }),
  tries: value('--tries <count>', 'how often to try what may pass, before giving up (default: 3)', {
    parse: parseCount(1, 1000),
    fallback: 3,
  }),
  httpProxy: value('--http-proxy <url>', 'proxy for http origins (default: http_proxy of the environment)', {
    parse: parseProxy,
    fallback: null,
    show: showProxy,
    environment: ['http_proxy'],
  }),
  httpsProxy: value(
    '--https-proxy <url>',
    'proxy for https origins (default: https_proxy of the environment)',
    {
      parse: parseProxy,
      fallback: null,
      show: showProxy,
      environment: ['https_proxy', 'HTTPS_PROXY'],
    },
  ),
  proxyExcept: list('--proxy-except <hosts>', 'hosts without proxy (default: no_proxy of the environment)', {
    parse: text => text.trim(),
    separator: ',',
    fallback: [],
    environment: ['no_proxy', 'NO_PROXY'],
  }),
  netrc: value('--netrc <file>', 'credentials for origins by host (default: ~/.netrc)', {
    parse: parsePath,
    fallback: null,
  }),
  workHome: value(
    '--home <directory>',
    'where data, meta and logs of this account are (default: ~/.small-dragonfly)',
    {
      ...ofPeer,
      parse: text => path.resolve(parsePath(text)),
      fallback: defaultHome,
    },
  ),
  ip: value('--ip <address>', "this host's address for other peers; taken when the resident peer starts", {
    ...ofPeer,
    parse: parseAddress,
    fallback: null,
  }),
  port: value('--port <port>', 'port for other peers; taken when the resident peer starts (default: any)', {
    ...ofPeer,
    parse: parsePort,
    fallback: 0,
  }),
  expireTime: value(
    '--expiretime <duration>',
    'copies that nobody used for so long are cleaned (default: 3m0s)',
    {
      ...ofPeer,
      parse: parseDuration,
      fallback: 3 * MINUTE_MS,
      ...time,
    },
  ),
  aliveTime: value(
    '--alivetime <duration>',
    'the resident peer ends itself after so long without work; 0 is never (default: 5m0s)',
    {
      ...ofPeer,
      parse: parseTimeout,
      fallback: 5 * MINUTE_MS,
      ...time,
    },
  ),
  standalone: toggle('--standalone', 'run the peer inside the command, and leave no process behind'),
  verbose: toggle('--verbose', 'the resident peer logs details; taken when it starts', ofPeer),
  logPath: value('--log-path <file>', 'log of the resident peer (default: logs/dfclient.log in the home)', {
    ...ofPeer,
    key: 'logConfig.path',
    parse: text => path.resolve(parsePath(text)),
    fallback: null,
  }),
  logMaxSize: value(
    '--log-max-size <MiB>',
    'a longer log is put aside when the resident peer starts (default: 40)',
    {
      ...ofPeer,
      key: 'logConfig.maxSize',
      parse: parseCount(1, 100_000),
      fallback: 40,
    },
  ),
  logMaxBackups: value('--log-max-backups <count>', 'so many logs are kept aside (default: 1)', {
    ...ofPeer,
    key: 'logConfig.maxBackups',
    parse: parseCount(0, 100),
    fallback: 1,
  }),
  console: toggle('--console', 'show what the resident peer logs meanwhile'),
  showBar: toggle('-b, --showbar', 'show the progress bar even where this is no terminal'),
  quiet: toggle('-q, --quiet', 'say nothing but errors'),
  json: toggle('--json', 'end with one line of JSON, and say nothing else'),
  config: value(
    '--config <file>',
    "configuration file (default: /etc/dragonfly/dfget.yml or its elders; '' reads none)",
    {
      ...perCommand,
      parse: plain,
      fallback: null,
    },
  ),
  printConfig: toggle('--print-config', 'show the effective settings, and where each comes from', perCommand),
})

export type SettingName = keyof typeof SETTINGS

/** What is in force, with numbers in bytes per second and in milliseconds; null is none. */
export type DfgetSettings = { readonly [Name in SettingName]: ReturnType<(typeof SETTINGS)[Name]['compile']> }

export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[]

/** The same table, where all that counts is that each row is a setting. */
export const ROWS = SETTINGS as Readonly<Record<SettingName, Setting<unknown>>>

function showProxy(proxy: URL): string {
  const hasUser = proxy.username !== '' || proxy.password !== ''
  return `${proxy.protocol}//${hasUser ? '***@' : ''}${proxy.host}`
}
