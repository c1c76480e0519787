import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Packr } from 'msgpackr'
import { fc } from '../../test/support/properties.ts'
import type { Digest } from '../core/digest.ts'
import type { Generation } from '../core/generation.ts'
import type { TaskId } from '../core/task-id.ts'
import {
  decodePeerMessage,
  decodeSupernodeMessage,
  encodePeerMessage,
  encodeSupernodeMessage,
  PEER_MESSAGES,
  type PeerMessage,
  type PeerMessages,
  SUPERNODE_MESSAGES,
  type SupernodeMessage,
  type SupernodeMessages,
} from './control.ts'

const TASK = '0123456789abcdef'.repeat(4) as TaskId
const GENERATION = 'fedcba9876543210' as Generation
const DIGEST = `sha256:${TASK}` as Digest
const TASK_HEX = `d940${Buffer.from(TASK).toString('hex')}`
const DIGEST_HEX = `d947${Buffer.from(DIGEST).toString('hex')}`
const GENERATION_HEX = `b0${Buffer.from(GENERATION).toString('hex')}`

/** One message of each kind and its bytes. What is out in the field depends on them: new fields go to the end. */
const peerVectors: { [Name in keyof PeerMessages]: [message: PeerMessages[Name], hex: string] } = {
  hello: [
    {
      type: 'hello',
      version: 1,
      peerId: 'p',
      hostName: 'h',
      address: '',
      port: 8100,
      uploadSlots: 4,
      zone: 'idc-1',
    },
    '98' + '01' + '01' + 'a170' + 'a168' + 'a0' + 'cd1fa4' + '04' + 'a56964632d31',
  ],
  announce: [
    {
      type: 'announce',
      taskId: TASK,
      url: 'u',
      headers: [['a', 'b']],
      tag: '',
      expectedDigest: DIGEST,
      range: null,
      generation: GENERATION,
      lengthBytes: 70_000,
      pieceLength: 1_048_576,
      held: Uint8Array.of(5, 255),
      lookAhead: 32,
      isSeedOnly: true,
      via: ['s'],
      readFrom: 3_145_728,
    },
    `9f02${TASK_HEX}a1759192a161a162a0${DIGEST_HEX}c0${GENERATION_HEX}ce00011170ce00100000c40205ff20c391a173ce00300000`,
  ],
  report: [
    {
      type: 'report',
      taskId: TASK,
      done: [3, 1, 250],
      failed: [4, 2, 0],
      codes: ['SOURCE_GONE'],
      released: [5, 0],
      slow: [6],
      fromOrigin: [65_535],
      lookAhead: 8,
      readFrom: 7,
    },
    `9a03${TASK_HEX}930301ccfa9304020091ab534f555243455f474f4e45920500910691cdffff0807`,
  ],
  leave: [{ type: 'leave', taskId: TASK }, `9204${TASK_HEX}`],
}

const supernodeVectors: {
  [Name in keyof SupernodeMessages]: [message: SupernodeMessages[Name], hex: string]
} = {
  welcome: [
    { type: 'welcome', version: 1, supernodeId: 's', address: 'a:1' },
    '94' + '40' + '01' + 'a173' + 'a3613a31',
  ],
  layout: [
    {
      type: 'layout',
      taskId: TASK,
      generation: GENERATION,
      lengthBytes: 3,
      pieceLength: 2,
      token: 't',
      digest: null,
      etag: '"e"',
      lastModified: null,
      pieces: [0, 1],
      digests: Uint8Array.of(1, 2),
      inline: Uint8Array.of(7),
      originRank: 4,
      originReaders: 3,
      prefixes: Uint8Array.of(3, 4),
    },
    `9f41${TASK_HEX}${GENERATION_HEX}0302a174c0a3226522c0920001c4020102c401070403c4020304`,
  ],
  digests: [
    { type: 'digests', taskId: TASK, pieces: [9], digests: Uint8Array.of(8), prefixes: Uint8Array.of(7) },
    `9542${TASK_HEX}9109c40108c40107`,
  ],
  assign: [
    { type: 'assign', taskId: TASK, sources: ['7', '::1', '80'], pieces: [1, 7] },
    `9443${TASK_HEX}93a137a33a3a31a23830920107`,
  ],
  revoke: [{ type: 'revoke', taskId: TASK, pieces: [1, 7] }, `9344${TASK_HEX}920107`],
  status: [
    { type: 'status', taskId: TASK, peers: 2, originBytes: 4_294_967_296 },
    `9445${TASK_HEX}02cb41f0000000000000`,
  ],
  error: [{ type: 'error', taskId: '', code: 'INTERNAL', message: 'm' }, '9446a0a8494e5445524e414ca16d'],
}

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'))

/** Byte strings come as whatever kind of Uint8Array. */
function plain(message: object): object {
  return Object.fromEntries(
    Object.entries(message).map(([name, value]) => [name, value instanceof Uint8Array ? [...value] : value]),
  )
}

describe('the bytes of each message are fixed', () => {
  for (const [message, hex] of Object.values(peerVectors)) {
    test(`${message.type}, from the peer`, () => {
      assert.equal(hexOf(encodePeerMessage(message)), hex)
      assert.deepEqual(plain(decodePeerMessage(fromHex(hex))), plain(message))
    })
  }
  for (const [message, hex] of Object.values(supernodeVectors)) {
    test(`${message.type}, from the supernode`, () => {
      assert.equal(hexOf(encodeSupernodeMessage(message)), hex)
      assert.deepEqual(plain(decodeSupernodeMessage(fromHex(hex))), plain(message))
    })
  }

  test('no two messages have the same tag', () => {
    const tags = [...Object.values(PEER_MESSAGES), ...Object.values(SUPERNODE_MESSAGES)].map(row => row.tag)
    assert.equal(new Set<number>(tags).size, tags.length)
  })
})

const uint = fc.oneof(fc.nat(200), fc.maxSafeNat())
const uints = fc.array(uint)
const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const texts = fc.array(text)
const bytes = fc.uint8Array()
const orNull = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null })
const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length })
const taskId = hex(64) as fc.Arbitrary<TaskId>
const generation = hex(16) as fc.Arbitrary<Generation>
const digest = hex(64).map(value => `sha256:${value}` as Digest)
const kind = <T extends string>(type: T) => fc.constant(type)

const peerMessage: fc.Arbitrary<PeerMessage> = fc.oneof(
  fc.record({
    type: kind('hello'),
    version: uint,
    peerId: text,
    hostName: text,
    address: text,
    port: uint,
    uploadSlots: uint,
    zone: orNull(text),
  }),
  fc.record({
    type: kind('announce'),
    taskId,
    url: text,
    headers: fc.array(fc.tuple(text, text)),
    tag: text,
    expectedDigest: orNull(digest),
    range: orNull(text),
    generation: orNull(generation),
    lengthBytes: orNull(uint),
    pieceLength: uint,
    held: bytes,
    lookAhead: orNull(uint),
    isSeedOnly: orNull(fc.boolean()),
    via: orNull(texts),
    readFrom: orNull(uint),
  }),
  fc.record({
    type: kind('report'),
    taskId,
    done: uints,
    failed: uints,
    codes: texts,
    released: uints,
    slow: uints,
    fromOrigin: uints,
    lookAhead: orNull(uint),
    readFrom: orNull(uint),
  }),
  fc.record({ type: kind('leave'), taskId }),
)

const supernodeMessage: fc.Arbitrary<SupernodeMessage> = fc.oneof(
  fc.record({ type: kind('welcome'), version: uint, supernodeId: text, address: text }),
  fc.record({
    type: kind('layout'),
    taskId,
    generation,
    lengthBytes: orNull(uint),
    pieceLength: uint,
    token: text,
    digest: orNull(digest),
    etag: orNull(text),
    lastModified: orNull(text),
    pieces: uints,
    digests: bytes,
    inline: orNull(bytes),
    originRank: orNull(uint),
    originReaders: orNull(uint),
    prefixes: orNull(bytes),
  }),
  fc.record({ type: kind('digests'), taskId, pieces: uints, digests: bytes, prefixes: orNull(bytes) }),
  fc.record({ type: kind('assign'), taskId, sources: texts, pieces: uints }),
  fc.record({ type: kind('revoke'), taskId, pieces: uints }),
  fc.record({ type: kind('status'), taskId, peers: uint, originBytes: uint }),
  fc.record({ type: kind('error'), taskId: text, code: text, message: text }),
)

describe('whatever is sent arrives', () => {
  test('from the peer', () => {
    fc.assert(
      fc.property(peerMessage, message => {
        assert.deepEqual(plain(decodePeerMessage(encodePeerMessage(message))), plain(message))
      }),
    )
  })

  test('from the supernode', () => {
    fc.assert(
      fc.property(supernodeMessage, message => {
        assert.deepEqual(plain(decodeSupernodeMessage(encodeSupernodeMessage(message))), plain(message))
      }),
    )
  })
})

const packr = new Packr({ useRecords: false })
const decoders = [decodePeerMessage, decodeSupernodeMessage]

function assertRefused(encoded: Uint8Array): void {
  for (const decode of decoders) {
    assert.throws(() => decode(encoded), { name: 'DragonflyError', code: 'PROTOCOL_INVALID' }, hexOf(encoded))
  }
}

/** Decodes or refuses; anything else is a failure. */
function assertHarmless(encoded: Uint8Array): void {
  for (const decode of decoders) {
    try {
      decode(encoded)
    } catch (thrown) {
      assert.equal((thrown as { code?: string }).code, 'PROTOCOL_INVALID', hexOf(encoded))
    }
  }
}

describe('what no honest side sends', () => {
  const refused: Record<string, Uint8Array> = {
    nothing: fromHex(''),
    nil: fromHex('c0'),
    'a number': fromHex('04'),
    'a map': packr.pack({ 0: 4, 1: TASK }),
    'an empty list': fromHex('90'),
    'an unknown tag': packr.pack([99, TASK]),
    'a tag as text': packr.pack(['4', TASK]),
    'a tag that every object has': packr.pack(['constructor', TASK]),
    'a missing field': fromHex('9104'),
    'two messages in one': fromHex(`9204${TASK_HEX}c0`),
    'half a message': fromHex(`9204${TASK_HEX}`.slice(0, 60)),
    'a list that claims four thousand million items': fromHex('ddffffffff'),
    'lists that claim millions of items, nested': fromHex('dd00ffffff'.repeat(64)),
    'a text that claims four thousand million bytes': fromHex('9204dbffffffff'),
    'lists a million deep': new Uint8Array(1_000_000).fill(0x91),
    'an extension': fromHex('9204d70000112233445566'),
    'a date instead of a text': packr.pack([4, new Date(0)]),
    'a big integer instead of a number': packr.pack([3, TASK, [2n ** 63n], [], [], [], [], []]),
    'negative numbers': packr.pack([3, TASK, [-1], [], [], [], [], []]),
    fractions: packr.pack([3, TASK, [0.5], [], [], [], [], []]),
    'not a number': packr.pack([3, TASK, [Number.NaN], [], [], [], [], []]),
    'infinitely many': packr.pack([3, TASK, [Number.POSITIVE_INFINITY], [], [], [], [], []]),
    'a list too long': packr.pack([3, TASK, new Array((1 << 17) + 1).fill(1), [], [], [], [], []]),
    'a text too long': packr.pack([70, '', 'x'.repeat(20_000), '']),
  }
  for (const [name, encoded] of Object.entries(refused)) {
    test(`is refused: ${name}`, () => assertRefused(encoded))
  }

  test('noise is decoded or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), noise => assertHarmless(noise)),
      { numRuns: 2_000 },
    )
  })

  test('so is a message with some of its bytes changed', () => {
    const flips = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(peerMessage, supernodeMessage, flips, (fromPeer, fromSupernode, changes) => {
        for (const encoded of [encodePeerMessage(fromPeer), encodeSupernodeMessage(fromSupernode)]) {
          const changed = Uint8Array.from(encoded)
          for (const [at, value] of changes) changed[at % changed.length] = value
          assertHarmless(changed)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('so is any list that msgpack can carry', () => {
    const anything = fc.anything({ withBigInt: false, withDate: true, withMap: true, withTypedArray: true })
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2, 3, 4, 64, 65, 66, 67, 68, 69, 70),
        fc.array(anything),
        (tag, rest) => {
          assertHarmless(packr.pack([tag, TASK, ...rest]))
        },
      ),
      { numRuns: 500 },
    )
  })

  test('names that objects have from birth do no harm', () => {
    assertHarmless(packr.pack([4, TASK, JSON.parse('{"__proto__":{"isPolluted":true},"constructor":1}')]))
    assert.equal(({} as { isPolluted?: boolean }).isPolluted, undefined)
  })

  test('what one message defines does not change how the next is read', () => {
    const definition = `94d47240${hexOf(packr.pack(['a']))}05`
    for (const hexText of [definition, `9204${definition}`, `c704724091a161`])
      assertHarmless(fromHex(hexText))
    const [message, bytesOfIt] = supernodeVectors.welcome
    assert.deepEqual(decodeSupernodeMessage(fromHex(bytesOfIt)), message)
  })
})

describe('versions of the protocol that differ in their last fields', () => {
  test('fields beyond the known ones are passed over', () => {
    const decoded = decodePeerMessage(packr.pack([4, TASK, 'later', { even: 'later' }, [1]]))
    assert.deepEqual(decoded, { type: 'leave', taskId: TASK })
  })

  test('fields that may be null are null where they are missing', () => {
    const [layout] = supernodeVectors.layout
    const list = packr.unpack(encodeSupernodeMessage(layout)) as unknown[]
    const decoded = decodeSupernodeMessage(packr.pack(list.slice(0, -4)))
    const { inline, originRank, originReaders, prefixes } = decoded as SupernodeMessages['layout']
    assert.deepEqual([inline, originRank, originReaders, prefixes], [null, null, null, null])
    assertRefused(packr.pack(list.slice(0, -5)))
  })

  test('a peer that knows nothing of positions begins at the first byte; one without a reader says what such a peer says', () => {
    const [announce] = peerVectors.announce
    const withoutPosition = { ...announce, readFrom: null }
    const olderAnnounce = fromHex(peerVectors.announce[1].replace(/^9f/, '9e').replace(/ce00300000$/, ''))
    assert.deepEqual(plain(decodePeerMessage(olderAnnounce)), plain(withoutPosition))
    assert.deepEqual(hexOf(encodePeerMessage(withoutPosition)), hexOf(olderAnnounce))
    const [report] = peerVectors.report
    const withoutReader = { ...report, lookAhead: null, readFrom: null }
    const olderReport = fromHex(peerVectors.report[1].replace(/^9a/, '98').replace(/0807$/, ''))
    assert.deepEqual(plain(decodePeerMessage(olderReport)), plain(withoutReader))
    assert.deepEqual(hexOf(encodePeerMessage(withoutReader)), hexOf(olderReport))
  })

  test('a supernode that knows no prefix digests says what one says that knows of none', () => {
    const [layout, layoutHex] = supernodeVectors.layout
    const [digests, digestsHex] = supernodeVectors.digests
    const older = [
      [layout, layoutHex.replace(/^9f/, '9e').replace(/c4020304$/, '')],
      [digests, digestsHex.replace(/^95/, '94').replace(/c40107$/, '')],
    ] as const
    for (const [message, olderHex] of older) {
      const without = { ...message, prefixes: null }
      assert.equal(hexOf(encodeSupernodeMessage(without)), olderHex)
      assert.deepEqual(plain(decodeSupernodeMessage(fromHex(olderHex))), plain(without))
    }
  })
})
