import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { runCli } from './support/cli-run.ts'
import { startDfgetWorld, stopDfgetWorld } from './support/dfget-world.ts'

/** What a file is called where nobody says `-o`, on real processes. */

const world = await startDfgetWorld()
const { origin } = world
after(() => stopDfgetWorld(world))

const common = ['--json', ...world.flags()]
const newDirectory = () => world.newDirectory('name')

async function namesAfter(url: string, ...flags: string[]): Promise<{ names: string[]; code: unknown }> {
  const cwd = await newDirectory()
  const ended = await runCli('dfget', ['-u', url, ...common, ...flags], { cwd })
  return { names: await readdir(cwd), code: ended.json().code }
}

const serve = (name: string, disposition: string | null) =>
  origin.serve(name, {
    lengthBytes: 1_000,
    headers: disposition === null ? {} : { 'Content-Disposition': disposition },
  })

describe('without -o', () => {
  it('a URL that names a file names it, and the origin is not asked', async () => {
    const { url, requests } = serve('/named/by-url', 'attachment; filename=by-origin')
    assert.deepEqual((await namesAfter(url)).names, ['by-url'])
    assert.equal(requests.length, 1)
  })

  it('--content-disposition prefers what the origin says', async () => {
    const { url } = serve('/named/by-url-too', "attachment; filename*=UTF-8''n%C3%A4me.txt; filename=x")
    assert.deepEqual((await namesAfter(url, '--content-disposition')).names, ['näme.txt'])
    const { url: silent } = serve('/named/silent', null)
    assert.deepEqual((await namesAfter(silent, '--content-disposition')).names, ['silent'])
  })

  it('a URL that names none is named by the origin, in this directory whatever it says', async () => {
    const { url } = serve('/', 'attachment; filename="../../.ssh/..authorized_keys"')
    assert.deepEqual((await namesAfter(url)).names, ['authorized_keys'])
    assert.deepEqual((await namesAfter(`${url}?version=2`)).names, ['authorized_keys'])
  })

  it('and if the origin names none either, or must not be asked, that is an error', async () => {
    serve('/', 'inline')
    const nameless = await namesAfter(`${origin.url}/?nothing`)
    assert.deepEqual(nameless, { names: [], code: 'USAGE' })
    const before = origin.requests.length
    assert.deepEqual(await namesAfter(`${origin.url}/?unasked`, '--notbs'), { names: [], code: 'USAGE' })
    assert.equal(origin.requests.length, before)
  })

  it('the question is tried again, and is a part of --timeout', async () => {
    const refusal = { status: 503, times: 2 }
    origin.serve('/', {
      lengthBytes: 9,
      headers: { 'Content-Disposition': 'attachment; filename=late' },
      refusal,
    })
    assert.deepEqual(await namesAfter(`${origin.url}/?again`, '--tries=5'), {
      names: ['late'],
      code: undefined,
    })
    origin.serve('/', { refusal: { status: 503 } })
    const { code } = await namesAfter(`${origin.url}/?never`, '--tries=1000', '--timeout=2s')
    assert.equal(code, 'DOWNLOAD_TIMEOUT')
  })

  it('a name that somebody else has chosen replaces nothing', async () => {
    serve('/', 'attachment; filename=Makefile')
    const cwd = await newDirectory()
    await writeFile(path.join(cwd, 'Makefile'), 'mine')
    const ended = await runCli('dfget', ['-u', `${origin.url}/`, ...common], { cwd })
    assert.equal(ended.json().code, 'OUTPUT_INVALID')
    assert.equal(await readFile(path.join(cwd, 'Makefile'), 'utf8'), 'mine')
  })
})
