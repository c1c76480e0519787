import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { openDescriptorsBelow, temporaryDirectory } from '../../test/support/store-fixture.ts'
import { Journal } from './journal.ts'

test('lines are appended whole and in order after the trusted part', async t => {
  const directory = temporaryDirectory(t)
  const recordPath = path.join(directory, 'record')
  fs.writeFileSync(recordPath, 'header\ntorn')
  const journal = new Journal(recordPath, 'header\n'.length)
  const lines = Array.from({ length: 100 }, (_, index) => `line ${index}\n`)
  await Promise.all(lines.slice(0, 60).map(line => journal.append(line)))
  for (const line of lines.slice(60)) await journal.append(line)
  await journal.sync()
  await journal.close()
  assert.equal(fs.readFileSync(recordPath, 'utf8'), `header\n${lines.join('')}`)
  assert.equal(await openDescriptorsBelow(directory), 0)
})

test('nothing of an untrusted tail stays behind a new line', async t => {
  const recordPath = path.join(temporaryDirectory(t), 'record')
  fs.writeFileSync(recordPath, 'header\nold 1\nold 2\nold 3\n')
  const journal = new Journal(recordPath, 'header\n'.length)
  await journal.append('new 1\n')
  await journal.close()
  assert.equal(fs.readFileSync(recordPath, 'utf8'), 'header\nnew 1\n')
})

test('a journal that gets no line leaves its file alone', async t => {
  const recordPath = path.join(temporaryDirectory(t), 'record')
  fs.writeFileSync(recordPath, 'header\ntorn')
  const journal = new Journal(recordPath, 7)
  await journal.sync()
  await journal.close()
  assert.equal(fs.readFileSync(recordPath, 'utf8'), 'header\ntorn')
})

test('a torn line is cut off, and what fits still goes in', t => {
  const recordPath = path.join(temporaryDirectory(t), 'record')
  fs.writeFileSync(recordPath, '')
  // The limit on the size of files makes the kernel take a part of the third line only.
  const script = `
    import { Journal } from ${JSON.stringify(new URL('./journal.ts', import.meta.url).href)}
    const journal = new Journal(${JSON.stringify(recordPath)}, 0)
    for (const line of ['a'.repeat(399), 'b'.repeat(399), 'c'.repeat(399), 'd'.repeat(99)]) {
      await journal.append(line + '\\n').then(() => console.log(line[0]), error => console.log(error.code))
    }
    await journal.close()`
  const output = execFileSync(
    '/bin/sh',
    ['-c', 'ulimit -f 2 && exec "$0" "$@"', process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8', timeout: 30_000 },
  )
  assert.deepEqual(output.trim().split('\n'), ['a', 'b', 'DISK_ERROR', 'd'])
  const expected = `${'a'.repeat(399)}\n${'b'.repeat(399)}\n${'d'.repeat(99)}\n`
  assert.equal(fs.readFileSync(recordPath, 'utf8'), expected)
})
