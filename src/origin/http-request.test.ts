import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createTestOrigins, failsWith, readAll, requestFor } from '../../test/support/origin-client.ts'
import { type OriginServer, startOriginServer } from '../../test/support/origin-server.ts'
import { formatRequest, takeCallerHeaders } from './http-request.ts'
import { parseHttpUrl } from './http-url.ts'

let server: OriginServer
before(async () => {
  server = await startOriginServer()
})
after(() => server.close())

const PLAIN = parseHttpUrl('http://origin.example/a?b')

/** The request that the server received. */
async function sent(headers: readonly (readonly [string, string])[], query = '') {
  const file = server.serve('/headers', { lengthBytes: 1 })
  const answer = await createTestOrigins().open(requestFor(file.url + query, { headers }))
  await readAll(answer.body)
  return file.requests[0]
}

describe('header injection is refused, and nothing is sent', () => {
  const headers: [title: string, name: string, value: string][] = [
    ['CR LF in a value', 'X-Note', 'a\r\nX-Injected: yes'],
    ['LF in a value', 'X-Note', 'a\nX-Injected: yes'],
    ['CR in a value', 'X-Note', 'a\rX-Injected: yes'],
    ['NUL in a value', 'X-Note', 'a\0b'],
    ['a character whose low octet is LF', 'X-Note', 'a\u010aX-Injected: yes'],
    ['a character whose low octet is CR', 'X-Note', 'a\u020dX-Injected: yes'],
    ['CR LF in a name', 'X-Note\r\nX-Injected', 'yes'],
    ['a colon in a name', 'X-Note: a', 'b'],
    ['a space in a name', 'X Note', 'b'],
    ['no name', '', 'b'],
    ['CR LF in a header that is ours', 'Connection', 'a\r\nX-Injected: yes'],
  ]
  for (const [title, name, value] of headers) {
    test(title, async () => {
      const file = server.serve('/headers', { lengthBytes: 1 })
      await failsWith('USAGE', createTestOrigins().open(requestFor(file.url, { headers: [[name, value]] })))
      await failsWith(
        'USAGE',
        createTestOrigins().probe({ ...requestFor(file.url), headers: [[name, value]] }),
      )
      assert.equal(file.requests.length, 0)
    })
  }

  for (const end of ['?a\r\nX-Injected: yes', '\n', '\0', '?\t']) {
    test(`${JSON.stringify(end)} in the URL`, async () => {
      const file = server.serve('/headers', { lengthBytes: 1 })
      await failsWith('USAGE', createTestOrigins().open(requestFor(file.url + end)))
      assert.equal(file.requests.length, 0)
    })
  }

  test('a space and what is beyond ASCII in a URL are sent encoded', async () => {
    const { target } = await sent([], '?a b HTTP/1.1&ĊX: y')
    assert.equal(target, '/headers?a%20b%20HTTP/1.1&%C4%8AX:%20y')
  })
})

describe('the caller’s headers', () => {
  test('are sent, repeated ones too', async () => {
    const { headers } = await sent([
      ['X-One', '1'],
      ['x-two', ' 2 '],
      ['X-One', '3'],
      ['User-Agent', 'skopeo/1'],
      ['Accept', 'application/vnd.oci.image.manifest.v1+json'],
    ])
    assert.equal(headers['x-one'], '1, 3')
    assert.equal(headers['x-two'], '2')
    assert.equal(headers['user-agent'], 'skopeo/1')
    assert.equal(headers.accept, 'application/vnd.oci.image.manifest.v1+json')
  })

  test('do not replace what is ours or of the connection', async () => {
    const { headers } = await sent([
      ['Host', 'evil.example'],
      ['Accept-Encoding', 'gzip'],
      ['If-None-Match', '"1-1"'],
      ['If-Range', '"x"'],
      ['If-Modified-Since', 'Tue, 14 Nov 2023 22:13:21 GMT'],
      ['Content-Length', '7'],
      ['Transfer-Encoding', 'chunked'],
      ['Expect', '100-continue'],
      ['Proxy-Authorization', 'Basic secret'],
      ['Connection', 'keep-alive, X-Hop'],
      ['X-Hop', 'one'],
      ['X-End', 'two'],
    ])
    assert.deepEqual(headers, {
      host: `127.0.0.1:${server.port}`,
      'user-agent': headers['user-agent'],
      accept: '*/*',
      'accept-encoding': 'identity',
      connection: 'close',
      'x-end': 'two',
    })
  })

  test('win over user information in the URL', () => {
    const url = parseHttpUrl('http://user:pass@origin.example/')
    assert.deepEqual(takeCallerHeaders([['Authorization', 'Bearer b']], url), [['authorization', 'Bearer b']])
    assert.deepEqual(takeCallerHeaders([], url), [['authorization', 'Basic dXNlcjpwYXNz']])
  })

  test('have a limit', () => {
    assert.throws(() => takeCallerHeaders([['X-Long', 'x'.repeat(40_000)]], PLAIN), /too long/)
  })
})

test('a request is one line, fields and a blank line', () => {
  assert.equal(
    formatRequest(PLAIN, {
      caller: [['x-caller', '1']],
      own: [['range', 'bytes=0-0']],
      userAgent: 'dragonfly/2 (dfget)',
    }),
    'GET /a?b HTTP/1.1\r\nHost: origin.example\r\nUser-Agent: dragonfly/2 (dfget)\r\nAccept: */*\r\n' +
      'Accept-Encoding: identity\r\nConnection: close\r\nX-Caller: 1\r\nRange: bytes=0-0\r\n\r\n',
  )
})
