import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

/**
 * A fresh key and a certificate for it that nobody has signed but itself (RFC 5280, by hand in DER), so that no test keeps a private key
 * or depends on the day. The certificate is its own CA.
 */
export function createSelfSigned(name: { dns?: string; ipv4?: string }): { key: string; cert: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const issuer = sequence(setOf(sequence(COMMON_NAME, der(0x0c, Buffer.from('dragonfly test')))))
  const names = sequence(
    ...(name.dns ? [der(0x82, Buffer.from(name.dns))] : []),
    ...(name.ipv4 ? [der(0x87, Uint8Array.from(name.ipv4.split('.').map(Number)))] : []),
  )
  const extensions = sequence(
    sequence(SUBJECT_ALT_NAME, der(0x04, names)),
    sequence(BASIC_CONSTRAINTS, TRUE, der(0x04, sequence(TRUE))),
  )
  const unsigned = sequence(
    der(0xa0, VERSION_3),
    der(0x02, Buffer.concat([Uint8Array.of(1), randomBytes(8)])),
    sequence(ECDSA_WITH_SHA256),
    issuer,
    sequence(utcTime('200101000000Z'), utcTime('490101000000Z')),
    issuer,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, extensions),
  )
  const signature = sign('sha256', unsigned, privateKey)
  const certificate = sequence(
    unsigned,
    sequence(ECDSA_WITH_SHA256),
    der(0x03, Buffer.concat([Uint8Array.of(0), signature])),
  )
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? []
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
  }
}

/** One element: tag, length in its shortest form, content (X.690, section 8.1). */
function der(tag: number, ...content: Uint8Array[]): Buffer {
  const value = Buffer.concat(content)
  const { length } = value
  const prefix = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Uint8Array.of(tag, ...prefix), value])
}

const sequence = (...content: Uint8Array[]) => der(0x30, ...content)
const setOf = (...content: Uint8Array[]) => der(0x31, ...content)
const utcTime = (text: string) => der(0x17, Buffer.from(text))

const VERSION_3 = der(0x02, Uint8Array.of(2))
const TRUE = der(0x01, Uint8Array.of(0xff))
/** 1.2.840.10045.4.3.2 */
const ECDSA_WITH_SHA256 = der(0x06, Buffer.from('2a8648ce3d040302', 'hex'))
/** 2.5.4.3, 2.5.29.17 and 2.5.29.19 */
const COMMON_NAME = der(0x06, Uint8Array.of(0x55, 4, 3))
const SUBJECT_ALT_NAME = der(0x06, Uint8Array.of(0x55, 29, 17))
const BASIC_CONSTRAINTS = der(0x06, Uint8Array.of(0x55, 29, 19))
