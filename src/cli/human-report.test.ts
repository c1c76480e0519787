import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DragonflyError, type ErrorCode } from '../core/error.ts'
import type { TaskId } from '../core/task-id.ts'
import { VERSION } from '../ops/version.ts'
import type { RunResult, RunSnapshot } from '../wire/local.ts'
import { reportedView } from './human-report.ts'
import { silentView } from './progress.ts'

const ZERO = { origin: 0, supernode: 0, peers: 0, local: 0 }

function snapshot(changes: Partial<RunSnapshot> = {}): RunSnapshot {
  return {
    taskId: '' as TaskId,
    phase: 'receiving',
    lengthBytes: 15,
    heldBytes: 0,
    bytes: ZERO,
    rateBytesPerSecond: 0,
    waiting: null,
    node: null,
    ...changes,
  }
}

function result(changes: Partial<RunResult> = {}): RunResult {
  return {
    taskId: '' as TaskId,
    path: '',
    lengthBytes: 15,
    seconds: 0.1,
    digest: null,
    bytes: ZERO,
    sources: 1,
    retries: 0,
    waitMs: {},
    boundFactor: null,
    node: null,
    ...changes,
  }
}

function report(hasNodes = true) {
  let said = ''
  let now = 1_000
  const view = reportedView(
    silentView,
    text => {
      said += text
    },
    {
      url: 'http://user:SESAME@h/small.txt?X-Amz-Signature=SESAME&key=SESAME',
      filter: ['key'],
      output: '/tmp/a\nb.txt',
      workspace: '/home/me/.small-dragonfly',
      sign: '22485-1795346122.875',
      hasNodes,
      client: () => '10.0.0.1',
      now: () => now,
      wallNow: () => new Date(2026, 10, 22, 11, 15, 22).getTime(),
    },
  )
  const pass = (ms: number) => {
    now += ms
  }
  return { view, pass, lines: () => said.trimEnd().split('\n') }
}

test('a download through the swarm has the lines of dfget 1.x', () => {
  const { view, pass, lines } = report()
  view.update(snapshot())
  view.update(snapshot({ node: '10.0.0.2:8002' }))
  view.update(snapshot({ node: '10.0.0.2:8002' }))
  pass(151)
  view.finish(result({ node: '10.0.0.2:8002', bytes: { ...ZERO, peers: 15 } }), '/tmp/b')
  assert.deepEqual(lines(), [
    '--2026-11-22 11:15:22--  http://h/small.txt',
    `dfget version:${VERSION}`,
    'workspace:/home/me/.small-dragonfly',
    'sign:22485-1795346122.875',
    'client:10.0.0.1 connected to node:10.0.0.2:8002',
    'start download by dragonfly...',
    'download SUCCESS cost:0.151s length:15 reason:0',
  ])
})

test('another supernode, the origin for want of one, and the origin by wish have lines of their own', () => {
  const moved = report()
  for (const node of ['a:1', 'b:1']) moved.view.update(snapshot({ node }))
  assert.deepEqual(moved.lines().slice(4), [
    'client:10.0.0.1 connected to node:a:1',
    'start download by dragonfly...',
    'migrated to node:b:1',
  ])
  const alone = report()
  alone.view.finish(result({ bytes: { ...ZERO, origin: 15 } }), '/tmp/b')
  assert.deepEqual(alone.lines().slice(4), [
    'failed to download by dragonfly: no supernode answers, and start try to download from source',
    'download SUCCESS cost:0.000s length:15 reason:1',
  ])
  const direct = report(false)
  direct.view.finish(result({ bytes: { ...ZERO, origin: 15 } }), '/tmp/b')
  assert.deepEqual(direct.lines().slice(4), [
    'start download a?b.txt from the source station',
    'download SUCCESS cost:0.000s length:15 reason:8',
  ])
})

test('a failure has the number of old for what it is', () => {
  const table: [code: ErrorCode, says: string][] = [
    ['ORIGIN_NOT_FOUND', 'download FAIL(1104) cost:0.000s length:-1 reason:10'],
    ['DIGEST_MISMATCH', 'download FAIL(1104) cost:0.000s length:-1 reason:2'],
    ['DISK_FULL', 'download FAIL(1104) cost:0.000s length:-1 reason:4'],
    ['DOWNLOAD_TIMEOUT', 'download FAIL(1104) cost:0.000s length:-1 reason:3'],
    ['OUTPUT_INVALID', 'download FAIL(1101) cost:0.000s length:-1 reason:6'],
    ['REGISTRATION_REFUSED', 'download FAIL(1103) cost:0.000s length:-1 reason:1'],
  ]
  for (const [code, says] of table) {
    const { view, lines } = report()
    view.fail(new DragonflyError(code, 'what\nwas'))
    const [head, told] = lines().at(-1)!.split(' error:')
    assert.equal(head, says)
    assert.deepEqual(JSON.parse(told), { Code: Number(/\d{4}/.exec(says)![0]), Msg: 'what\nwas' })
  }
})
