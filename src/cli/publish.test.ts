import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { publish } from './publish.ts'

for (const elsewhere of [os.tmpdir(), '/dev/shm']) {
  test(`what must not be replaced stays, whoever came first, in ${elsewhere}`, async t => {
    const from = await scratch(t, os.tmpdir())
    const to = await scratch(t, elsewhere)
    const [shared, output] = [path.join(from, 'copy'), path.join(to, 'output')]
    await writeFile(shared, 'new')
    await publish(shared, output, { mayReplace: false })
    assert.equal(await readFile(output, 'utf8'), 'new')
    await writeFile(shared, 'newer')
    await rm(output)
    await writeFile(output, 'mine')
    await assert.rejects(publish(shared, output, { mayReplace: false }), { code: 'OUTPUT_INVALID' })
    assert.equal(await readFile(output, 'utf8'), 'mine')
    await publish(shared, output)
    assert.equal(await readFile(output, 'utf8'), 'newer')
    assert.deepEqual([await readdir(from), await readdir(to)], [['copy'], ['output']])
  })
}

async function scratch(t: TestContext, base: string): Promise<string> {
  const directory = await mkdtemp(path.join(base, 'dragonfly-publish-'))
  t.after(() => rm(directory, { recursive: true }))
  return directory
}
