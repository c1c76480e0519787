import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { filterUrl, redactUrl } from './filter-url.ts'
import { writeTaskUrl } from './task-url.ts'

const OBJECT = 'https://bucket.example/a/model.bin'

const SIGNED: Record<string, string> = {
  'S3 v4':
    'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F20260101&X-Amz-Date=20260101T000000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=t&X-Amz-Signature=ab12',
  'S3 v2': 'AWSAccessKeyId=AK&Expires=1767225600&Signature=q%3D',
  CloudFront: 'Policy=eyJ&Signature=q~&Key-Pair-Id=K1',
  'GCS v4':
    'X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=c&X-Goog-Date=d&X-Goog-Expires=9&X-Goog-SignedHeaders=host&X-Goog-Signature=ab',
  'GCS v2': 'GoogleAccessId=me%40p&Expires=1767225600&Signature=q',
  'OSS v4':
    'x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential=c&x-oss-date=d&x-oss-expires=9&x-oss-additional-headers=host&x-oss-security-token=t&x-oss-signature=ab',
  'OSS v1': 'OSSAccessKeyId=AK&Expires=1767225600&Signature=q&security-token=t',
  'Azure SAS': 'sv=2025-01-05&sr=b&sp=r&st=2026-01-01&se=2026-01-02&spr=https&sip=10.0.0.1&sig=q%3D',
  'Azure SAS for a user':
    'skoid=a&sktid=b&skt=c&ske=d&sks=b&skv=2025-01-05&sv=2025-01-05&sr=b&sp=r&se=e&sig=q',
  'Azure SAS for an account': 'sv=2025-01-05&ss=b&srt=o&sp=r&se=e&sig=q',
  'Tencent COS':
    'q-sign-algorithm=sha1&q-ak=a&q-sign-time=1;2&q-key-time=1;2&q-header-list=host&q-url-param-list=&q-signature=f',
  'Huawei OBS': 'AccessKeyId=AK&Expires=1767225600&Signature=q&x-obs-security-token=t',
}

for (const [store, query] of Object.entries(SIGNED)) {
  test(`the signature of ${store} is dropped, what selects content stays`, () => {
    assert.deepEqual(filterUrl(`${OBJECT}?${query}`), { url: OBJECT, isSigned: true })
    assert.deepEqual(filterUrl(`${OBJECT}?versionId=7&${query}&part=2`), {
      url: `${OBJECT}?versionId=7&part=2`,
      isSigned: true,
    })
  })
}

test('parameters of a signature without the rest of their family are kept', () => {
  const table = [
    'sv=3',
    'sr=1&st=2&se=3&sp=4',
    'sig=x&st=2',
    'Expires=5',
    'Signature=x&Expires=5',
    'Policy=gold&AccessKeyId=7',
    'X-Amz-Date=20260101',
    'security-token=t',
  ]
  for (const query of table) {
    assert.deepEqual(filterUrl(`${OBJECT}?${query}`), { url: `${OBJECT}?${query}`, isSigned: false })
  }
})

test('one store’s signature does not drop another store’s names', () => {
  const signed = `${OBJECT}?sv=2&Expires=5&X-Amz-Signature=ab`
  assert.equal(filterUrl(signed).url, `${OBJECT}?sv=2&Expires=5`)
})

test('ns is dropped from registry paths and from nowhere else', () => {
  const table: [url: string, filtered: string][] = [
    ['http://m/v2/library/nginx/manifests/latest?ns=docker.io', 'http://m/v2/library/nginx/manifests/latest'],
    ['http://m/v2/a/blobs/sha256:00?x=1&ns=docker.io', 'http://m/v2/a/blobs/sha256:00?x=1'],
    ['http://wiki/index?title=a&ns=4', 'http://wiki/index?title=a&ns=4'],
  ]
  for (const [url, filtered] of table) {
    assert.deepEqual(filterUrl(url), { url: filtered, isSigned: false })
  }
})

test('names compare without regard to case, spelling and order of the rest are kept', () => {
  assert.equal(filterUrl(`${OBJECT}?B=2&x-amz-SIGNATURE=f&a=%20+&B=1`).url, `${OBJECT}?B=2&a=%20+&B=1`)
})

test('the fragment goes, with or without a query', () => {
  assert.equal(filterUrl(`${OBJECT}#top`).url, OBJECT)
  assert.equal(filterUrl(`${OBJECT}?a=1#top?b=2`).url, `${OBJECT}?a=1`)
})

test('a URL without signature, fragment and ns stays as it is, and filtering twice changes nothing', () => {
  fc.assert(
    fc.property(fc.webUrl({ withQueryParameters: true }), url => {
      const { url: once, isSigned } = filterUrl(url)
      if (!isSigned) assert.equal(once, url)
      assert.equal(filterUrl(once).url, once)
    }),
  )
})

test('what the caller names is dropped too, exactly as it is spelled, and the names stay with the URL', () => {
  const read = (url: string) => filterUrl(writeTaskUrl(url, { filter: ['key', 'sign'], trust: '' }))
  const table: [query: string, kept: string, isSigned: boolean][] = [
    ['?x=1&sign=zz&key=k', '?x=1', true],
    ['?sign=zz&key', '', true],
    ['?Key=1&x=key', '?Key=1&x=key', false],
    ['?x=1&X-Amz-Signature=ab&key=2', '?x=1', true],
    ['', '', false],
  ]
  for (const [query, kept, isSigned] of table) {
    assert.deepEqual(read(OBJECT + query), { url: `${OBJECT}${kept}#!filter=key,sign`, isSigned })
  }
  assert.equal(
    redactUrl(writeTaskUrl(`${OBJECT}?key=s3cret&a=1`, { filter: ['key'], trust: 'any' })),
    `${OBJECT}?a=1`,
  )
})

test('what one filter makes alike is another task than the same URL without it', () => {
  const filtered = filterUrl(writeTaskUrl(`${OBJECT}?other=1`, { filter: ['other'], trust: '' })).url
  assert.notEqual(filtered, filterUrl(OBJECT).url)
})

test('logs see neither user information nor secrets', () => {
  const table: [url: string, redacted: string][] = [
    ['https://alice:pw@host/x', 'https://host/x'],
    ['https://alice:p@w@host/x', 'https://host/x'],
    ['https://alice@host', 'https://host'],
    ['https://host/a@b?c=d@e', 'https://host/a@b?c=d@e'],
    [`${OBJECT}?${SIGNED['S3 v4']}`, OBJECT],
    [`${OBJECT}?Signature=s3cret&Expires=5`, `${OBJECT}?Signature=***&Expires=5`],
    [`${OBJECT}?a=1&access_token=s3cret`, `${OBJECT}?a=1&access_token=***`],
    [`${OBJECT}?API-KEY=s3cret&sig=s3cret&password=s3cret`, `${OBJECT}?API-KEY=***&sig=***&password=***`],
  ]
  for (const [url, redacted] of table) assert.equal(redactUrl(url), redacted)
})
