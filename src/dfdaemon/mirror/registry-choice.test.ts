import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Registry } from '../options.ts'
import { chooseRegistry } from './registry-choice.ts'

const at = (remote: string): Registry => ({
  remote,
  trust: { authorities: null, isInsecure: false },
  isDirect: false,
})

const usual = at('https://usual')
const named = new Map([
  ['a.example', at('https://a')],
  ['a.example/team', at('https://team')],
  ['b.example:5000', at('http://b')],
])
const remoteOf = (name: string | null, repository: string | null = null, registries = named) =>
  chooseRegistry({ usual, registries }, { name, repository })?.remote

describe('the registry that a request means', () => {
  it('is the usual one where none is named', () => assert.equal(remoteOf(null, 'team/app'), 'https://usual'))

  it('is the longest beginning of name and repository in the table', () => {
    assert.equal(remoteOf('a.example', 'team/app'), 'https://team')
    assert.equal(remoteOf('a.example', 'team'), 'https://team')
    assert.equal(remoteOf('a.example', 'teammate/app'), 'https://a')
    assert.equal(remoteOf('A.Example', 'other'), 'https://a')
    assert.equal(remoteOf('b.example:5000'), 'http://b')
  })

  it('is the default one where the table does not have the name', () => {
    const registries = new Map([...named, ['_default', at('https://default')] as const])
    assert.equal(remoteOf('c.example', null, registries), 'https://default')
    assert.equal(remoteOf('a.example', null, registries), 'https://a')
  })

  it('is the usual one where it is called by its own name, scheme and all', () => {
    const withPort = { usual: at('http://registry:5000'), registries: named }
    assert.equal(
      chooseRegistry(withPort, { name: 'registry:5000', repository: null })?.remote,
      'http://registry:5000',
    )
    const hub = { usual: at('https://registry-1.docker.io'), registries: named }
    assert.equal(chooseRegistry(hub, { name: 'docker.io', repository: null }), hub.usual)
  })

  it('is the host of that name otherwise', () => {
    assert.equal(remoteOf('c.example:5000'), 'https://c.example:5000')
    assert.equal(remoteOf('[::1]:5000'), 'https://[::1]:5000')
    assert.equal(remoteOf('docker.io'), 'https://registry-1.docker.io')
  })

  it('is none where the name is no host', () => {
    for (const name of ['', 'a b', 'user@host', 'host/path', 'host?x', 'host:99999', 'http://host', '..']) {
      assert.equal(remoteOf(name), undefined, name)
    }
  })
})
