import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type OriginServer, startOriginServer } from '../../test/support/origin-server.ts'
import { createSelfSigned } from '../../test/support/self-signed.ts'
import { TEST_ORIGIN_TIMEOUTS } from '../../test/support/system.ts'
import { writeTaskUrl } from '../core/task-url.ts'
import { systemClock } from '../ops/system-clock.ts'
import { createOrigins, type OriginHeaders } from './origin.ts'
import { authorityFields, TrustStore, withoutAuthorities } from './trust.ts'

const own = createSelfSigned({ ipv4: '127.0.0.1' })
const other = createSelfSigned({ dns: 'elsewhere.example' })

describe('whom a request trusts', () => {
  let origin: OriginServer
  before(async () => {
    origin = await startOriginServer({ tls: own })
    origin.serve('/file', { lengthBytes: 5 })
  })
  after(() => origin.close())

  const origins = createOrigins({ clock: systemClock, timeouts: TEST_ORIGIN_TIMEOUTS })
  const probe = (trust: string, headers: OriginHeaders) => {
    const url = writeTaskUrl(`${origin.url}/file`, { filter: [], trust })
    return origins.probe({ url, headers, signal: new AbortController().signal })
  }

  it('is the system, where nothing is said', async () => {
    await assert.rejects(probe('', []), { code: 'ORIGIN_TLS' })
  })

  it('is the authority that it brings along, and the origin sees nothing of that', async () => {
    const { trust, fields } = authorityFields(`${other.cert}${own.cert}`)
    const answer = await probe(trust, [['X-Own', '1'], ...fields])
    assert.equal(answer.lengthBytes, 5)
    const { headers } = origin.requests.at(-1)!
    assert.equal(headers['x-own'], '1')
    assert.deepEqual(
      Object.keys(headers).filter(name => name.includes('ca')),
      [],
    )
  })

  it('is not another authority', async () => {
    const { trust, fields } = authorityFields(other.cert)
    await assert.rejects(probe(trust, fields), { code: 'ORIGIN_TLS' })
  })

  it('is named by its URL, so that no authority comes in by the side', async () => {
    const { trust, fields } = authorityFields(own.cert)
    for (const [named, brought] of [
      ['', fields],
      ['any', fields],
      [trust, []],
      [authorityFields(other.cert).trust, fields],
    ] as const) {
      await assert.rejects(probe(named, brought), { code: 'USAGE', message: /not those of the task/ })
    }
  })
})

it('authorities have one name, whatever their order and number', () => {
  const both = authorityFields(`${own.cert}\n${other.cert}`)
  assert.deepEqual(authorityFields(`${other.cert}text between\n${own.cert}${own.cert}`), both)
  assert.match(both.trust, /^[0-9a-f]{32}$/)
  assert.notEqual(authorityFields(own.cert).trust, both.trust)
  assert.deepEqual(withoutAuthorities([['A', 'b'], ...both.fields]), [['A', 'b']])
})

it('what is no certificate is a usage error', () => {
  const broken = own.cert.replace(/\n[^-\n]+\n/, '\nAAAA\n')
  for (const text of ['', 'text', own.key, broken])
    assert.throws(() => authorityFields(text), { code: 'USAGE' })
})

it('an origin that is trusted blindly is so for that URL only', () => {
  const store = new TrustStore(undefined)
  const url = 'https://host/file'
  assert.deepEqual(store.for({ url: writeTaskUrl(url, { filter: [], trust: 'any' }), headers: [] }), {
    context: undefined,
    isBlind: true,
  })
  assert.equal(store.for({ url, headers: [] }).isBlind, false)
})
