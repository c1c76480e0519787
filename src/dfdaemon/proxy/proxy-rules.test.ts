import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ProxyRule } from '../options.ts'
import { routeOf } from './proxy-rules.ts'

const rule = (pattern: RegExp, changes: Partial<ProxyRule> = {}): ProxyRule => ({
  pattern,
  usesHttps: false,
  isDirect: false,
  redirect: null,
  ...changes,
})

const RULES = [
  rule(/blobs\/sha256.*/),
  rule(/some-registry\//, { usesHttps: true }),
  rule(/no-proxy-reg/, { isDirect: true, usesHttps: true }),
  rule(/^http:\/\/old\.example/, { redirect: 'new.example' }),
  rule(/^http:\/\/ported\.example/, { redirect: 'new.example:5000', isDirect: true }),
  rule(/\?[^?]*big=1/),
  rule(/blobs/, { isDirect: true }),
]

describe('rules of the proxy', () => {
  for (const [method, asked, url, isForSwarm] of [
    ['GET', 'http://a.example/v2/x/blobs/sha256:1', 'http://a.example/v2/x/blobs/sha256:1', true],
    ['HEAD', 'http://a.example/v2/x/blobs/sha256:1', 'http://a.example/v2/x/blobs/sha256:1', true],
    ['POST', 'http://a.example/v2/x/blobs/sha256:1', 'http://a.example/v2/x/blobs/sha256:1', false],
    ['GET', 'http://a.example/v2/x/blobs/uploads', 'http://a.example/v2/x/blobs/uploads', false],
    ['GET', 'http://some-registry/x', 'https://some-registry/x', true],
    ['GET', 'http://some-registry:8080/x', 'http://some-registry:8080/x', false],
    ['GET', 'http://no-proxy-reg:8080/x', 'https://no-proxy-reg:8080/x', false],
    ['PUT', 'http://no-proxy-reg/x', 'http://no-proxy-reg/x', false],
    ['GET', 'http://old.example:8080/x?y', 'http://new.example/x?y', true],
    ['GET', 'http://ported.example/x', 'http://new.example:5000/x', false],
    ['GET', 'http://a.example/file?big=1', 'http://a.example/file?big=1', true],
    ['GET', 'http://a.example/else', 'http://a.example/else', false],
  ] as const) {
    test(`${method} ${asked} goes ${isForSwarm ? 'through the swarm' : 'straight'} to ${url}`, () => {
      const route = routeOf(RULES, method, new URL(asked))
      assert.deepEqual({ ...route, url: route.url.href }, { url, isForSwarm })
    })
  }
})
