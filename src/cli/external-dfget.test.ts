import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { FakeClock } from '../../test/support/fake-clock.ts'
import type { ContentOrder } from '../dfdaemon/options.ts'
import { silentLog } from '../ops/log.ts'
import { systemClock } from '../ops/system-clock.ts'
import type { LocalEvent } from '../wire/local.ts'
import { type ExternalDfget, findStaragentDfget, openExternalDfget } from './external-dfget.ts'

const CONTENT = 'a layer'
const DIGEST = `sha256:${createHash('sha256').update(CONTENT).digest('hex')}`
const FLAGS = [
  '-f',
  'Expires&Signature',
  '--dfdaemon',
  '-s',
  '20MB',
  '--totallimit',
  '20MB',
  '--node',
  'a,b,a,b',
]
const UNNAMED = /^[0-9a-f-]{36}$/

const order = (asked: Partial<ContentOrder> = {}): ContentOrder => ({
  url: 'http://127.0.0.1:5000/v2/lib/nginx/blobs/sha256:aa',
  headers: [
    ['host', 'elsewhere'],
    ['user-agent', 'curl/7.88.1'],
    ['ACCEPT-ENCODING', 'gzip'],
    ['Authorization', 'Bearer abc'],
  ],
  name: 'sha256-aa',
  digest: DIGEST,
  ...asked,
})

async function eventsOf(fetched: AsyncIterable<LocalEvent>): Promise<LocalEvent[]> {
  const events: LocalEvent[] = []
  for await (const event of fetched) events.push(event)
  return events
}

describe('a program in the place of the resident peer', () => {
  let scratch: string
  before(async () => {
    scratch = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-external-'))
  })
  after(() => rm(scratch, { recursive: true }))

  /** A shell script that answers to `version` and notes how it is called. */
  async function programOf(script: string): Promise<{ program: string; directory: string; calls: string }> {
    const place = await mkdtemp(path.join(scratch, 'program-'))
    const program = path.join(place, 'dfget')
    const calls = path.join(place, 'calls')
    const text = `#!/bin/sh\n[ "$1" = version ] && exit 0\nprintf '%s\\n' "$@" >> ${calls}\n${script}\n`
    await writeFile(program, text, { mode: 0o755 })
    return { program, directory: path.join(place, 'data'), calls }
  }

  async function open(script: string): Promise<ExternalDfget & { directory: string; calls: string }> {
    const { program, directory, calls } = await programOf(script)
    const options = { program, directory, flags: FLAGS, clock: systemClock, log: silentLog }
    return { ...(await openExternalDfget(options)), directory, calls }
  }

  const brings = (content: string) => `echo said; echo complained >&2; printf '${content}' > "$4"`
  const untilAbort = new AbortController().signal

  it('is called as dfdaemon 1.x called dfget, and its file is there until it has been read', async () => {
    const { fetcher, stop, directory, calls } = await open(brings(CONTENT))
    const asked = order({ authorities: 'PEM', isInsecure: true })
    const events = fetcher.fetch(asked, untilAbort)[Symbol.asyncIterator]()
    const { value } = await events.next()
    assert.equal(value.event, 'complete')
    assert.equal(await readFile(value.result.path, 'utf8'), CONTENT)
    assert.deepEqual([value.result.lengthBytes, value.result.digest], [CONTENT.length, DIGEST])
    const pem = `${value.result.path}.pem`
    assert.equal(await readFile(pem, 'utf8'), 'PEM')
    assert.match(path.basename(value.result.path), UNNAMED)
    assert.deepEqual((await readFile(calls, 'utf8')).trimEnd().split('\n'), [
      ...['-u', asked.url, '-o', value.result.path, ...FLAGS],
      ...['--header', 'User-Agent:curl/7.88.1', '--header', 'Authorization:Bearer abc'],
      ...['--insecure', '--cacerts', pem],
    ])
    await events.return?.()
    assert.deepEqual(await readdir(directory), [])
    stop()
  })

  const FAILURES: readonly [what: string, script: string, code: string][] = [
    ['another exit status', 'exit 7', 'PEER_LOST'],
    ['the status for refused credentials', 'exit 100', 'ORIGIN_UNAUTHORIZED'],
    ['success without a file', 'exit 0', 'PEER_LOST'],
    ['the end by a signal', 'kill -9 $$', 'PEER_LOST'],
    ['content that is not what its digest says', brings('another'), 'DIGEST_MISMATCH'],
  ]
  for (const [what, script, code] of FAILURES) {
    it(`${what} is ${code}, and leaves no file`, async () => {
      const { fetcher, stop, directory } = await open(script)
      await assert.rejects(eventsOf(fetcher.fetch(order(), untilAbort)), { code })
      assert.deepEqual(await readdir(directory), [])
      stop()
    })
  }

  it('is killed when nobody waits for it any more', async () => {
    const fifo = path.join(scratch, 'pid')
    execFileSync('mkfifo', [fifo])
    const { fetcher, stop, directory } = await open(`printf x > "$4"; echo $$ > ${fifo}; exec sleep 60`)
    const controller = new AbortController()
    const fetched = eventsOf(fetcher.fetch(order(), controller.signal))
    const pid = Number(await readFile(fifo, 'utf8'))
    const reason = new Error('gone')
    controller.abort(reason)
    await assert.rejects(fetched, reason)
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
    assert.deepEqual(await readdir(directory), [])
    stop()
  })

  it('is refused at the start where it answers to neither way of asking for its version', async () => {
    const { directory } = await programOf('')
    for (const program of ['/bin/false', '/nowhere/dfget']) {
      const options = { program, directory, flags: [], clock: systemClock, log: silentLog }
      await assert.rejects(openExternalDfget(options), { code: 'PEER_NOT_STARTED' })
    }
  })

  it('files that a killed daemon has left are removed after an hour, and nobody else’s', async () => {
    const { program, directory } = await programOf('')
    await mkdir(directory)
    const names = {
      old: '00000000-0000-4000-8000-000000000001',
      fresh: '00000000-0000-4000-8000-000000000002',
    }
    const clock = new FakeClock()
    clock.advance(10 * 3_600_000)
    const hours = (count: number) => new Date(clock.wallNow() - count * 3_600_000)
    for (const [name, age] of [
      [names.old, 2],
      [names.fresh, 0.5],
      ['not-ours', 2],
    ] as const) {
      await writeFile(path.join(directory, name), '')
      await utimes(path.join(directory, name), hours(age), hours(age))
    }
    const { stop } = await openExternalDfget({ program, directory, flags: [], clock, log: silentLog })
    assert.deepEqual((await readdir(directory)).toSorted(), [names.fresh, 'not-ours'])
    stop()
  })

  it('a staragent has it at one of two places, as a program or in a directory of that name', async () => {
    const places = ['plugin', 'own'].map(name => path.join(scratch, name, 'dfget'))
    assert.equal(await findStaragentDfget(places), null)
    await mkdir(path.dirname(places[1]))
    await writeFile(places[1], '')
    assert.equal(await findStaragentDfget(places), null)
    await chmod(places[1], 0o755)
    assert.equal(await findStaragentDfget(places), places[1])
    await mkdir(places[0], { recursive: true })
    await writeFile(path.join(places[0], 'dfget'), '', { mode: 0o755 })
    assert.equal(await findStaragentDfget(places), path.join(places[0], 'dfget'))
  })
})
