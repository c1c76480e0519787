import { readTaskUrl, writeTaskUrl } from './task-url.ts'

/**
 * Signing parameters change from caller to caller while the content stays the same, so they are no part of a task's identity. A family
 * applies only where all of its evidence is present: dropping a parameter that selects content would make one task of two files.
 */
type SignatureFamily = { readonly evidence: readonly string[]; readonly drops: ReadonlySet<string> }

/** Names are in lower case; the stores compare some of them without regard to case. */
const SIGNATURE_FAMILIES: readonly SignatureFamily[] = [
  // Amazon S3, signature version 4
  family(
    ['x-amz-signature'],
    'x-amz-algorithm x-amz-credential x-amz-date x-amz-expires x-amz-signedheaders x-amz-security-token',
  ),
  // Amazon S3, signature version 2
  family(['awsaccesskeyid', 'signature'], 'expires x-amz-security-token'),
  // Amazon CloudFront
  family(['key-pair-id', 'signature'], 'expires policy'),
  // Google Cloud Storage, versions 4 and 2
  family(
    ['x-goog-signature'],
    'x-goog-algorithm x-goog-credential x-goog-date x-goog-expires x-goog-signedheaders',
  ),
  family(['googleaccessid', 'signature'], 'expires'),
  // Alibaba Cloud OSS, versions 4 and 1
  family(
    ['x-oss-signature'],
    'x-oss-signature-version x-oss-credential x-oss-date x-oss-expires x-oss-additional-headers x-oss-security-token',
  ),
  family(['ossaccesskeyid', 'signature'], 'expires security-token'),
  // Azure Blob Storage, shared access signature
  family(['sv', 'sig'], 'sr sp st se spr ss srt si sip sdd skoid sktid skt ske sks skv saoid suoid scid'),
  // Tencent COS
  family(
    ['q-signature'],
    'q-sign-algorithm q-ak q-sign-time q-key-time q-header-list q-url-param-list x-cos-security-token',
  ),
  // Huawei OBS
  family(['accesskeyid', 'signature'], 'expires x-obs-security-token'),
]

/** containerd names the registry in `ns`; it selects the mirror's upstream and is neither identity nor credential. */
const REGISTRY_PATH = /\/v2\/.+\/(?:blobs|manifests)\//

/** Names whose values are credentials wherever they appear. */
const SECRET_NAME = /token|secret|passw|signature|^sig$|api[-_]?key|credential/i

type FilteredUrl = {
  /** The URL without signature and routing parameters, and without the user's fragment. How it is to be read stays with it. */
  readonly url: string
  /** Whether a signature or something that the caller named was dropped, so that knowing the filtered URL alone proves nothing. */
  readonly isSigned: boolean
}

/**
 * Drops what differs between callers of the same content: signatures, and the parameters that the URL's reading names (`task-url.ts`).
 * Order and spelling of the rest are kept. The reading stays, so that nobody's filter makes one task of two URLs for somebody else.
 */
export function filterUrl(url: string): FilteredUrl {
  const { address, parameters } = splitUrl(url)
  const reading = readTaskUrl(url)
  const names = new Set(parameters.map(nameOf))
  const families = SIGNATURE_FAMILIES.filter(({ evidence }) => evidence.every(name => names.has(name)))
  const isRegistry = REGISTRY_PATH.test(address)
  const ours = parameters.filter(parameter => {
    const name = nameOf(parameter)
    return !(isRegistry && name === 'ns') && !families.some(({ drops }) => drops.has(name))
  })
  const kept = ours.filter(parameter => !reading.filter.includes(parameter.split('=', 1)[0]))
  return {
    url: writeTaskUrl(joinUrl(address, kept), reading),
    isSigned: families.length > 0 || kept.length < ours.length,
  }
}

/** For logs and records: the filtered URL without user information and without the values of secrets. */
export function redactUrl(url: string): string {
  const { address, parameters } = splitUrl(filterUrl(url).url)
  const masked = parameters.map(parameter => {
    const equals = parameter.indexOf('=')
    return equals >= 0 && SECRET_NAME.test(nameOf(parameter))
      ? `${parameter.slice(0, equals)}=***`
      : parameter
  })
  return joinUrl(address.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/]*@/i, '$1'), masked)
}

function family(evidence: readonly string[], others: string): SignatureFamily {
  return { evidence, drops: new Set([...evidence, ...others.split(' ')]) }
}

function splitUrl(url: string): { address: string; parameters: string[] } {
  const withoutFragment = url.split('#', 1)[0]
  const mark = withoutFragment.indexOf('?')
  if (mark < 0) return { address: withoutFragment, parameters: [] }
  return { address: withoutFragment.slice(0, mark), parameters: withoutFragment.slice(mark + 1).split('&') }
}

function joinUrl(address: string, parameters: readonly string[]): string {
  return parameters.length > 0 ? `${address}?${parameters.join('&')}` : address
}

function nameOf(parameter: string): string {
  return parameter.split('=', 1)[0].toLowerCase()
}
