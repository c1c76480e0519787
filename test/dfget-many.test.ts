import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { runCli, startCli } from './support/cli-run.ts'
import { startDfgetWorld, stopDfgetWorld } from './support/dfget-world.ts'

/** `--input-file`: many URLs with one command, on real processes. */

const world = await startDfgetWorld()
const { origin } = world
after(() => stopDfgetWorld(world))

const newDirectory = () => world.newDirectory('many')
const common = world.flags()

async function listOf(...lines: string[]): Promise<string> {
  const file = path.join(await newDirectory(), 'list')
  await writeFile(file, `${lines.join('\n')}\n`)
  return file
}

const jsonLines = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>)

describe('--input-file', () => {
  it('downloads every URL into one directory, and sums up', async () => {
    const files = Array.from({ length: 12 }, (_, i) =>
      origin.serve(`/many/file-${i}`, { lengthBytes: 10_000 + i, seed: i + 1 }),
    )
    const list = await listOf('# all of them', '', ...files.map(({ url }) => `  ${url}\r`))
    const directory = path.join(await newDirectory(), 'new')
    const ended = await runCli('dfget', ['--input-file', list, '-o', directory, ...common])
    assert.equal(ended.status, 0, ended.stdout + ended.stderr)
    assert.equal((await readdir(directory)).length, 12)
    for (const { path: name } of files) {
      const bytes = await readFile(path.join(directory, path.basename(name)))
      assert.deepEqual(bytes, Buffer.from(origin.expectedBytes(name)))
    }
    const lines = ended.stdout.trimEnd().split('\n')
    assert.equal(lines.length, 13, ended.stdout)
    assert.match(lines[12], /^12 of 12 files: .* in .*supernode 100%$/)
  })

  it('goes on after a failure, and ends with the worst status', async () => {
    const good = origin.serve('/mixed/good', { lengthBytes: 5_000 })
    const input = [
      `${origin.url}/mixed/absent`,
      good.url,
      'ftp://me:SESAME@elsewhere/x',
      'me:SESAME@elsewhere/x',
      'http://me:SES/AME@elsewhere/x',
      `${origin.url}/other/good`,
    ].join('\n')
    const cwd = await newDirectory()
    const plain = await runCli('dfget', ['--input-file=-', ...common], { cwd: await newDirectory(), input })
    assert.match(plain.stderr, /^dfget: USAGE: line 3: there is no origin for "ftp" URLs/m)
    const ended = await runCli('dfget', ['--input-file=-', '--json', ...common], { cwd, input })
    assert.equal(ended.status, 10, ended.stderr)
    assert.doesNotMatch(plain.stdout + plain.stderr + ended.stdout, /SES|AME/)
    const said = jsonLines(ended.stdout)
    const of = (name: string) => said.find(({ url }) => String(url).endsWith(name))!
    const ofLine = (number: number) =>
      said.find(({ message }) => String(message).startsWith(`line ${number}: `))!
    assert.deepEqual(await readdir(cwd), ['good'])
    assert.equal(of('/mixed/good').ok, true)
    assert.deepEqual([of('/mixed/absent').ok, of('/mixed/absent').code], [false, 'ORIGIN_NOT_FOUND'])
    assert.match(String(ofLine(3).message), /there is no origin for "ftp" URLs/)
    assert.deepEqual(
      [3, 4, 5].map(line => ofLine(line).url),
      [null, null, null],
    )
    assert.match(
      String(of('/other/good').message),
      /^line 6: "good" is the name of the file of line 2 already/,
    )
    assert.equal(origin.requests.filter(request => request.path === '/other/good').length, 0)
    const { summary, ok, files, failed, failures } = said.at(-1)!
    assert.deepEqual([summary, ok, files, failed], [true, false, 1, 5])
    assert.deepEqual(failures, { USAGE: 4, ORIGIN_NOT_FOUND: 1 })
  })

  it('has eight on their way at once, and Ctrl-C ends them all at once', async () => {
    const files = Array.from({ length: 12 }, (_, i) =>
      origin.serve(`/slow/file-${i}`, { lengthBytes: 4 * 1024 ** 2, rateBytesPerSecond: 64 * 1024 }),
    )
    const list = await listOf(...files.map(({ url }) => url))
    const directory = await newDirectory()
    const { child, ended } = startCli('dfget', ['--input-file', list, '-o', directory, '--json', ...common])
    await origin.when(() => files.filter(({ requests }) => requests.length > 0).length === 8)
    await origin.when(() => files.filter(({ bodyBytesSent }) => bodyBytesSent > 0).length === 8)
    child.kill('SIGINT')
    const { status, stdout } = await ended
    assert.equal(status, 130)
    assert.deepEqual(jsonLines(stdout).at(-1)!.failures, { CANCELLED: 12 })
    assert.deepEqual(await readdir(directory), [])
    assert.ok(files.every(({ bodyBytesSent, behaviour }) => bodyBytesSent < behaviour.lengthBytes))
    assert.equal(files.filter(({ requests }) => requests.length > 0).length, 8)
  })

  it('waits for standard input, and no longer than until Ctrl-C', async () => {
    const words = [path.join(import.meta.dirname, '../src/cli/dfget.ts'), '--input-file=-', ...common]
    const child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit'], timeout: 60_000 })
    // More than the pipe holds, so that it is taken only by somebody who reads.
    await new Promise(resolve => child.stdin.write('# nothing yet\n'.repeat(200_000), resolve))
    child.kill('SIGINT')
    const [status] = await once(child, 'exit')
    assert.equal(status, 130)
  })

  for (const [flags, says] of [
    [['-u', 'http://a.example/b'], '-u'],
    [['-O', 'b'], '-O'],
    [['-o', '-'], '-o -'],
    [['--digest', `md5:${'ab'.repeat(16)}`], 'a digest'],
    [['--content-disposition'], '--content-disposition'],
  ] as const) {
    it(`${says} does not go with it`, async () => {
      const list = await listOf(`${origin.url}/x`)
      const { status, stderr } = await runCli('dfget', ['--input-file', list, ...flags, ...common])
      assert.equal(status, 1)
      assert.ok(stderr.includes(`${says} is for one URL`), stderr)
    })
  }
})
