import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Reader } from '../transfer/reader.ts'
import { RunReaders } from './run-readers.ts'

const from = (fromByte: number): Reader => ({ lookAhead: 8, fromByte })

test('the latest reader is the one who counts, and when it has gone the one before', () => {
  const moved: number[] = []
  const readers = new RunReaders(from(0), ({ fromByte }) => moved.push(fromByte))
  const leaveFirst = readers.join(from(0), () => {})
  assert.deepEqual(moved, [])
  const leaveSecond = readers.join(from(50), () => {})
  const leaveThird = readers.join(from(70), () => {})
  assert.deepEqual(moved, [50, 70])
  leaveSecond()
  assert.deepEqual(moved, [50, 70])
  leaveThird()
  assert.deepEqual(moved, [50, 70, 0])
  leaveFirst()
  readers.join(from(0), () => {})
  assert.deepEqual(moved, [50, 70, 0])
})

test('who joins a run that nobody has read makes it one that is read', () => {
  const moved: Reader[] = []
  const readers = new RunReaders(null, reader => moved.push(reader))
  readers.join(from(0), () => {})
  assert.deepEqual(moved, [from(0)])
})

test('each is told of what happens, as long as it is there', () => {
  const readers = new RunReaders(null, () => {})
  const told = [0, 0]
  const leave = readers.join(from(0), () => void told[0]++)
  readers.join(from(9), () => void told[1]++)
  readers.tell()
  leave()
  readers.tell()
  assert.deepEqual(told, [1, 2])
})
