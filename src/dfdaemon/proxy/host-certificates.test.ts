import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import { connect, createServer, type PeerCertificate, type SecureContext } from 'node:tls'
import { MovedClock } from '../../../test/support/moved-clock.ts'
import { systemClock } from '../../ops/system-clock.ts'
import { createAuthority, issueLeaf, openAuthority } from './certificates.ts'
import { HostCertificates } from './host-certificates.ts'

const HOUR_MS = 3_600_000
const now = systemClock.wallNow()
const own = await createAuthority({ commonName: 'test', lifetimeMs: 100 * HOUR_MS, now })

/** What a client that trusts `ca` alone is shown for `host`. */
async function shown(context: SecureContext, host: string, ca = own.cert): Promise<PeerCertificate> {
  const server = createServer({ SNICallback: (_name, callback) => callback(null, context) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    servername: host,
    ca,
  })
  try {
    await once(client, 'secureConnect')
    return client.getPeerCertificate()
  } finally {
    client.destroy()
    server.close()
  }
}

describe('what is presented for a host', () => {
  test('a client that trusts the authority takes the leaf, and one that does not refuses it', async () => {
    const certificates = new HostCertificates(own, systemClock)
    const context = await certificates.contextFor('registry.example')
    const { subjectaltname } = await shown(context, 'registry.example')
    assert.equal(subjectaltname, 'DNS:registry.example')
    const { cert: other } = await createAuthority({ commonName: 'other', lifetimeMs: HOUR_MS, now })
    await assert.rejects(shown(context, 'registry.example', other), { code: /SELF_SIGNED|UNABLE_TO/ })
    await assert.rejects(shown(context, 'other.example'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  })

  test('one leaf serves a host, in any case, until an hour before its end', async () => {
    const clock = new MovedClock()
    const certificates = new HostCertificates(own, clock)
    const first = certificates.contextFor('a.example')
    assert.equal(certificates.contextFor('A.Example'), first)
    clock.moveOn(21 * HOUR_MS)
    assert.equal(certificates.contextFor('a.example'), first)
    clock.moveOn(2 * HOUR_MS)
    assert.notEqual(certificates.contextFor('a.example'), first)
  })

  test('of more than a hundred hosts, the one that was not asked for longest is forgotten', async () => {
    const certificates = new HostCertificates(own, systemClock)
    const contexts = Array.from({ length: 100 }, (_, index) => certificates.contextFor(`${index}.example`))
    assert.equal(certificates.contextFor('0.example'), contexts[0])
    await certificates.contextFor('100.example')
    assert.equal(certificates.contextFor('0.example'), contexts[0])
    assert.notEqual(certificates.contextFor('1.example'), contexts[1])
    await Promise.all(contexts)
  })

  test('a certificate that is no authority is presented as it is, for every host', async () => {
    const leaf = await issueLeaf(openAuthority(own)!, 'registry.example', now)
    const certificates = new HostCertificates(leaf, systemClock)
    const context = await certificates.contextFor('registry.example')
    assert.equal(await certificates.contextFor('other.example'), context)
    assert.equal((await shown(context, 'registry.example')).subjectaltname, 'DNS:registry.example')
  })
})
