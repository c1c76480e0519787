import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ENTRIES } from '../scripts/build.ts'
import { checkoutPaths, readTexts, runtimeDependencies } from './support/checkout.ts'
import {
  checkBans,
  checkDeadExports,
  checkDeadFiles,
  checkLayers,
  checkLengths,
  checkNames,
  checkTraces,
} from './support/tidy.ts'

const paths = checkoutPaths()
const texts = readTexts(paths)
const sources = texts.filter(({ path }) => /^(?:src|sim|bench|test|scripts)\/.*\.ts$/.test(path))

function none(findings: readonly string[]): void {
  assert.ok(findings.length === 0, `\n${findings.join('\n')}\n`)
}

describe('the house is tidy', () => {
  test('imports follow the table of layers', () => none(checkLayers(sources, runtimeDependencies())))
  test('banned calls and words stay in their place', () => none(checkBans(sources)))
  test('files and folders are named after what they hold', () =>
    none(checkNames(sources.map(({ path }) => path))))
  test('every file of the product is reached by a command', () => none(checkDeadFiles(sources, ENTRIES)))
  test('every exported name is imported by another file', () => none(checkDeadExports(sources)))
  test('no source file is longer than 400 lines', () => none(checkLengths(sources)))
  test('no file tells where it was written', () => none(checkTraces(texts)))
})
