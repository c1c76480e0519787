import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { MirrorOptions } from '../options.ts'
import { componentOf, registryInPath } from './registry-in-path.ts'

const at = (remote: string) => ({ remote, trust: { authorities: null, isInsecure: false }, isDirect: false })

const optionsWith = (usual: string, ...names: string[]): MirrorOptions => ({
  usual: at(usual),
  registries: new Map(names.map(name => [name, at(`https://${name}`)])),
})

const options = optionsWith(
  'https://registry-1.docker.io',
  'a.example',
  'b.example/team',
  'c.example:5000',
  'here',
  'localhost',
  '127.0.0.1:5000',
  '_default',
)

describe('a registry that is named in the path', () => {
  const NAMED: [path: string, name: string | null, own: string][] = [
    ['/v2/a.example/app/manifests/1', 'a.example', '/v2/app/manifests/1'],
    ['/v2/a.example/team/app/blobs/sha256:0', 'a.example', '/v2/team/app/blobs/sha256:0'],
    ['/v2/a.example/a.example/app/tags/list', 'a.example', '/v2/a.example/app/tags/list'],
    ['/v2/b.example/team/app/manifests/1', 'b.example', '/v2/team/app/manifests/1'],
    ['/v2/c.example.5000/app/manifests/1', 'c.example:5000', '/v2/app/manifests/1'],
    ['/v2/c.example:5000/app/manifests/1', 'c.example:5000', '/v2/app/manifests/1'],
    ['/v2/127.0.0.1.5000/app/manifests/1', '127.0.0.1:5000', '/v2/app/manifests/1'],
    ['/v2/localhost/app/manifests/1', 'localhost', '/v2/app/manifests/1'],
    ['/v2/registry-1.docker.io/library/app/manifests/1', null, '/v2/library/app/manifests/1'],
    ['/v2/docker.io/library/app/manifests/1', null, '/v2/library/app/manifests/1'],
    ['/v2/index.docker.io/library/app/manifests/1', null, '/v2/library/app/manifests/1'],
  ]
  for (const [path, name, own] of NAMED) {
    it(`${path} is ${name ?? 'the usual one'}`, () =>
      assert.deepEqual(registryInPath(options, path), { name, path: own }))
  }

  const UNNAMED: [title: string, path: string][] = [
    ['a host that is not in the table', '/v2/d.example/app/manifests/1'],
    ['another beginning than that in the table', '/v2/b.example/other/app/manifests/1'],
    ['another port', '/v2/c.example.5001/app/manifests/1'],
    ['a host without its port', '/v2/c.example/app/manifests/1'],
    ['a user or project who is called like a host in the table', '/v2/here/app/manifests/1'],
    ['the name for all others', '/v2/_default/app/manifests/1'],
    ['a name and nothing after it', '/v2/a.example/manifests/1'],
    ['no repository', '/v2/a.example/'],
  ]
  for (const [title, path] of UNNAMED) {
    it(`${title} is part of the repository`, () => assert.equal(registryInPath(options, path), null))
  }

  it('is the usual one by its host and port, and by no name of Docker Hub where that is another', () => {
    const usual = optionsWith('http://registry:5000/base')
    const own = { name: null, path: '/v2/app/manifests/1' }
    assert.deepEqual(registryInPath(usual, '/v2/registry.5000/app/manifests/1'), own)
    assert.equal(registryInPath(usual, '/v2/docker.io/app/manifests/1'), null)
    const withPort = optionsWith('https://a.example')
    assert.deepEqual(registryInPath(withPort, '/v2/a.example.443/app/manifests/1'), own)
  })

  it('is an entry of the table before the usual one', () => {
    const both = optionsWith('https://registry-1.docker.io', 'docker.io/team')
    const nameIn = (path: string) => registryInPath(both, path)?.name
    assert.equal(nameIn('/v2/docker.io/team/app/manifests/1'), 'docker.io')
    assert.equal(nameIn('/v2/docker.io/other/app/manifests/1'), null)
  })

  it('has a component that is a path’s, and is found by it', () => {
    for (const name of ['a.example', 'c.example:5000', 'localhost', '127.0.0.1:5000']) {
      const component = componentOf(name)
      assert.match(component, /^[a-z0-9.]+$/)
      assert.equal(registryInPath(options, `/v2/${component}/app/manifests/1`)?.name, name)
    }
  })
})
