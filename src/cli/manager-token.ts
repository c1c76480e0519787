import { Command } from 'commander'
import { formatDuration, parseDuration } from '../core/duration.ts'
import { DragonflyError } from '../core/error.ts'
import { oneLine } from '../core/text.ts'
import { openDatabase } from '../manager/database.ts'
import { Tokens } from '../manager/tokens.ts'
import type { Log } from '../ops/log.ts'
import { calendarTime } from '../ops/system-clock.ts'
import { tokenRequest } from '../wire/manager-api.ts'
import { parseCount } from './dfget-values.ts'
import { flagValue } from './flags.ts'
import { hidePassword } from './hide-password.ts'
import {
  compileManagerOptions,
  gatherManagerSettings,
  type ManagerSettings,
  parseDatabase,
} from './manager-options.ts'

/** `manager token`: on the database itself, so that who may read that needs no other right. */

type Where = Pick<ManagerSettings, 'homeDir' | 'database'> & { config?: string }
type NewToken = { admin?: boolean; name?: string; lifetime: number; uses?: number }

const LIFETIME_MS = 3_600_000

export function tokenCommand(): Command {
  const token = new Command('token').description('tokens to join the cluster, and to administer it')
  whereabouts(token.command('create'))
    .description('makes a token and prints it, this once')
    .option('--admin', 'to administer the cluster by API, instead of to join it')
    .option('--name <name>', 'what it is for')
    .option('--lifetime <duration>', 'how long it is good', flagValue(parseDuration), LIFETIME_MS)
    .option('--uses <count>', 'how many supernodes may join with it', flagValue(parseCount(1, 1_000_000)))
    .action(create)
  whereabouts(token.command('list')).description('lists the tokens, the newest first').action(list)
  whereabouts(token.command('revoke'))
    .description('makes a token void; who joined with it stays a member')
    .argument('<id>', 'its number, which is the part before the dot')
    .action(revoke)
  return token
}

function whereabouts(command: Command): Command {
  return command
    .option('--home-dir <directory>', 'of the managing node')
    .option('--database <url>', 'of the managing node', flagValue(parseDatabase))
    .option('--config <file>', 'of the managing node')
}

async function create(_flags: object, command: Command): Promise<void> {
  const { admin, name, lifetime, uses, ...where } = command.optsWithGlobals<NewToken & Where>()
  const kind = admin ? 'admin' : 'join'
  if (admin && uses !== undefined)
    throw new DragonflyError('USAGE', '--uses counts supernodes, and goes without --admin')
  const request = { kind, name: name ?? kind, lifetimeMs: lifetime, usesMax: uses ?? null }
  const parsed = tokenRequest.safeParse(request)
  if (!parsed.success) {
    const isLifetime = parsed.error.issues[0].path[0] === 'lifetimeMs'
    const says = isLifetime ? '--lifetime is from 1s to ten years' : '--name is a line of 1 to 256 characters'
    throw new DragonflyError('USAGE', says)
  }
  await withTokens(where, async (tokens, log) => {
    const { token, view } = await tokens.create(parsed.data)
    log.info({ tokenId: view.id, kind, name: view.name }, 'token made')
    const times = uses === undefined ? 'any number of times' : `${uses} times`
    const purpose = admin ? 'administers the cluster' : `lets supernodes join, ${times}`
    process.stderr.write(
      `This token ${purpose}, for ${formatDuration(lifetime)}. It is not shown again; its number is ${view.id}.\n`,
    )
    process.stdout.write(`${token}\n`)
  })
}

async function list(_flags: object, command: Command): Promise<void> {
  await withTokens(command.optsWithGlobals(), async tokens => {
    const rows = (await tokens.list()).map(({ id, kind, state, uses, usesMax, expiresAt, name }) => {
      const used = kind === 'admin' ? '' : `${uses}/${usesMax ?? 'any'}`
      return [id, kind.padEnd(5), state.padEnd(7), used.padEnd(9), calendarTime(expiresAt), oneLine(name)]
    })
    const head = ['number'.padEnd(16), 'kind ', 'state  ', 'used'.padEnd(9), 'until'.padEnd(19), 'name']
    process.stdout.write([head, ...rows].map(columns => `${columns.join('  ')}\n`).join(''))
  })
}

async function revoke(id: string, _flags: object, command: Command): Promise<void> {
  await withTokens(command.optsWithGlobals(), async (tokens, log) => {
    // A whole token is not repeated in a message or a log.
    const number = id.split('.', 1)[0]
    if (!(await tokens.revoke(number)))
      throw new DragonflyError('REQUEST_NOT_FOUND', 'there is no such token')
    log.info({ tokenId: number }, 'token revoked')
  })
}

async function withTokens(where: Where, action: (tokens: Tokens, log: Log) => Promise<void>): Promise<void> {
  hidePassword(where.database)
  const { database, clock, log } = compileManagerOptions(await gatherManagerSettings(where, process.env))
  const opened = await openDatabase(database, log)
  try {
    await action(new Tokens(opened.kysely, clock), log)
  } finally {
    await opened.close()
  }
}
