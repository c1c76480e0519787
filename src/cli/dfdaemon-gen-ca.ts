import { link, rename, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import { Command } from 'commander'
import { parseDuration } from '../core/duration.ts'
import { DragonflyError } from '../core/error.ts'
import { systemClock } from '../ops/system-clock.ts'
import { randomName } from '../ops/system-random.ts'
import { parseLabel, parsePath } from './dfget-values.ts'
import { flagValue } from './flags.ts'

/** `dfdaemon gen-ca`: an authority of one's own, for HTTPS that the proxy opens. */

type Flags = {
  readonly commonName: string
  readonly expireDuration: number
  readonly keyOutput: string
  readonly certOutput: string
  readonly overwrite?: true
}

const HOUR_MS = 3_600_000
const USUAL_LIFETIME_MS = 87_600 * HOUR_MS

export function genCaCommand(): Command {
  return new Command('gen-ca')
    .description('make a certificate authority for hijack_https; clients must be told to trust it')
    .option('--common-name <name>', 'its name', flagValue(parseLabel), os.hostname())
    .option(
      '--expire-duration <duration>',
      'how long it is valid (default: 87600h)',
      flagValue(parseLifetime),
      USUAL_LIFETIME_MS,
    )
    .option(
      '--key-output <file>',
      'the private key, for this account alone',
      flagValue(parsePath),
      '/tmp/ca.key',
    )
    .option('--cert-output <file>', 'the certificate', flagValue(parsePath), '/tmp/ca.crt')
    .option('--overwrite', 'replace files that are there')
    .action(genCa)
}

async function genCa({ commonName, expireDuration, keyOutput, certOutput, overwrite }: Flags): Promise<void> {
  const { createAuthority } = await import('../dfdaemon/proxy/certificates.ts')
  const authority = { commonName, lifetimeMs: expireDuration, now: systemClock.wallNow() }
  const { cert, key } = await createAuthority(authority)
  const outputs = [
    { file: keyOutput, text: key, mode: 0o600 },
    { file: certOutput, text: cert, mode: 0o644 },
  ]
  await placeAll(outputs, overwrite === true)
  process.stdout.write(`certificate in ${certOutput}, private key in ${keyOutput}\n`)
}

function parseLifetime(text: string): number {
  const lifetimeMs = parseDuration(text)
  if (lifetimeMs > 0) return lifetimeMs
  throw new DragonflyError('USAGE', 'an authority is valid for longer than nothing')
}

type Output = { readonly file: string; readonly text: string; readonly mode: number }

/**
 * All or none. Each is complete, and has its mode, before it has its name; a name that is taken, also by a link to nothing, is not followed.
 * @throws DragonflyError OUTPUT_INVALID
 */
async function placeAll(outputs: readonly Output[], mayReplace: boolean): Promise<void> {
  const staged = outputs.map(output => ({ ...output, aside: `${output.file}.${randomName()}` }))
  const placed: string[] = []
  try {
    for (const { aside, text, mode } of staged) await writeFile(aside, text, { flag: 'wx', mode })
    for (const { aside, file } of staged) {
      await (mayReplace ? rename : link)(aside, file)
      placed.push(file)
    }
  } catch (cause) {
    if (!mayReplace) await Promise.all(placed.map(file => rm(file, { force: true })))
    const { code, message, dest } = cause as NodeJS.ErrnoException & { dest?: string }
    const why = code === 'EEXIST' ? `${dest} is there already; --overwrite replaces it` : message
    throw new DragonflyError('OUTPUT_INVALID', why, { cause })
  } finally {
    await Promise.all(staged.map(({ aside }) => rm(aside, { force: true })))
  }
}
