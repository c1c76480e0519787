import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { systemClock } from '../../ops/system-clock.ts'
import { createAuthority, issueLeaf, openAuthority, parseKey } from './certificates.ts'

const DAY_MS = 86_400_000
const now = systemClock.wallNow()

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dragonfly-certificates-'))
})
after(() => rm(folder, { recursive: true }))

const openssl = (...args: string[]) =>
  execFileSync('openssl', args, { cwd: folder, encoding: 'utf8', stdio: 'pipe' })

async function keep(name: string, pem: string): Promise<string> {
  await writeFile(join(folder, name), pem)
  return name
}

/** Its name for its key is none that could be computed. */
const OWN_AUTHORITY = `
[req]
distinguished_name = nothing
x509_extensions = authority
[nothing]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = 0102030405
`

const daysUntil = (date: string) => (Date.parse(date) - now) / DAY_MS

describe('certificates', () => {
  test('an authority may issue for servers, and make no authority below it', async () => {
    const { cert, key } = await createAuthority({ commonName: 'a, CN=b', lifetimeMs: 3650 * DAY_MS, now })
    const shown = openssl('x509', '-in', await keep('ca.crt', cert), '-noout', '-text')
    assert.match(shown, /X509v3 Basic Constraints: critical\s+CA:TRUE, pathlen:0/)
    assert.match(shown, /X509v3 Key Usage: critical\s+Certificate Sign, CRL Sign/)
    const certificate = new X509Certificate(cert)
    assert.equal(certificate.subject, 'O=dragonfly\nCN=a\\, CN=b')
    assert.ok(certificate.checkPrivateKey(createPrivateKey(key)))
    assert.equal(Math.round(daysUntil(certificate.validTo)), 3650)
  })

  test('a leaf is for one server for a day, and openssl takes it for that alone', async () => {
    const own = await createAuthority({ commonName: 'test', lifetimeMs: DAY_MS * 2, now })
    const leaf = await issueLeaf(openAuthority(own)!, 'registry.example', now)
    await keep('ca.crt', own.cert)
    await keep('leaf.crt', leaf.cert)
    const verify = (...more: string[]) =>
      openssl('verify', '-x509_strict', '-purpose', 'sslserver', ...more, '-CAfile', 'ca.crt', 'leaf.crt')
    assert.equal(verify('-verify_hostname', 'registry.example'), 'leaf.crt: OK\n')
    assert.throws(() => verify('-verify_hostname', 'other.example'), /hostname mismatch/)
    const { serialNumber, validFrom, validTo, keyUsage, ca } = new X509Certificate(leaf.cert)
    assert.ok(Math.abs(daysUntil(validFrom) + 1 / 24) < 0.001)
    assert.ok(Math.abs(daysUntil(validTo) - 23 / 24) < 0.001)
    assert.deepEqual(keyUsage, ['1.3.6.1.5.5.7.3.1'])
    assert.equal(ca, false)
    assert.ok(serialNumber.length > 24)
    assert.notEqual(leaf.key, own.key)
  })

  test('each leaf has a key and a number of its own', async () => {
    const authority = openAuthority(await createAuthority({ commonName: 'test', lifetimeMs: DAY_MS, now }))!
    const [one, other] = await Promise.all([1, 2].map(() => issueLeaf(authority, 'a.example', now)))
    assert.notEqual(one.key, other.key)
    assert.notEqual(new X509Certificate(one.cert).serialNumber, new X509Certificate(other.cert).serialNumber)
  })

  for (const [host, name] of [
    ['10.1.2.3', 'IP Address:10.1.2.3'],
    ['2001:db8::1', 'IP Address:2001:DB8:0:0:0:0:0:1'],
    [`${'a'.repeat(60)}.${'b'.repeat(60)}.example`, `DNS:${'a'.repeat(60)}.${'b'.repeat(60)}.example`],
  ]) {
    test(`a leaf for ${host} names it as ${name.slice(0, 8)}…`, async () => {
      const authority = openAuthority(await createAuthority({ commonName: 'test', lifetimeMs: DAY_MS, now }))!
      const { cert } = await issueLeaf(authority, host, now)
      assert.equal(new X509Certificate(cert).subjectAltName, name)
    })
  }

  for (const [kind, ...options] of [
    ['RSA', '-newkey', 'rsa:2048'],
    ['P-384', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp384r1'],
    ['P-521', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp521r1'],
    ['Ed25519', '-newkey', 'ed25519'],
  ]) {
    test(`an authority of openssl with a key of ${kind} issues leaves that chain to it`, async () => {
      const subject = ['-utf8', '-subj', '/C=DE/O=Bücher/CN=own authority']
      await keep('own.cnf', OWN_AUTHORITY)
      const files = ['-nodes', '-days', '2', '-keyout', 'own.key', '-out', 'own.crt']
      openssl('req', '-x509', '-config', 'own.cnf', ...options, ...files, ...subject)
      const own = { cert: openssl('x509', '-in', 'own.crt'), key: openssl('pkey', '-in', 'own.key') }
      const leaf = await issueLeaf(openAuthority(own)!, 'registry.example', now)
      await keep('leaf.crt', leaf.cert)
      assert.equal(openssl('verify', '-x509_strict', '-CAfile', 'own.crt', 'leaf.crt'), 'leaf.crt: OK\n')
    })
  }

  test('a certificate that is no authority issues nothing', async () => {
    const options = ['-newkey', 'ed25519', '-nodes', '-subj', '/CN=a.example']
    const extensions = ['-addext', 'basicConstraints=critical,CA:FALSE']
    openssl('req', '-x509', ...options, ...extensions, '-keyout', 'own.key', '-out', 'own.crt')
    const own = { cert: openssl('x509', '-in', 'own.crt'), key: openssl('pkey', '-in', 'own.key') }
    assert.equal(openAuthority(own), null)
  })

  test('a key of dfdaemon 1.x, PKCS #1 under the name of PKCS #8, is read', () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const pkcs1 = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString()
    assert.ok(parseKey(pkcs1.replaceAll('RSA PRIVATE', 'PRIVATE')).equals(privateKey))
  })

  test('what cannot be read, or does not belong together, is named at the start', async () => {
    const [one, other] = await Promise.all(
      ['one', 'other'].map(commonName => createAuthority({ commonName, lifetimeMs: DAY_MS, now })),
    )
    for (const [own, message] of [
      [{ cert: 'x', key: one.key }, /the certificate cannot be read/],
      [{ cert: one.cert, key: 'x' }, /the key cannot be read/],
      [{ cert: one.cert, key: other.key }, /the key is not that of the certificate/],
    ] as const) {
      assert.throws(() => openAuthority(own), { code: 'CONFIG_INVALID', message })
    }
  })
})
