import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { type Generation, generationOf, NO_VALIDATOR } from '../src/core/generation.ts'
import type { PeerMessages, SupernodeMessages } from '../src/wire/control.ts'
import { type Answer, startLyingSupernode } from './support/lying-supernode.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { honestAnswer, type ScriptedRequest, startScriptedSource } from './support/scripted-source.ts'
import { sha256OfFile, startSystem, TEST_LIMITS, type TestSystem } from './support/system.ts'

const MIB = 1024 ** 2
const LENGTH_BYTES = 5 * MIB + 17
const PIECES = 6
const TEST = { timeout: 60_000 }
const GENERATION = 'ab'.repeat(8) as Generation

type Lie = (announce: PeerMessages['announce'], answer: Answer) => void

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()

function layout(
  { taskId }: PeerMessages['announce'],
  changes: Partial<SupernodeMessages['layout']> = {},
): SupernodeMessages['layout'] {
  return {
    type: 'layout',
    taskId,
    generation: GENERATION,
    lengthBytes: LENGTH_BYTES,
    pieceLength: MIB,
    token: 'token',
    digest: null,
    etag: null,
    lastModified: null,
    pieces: [],
    digests: new Uint8Array(0),
    inline: null,
    originRank: null,
    originReaders: null,
    prefixes: null,
    ...changes,
  }
}

const digests = (count: number) => Buffer.alloc(count * 32, 7)

/** Lies about form. The peer leaves such a supernode alone and gets the file by itself. */
const MALFORMED: Record<string, Lie> = {
  'a layout without pieces': (announce, { send }) => send(layout(announce, { pieceLength: 0 })),
  'a layout of more pieces than any task has': (announce, { send }) =>
    send(layout(announce, { lengthBytes: Number.MAX_SAFE_INTEGER, pieceLength: 1 })),
  'a layout with pieces beyond their limit': (announce, { send }) =>
    send(layout(announce, { pieceLength: 2 ** 40 })),
  'half a digest': (announce, { send }) =>
    send(layout(announce, { pieces: [0], digests: new Uint8Array(16) })),
  'digests of fewer pieces than it names': (announce, { send }) =>
    send(layout(announce, { pieces: [0, 1], digests: digests(1) })),
  'prefix digests of fewer pieces than it names': (announce, { send }) =>
    send(layout(announce, { pieces: [0, 1], digests: digests(2), prefixes: digests(1) })),
  'the digest of an impossible piece': (announce, { send }) =>
    send(layout(announce, { pieces: [Number.MAX_SAFE_INTEGER], digests: digests(1) })),
  'an assignment of a source that it has not named': (announce, { send }) => {
    send(layout(announce))
    send({ type: 'assign', taskId: announce.taskId, sources: [], pieces: [0, 77] })
  },
  'a source at port 0': (announce, { send }) => {
    send(layout(announce))
    send({ type: 'assign', taskId: announce.taskId, sources: ['5', '127.0.0.1', '0'], pieces: [0, 5] })
  },
  'a source with a line of HTTP in its name': (announce, { send }) => {
    send(layout(announce))
    const sources = ['5', '127.0.0.1\r\nX-Injected: 1', '80']
    send({ type: 'assign', taskId: announce.taskId, sources, pieces: [0, 5] })
  },
  'a message of 9 MiB': (_, { sendBytes }) => sendBytes(Buffer.alloc(9 * MIB)),
  'bytes that are no message': (_, { sendBytes }) => sendBytes(Buffer.from('HTTP/1.1 200 OK\r\n\r\n')),
  text: (_, { sendBytes }) => sendBytes('hello'),
  'an error code that there is not': ({ taskId }, { send }) =>
    send({ type: 'error', taskId, code: 'NO_SUCH_CODE', message: 'x' }),
  'a layout, and hangs up': (announce, { send, hangUp }) => {
    send(layout(announce))
    hangUp()
  },
  'only that it hangs up': (_, { hangUp }) => hangUp(),
  nothing: () => {},
  'a layout, and nothing more': (announce, { send }) => send(layout(announce)),
  'a layout, and the same assignments without end': (announce, { send }) => {
    const pieces = Array.from({ length: PIECES }, (_, piece) => piece)
    send(layout(announce, { pieces, digests: digests(PIECES) }))
    const sources = ['5', '127.0.0.1', '9']
    for (let i = 0; i < 100; i++) {
      send({ type: 'assign', taskId: announce.taskId, sources, pieces: pieces.flatMap(piece => [piece, 5]) })
    }
  },
}

describe('a supernode that lies', { concurrency: 4 }, () => {
  let origin: OriginServer
  let system: TestSystem
  let file: ServedFile
  before(async () => {
    origin = await startOriginServer()
    system = await startSystem()
    file = origin.serve('/file', { lengthBytes: LENGTH_BYTES, seed: 9 })
  })
  after(async () => {
    await system.stop()
    await origin.close()
  })

  /** Whoever believes in a version that the origin does not have says that the content has changed, at worst. */
  async function assertFileAllTheSame(node: string): Promise<void> {
    const peer = await system.startPeer({ limits: { ...TEST_LIMITS, silenceMs: 1_000, stallMs: 1_500 } })
    const download = system.download(peer, file.url, { nodes: [node] })
    const outcome = await download.catch((thrown: { code: string }) => thrown.code)
    if (typeof outcome === 'string') return assert.equal(outcome, 'ORIGIN_CHANGED')
    const expected = await origin.contentSha256(file.path)
    assert.equal(outcome.digest, expected)
    assert.equal(await sha256OfFile(outcome.path), expected)
  }

  for (const [name, lie] of Object.entries(MALFORMED)) {
    it(`sends ${name}: the peer gets the file all the same`, TEST, async t => {
      const supernode = await startLyingSupernode(lie)
      t.after(() => supernode.close())
      await assertFileAllTheSame(supernode.node)
      assert.ok(supernode.channelCount < 20, 'it is not called again and again')
    })
  }

  for (const [name, welcome] of Object.entries({
    'no welcome': null,
    'a welcome of another version': {
      type: 'welcome',
      version: 99,
      supernodeId: 'x',
      address: 'a:1',
    } as const,
    'a welcome from nowhere': { type: 'welcome', version: 1, supernodeId: 'x', address: ':::' } as const,
  })) {
    it(`sends ${name}: the peer gets the file all the same`, TEST, async t => {
      const supernode = await startLyingSupernode(() => {}, welcome)
      t.after(() => supernode.close())
      await assertFileAllTheSame(supernode.node)
    })
  }

  /** Other content, with digests and a source that fit it. */
  const forged = Buffer.alloc(LENGTH_BYTES, 'forged')
  const all = Array.from({ length: PIECES }, (_, piece) => piece)
  const digestsOf = (content: Uint8Array) =>
    Buffer.concat(all.map(piece => sha256(content.subarray(piece * MIB, (piece + 1) * MIB))))
  const prefixesOf = (content: Uint8Array) =>
    Buffer.concat(all.map(piece => sha256(content.subarray(0, (piece + 1) * MIB))))

  /** Assigns all pieces, from a source that answers as the test says. */
  async function startScene(
    t: TestContext,
    known: Partial<SupernodeMessages['layout']>,
    answer: (request: ScriptedRequest) => void,
  ) {
    const source = await startScriptedSource(answer)
    t.after(() => source.close())
    const supernode = await startLyingSupernode((announce, { send }) => {
      send(layout(announce, { pieces: all, ...known }))
      const sources = ['5', '127.0.0.1', String(source.port)]
      send({ type: 'assign', taskId: announce.taskId, sources, pieces: all.flatMap(piece => [piece, 5]) })
    })
    t.after(() => supernode.close())
    return { source, node: supernode.node }
  }

  for (const [how, prefixes] of [
    ['by digests', null],
    ['by digests and prefix digests', prefixesOf(forged)],
  ] as const) {
    it(
      `vouches for other bytes ${how}: who names the digest gets an error, and the file from elsewhere`,
      TEST,
      async t => {
        const known = { digests: digestsOf(forged), prefixes }
        const { source, node } = await startScene(t, known, request => honestAnswer(request, forged))
        const home = path.join(system.directory, `deceived ${how}`)
        const peer = await system.startPeer({ homeRoot: home })
        const digest = await origin.contentSha256(file.path)
        const lied = system.download(peer, file.url, { nodes: [node], digest })
        await assert.rejects(lied, { code: 'DIGEST_MISMATCH' })
        assert.equal(source.requests.length, PIECES)
        assert.deepEqual(await readdir(path.join(home, 'data')), [])
        const result = await system.download(peer, file.url, { nodes: [], digest })
        assert.equal(await sha256OfFile(result.path), digest)
        assert.equal(result.bytes.origin, LENGTH_BYTES)
      },
    )
  }

  it('names wrong prefix digests: the digests count, and nothing is fetched twice', TEST, async t => {
    const content = origin.expectedBytes(file.path)
    const known = { digests: digestsOf(content), prefixes: prefixesOf(forged) }
    const { source, node } = await startScene(t, known, request => honestAnswer(request, content))
    const peer = await system.startPeer()
    const digest = await origin.contentSha256(file.path)
    const result = await system.download(peer, file.url, { nodes: [node], digest })
    assert.equal(await sha256OfFile(result.path), digest)
    assert.deepEqual([source.requests.length, result.bytes.origin], [PIECES, 0])
  })

  it('names true prefix digests, but a source that lies: no wrong byte gets into the file', TEST, async t => {
    const content = origin.expectedBytes(file.path)
    const digest = await origin.contentSha256(file.path)
    const known = {
      generation: generationOf(
        { expectedDigest: digest, validator: NO_VALIDATOR, lengthBytes: null, nonce: '' },
        sha256,
      ),
      digests: digestsOf(content),
      prefixes: prefixesOf(content),
    }
    const { source, node } = await startScene(t, known, request => honestAnswer(request, forged))
    const peer = await system.startPeer({ limits: { ...TEST_LIMITS, silenceMs: 1_000, stallMs: 1_500 } })
    const result = await system.download(peer, file.url, { nodes: [node], digest })
    assert.equal(await sha256OfFile(result.path), digest)
    assert.ok(source.requests.length > 0, 'the source was asked')
    assert.equal(result.bytes.origin, LENGTH_BYTES)
  })

  const small = forged.subarray(0, 1_000)
  const inlines: Record<string, Partial<SupernodeMessages['layout']>> = {
    'that its digest does not fit': { digests: digests(1), inline: small },
    'that has no digest': { pieces: [], digests: digests(0), inline: small },
    'of another length': { lengthBytes: 2_000, digests: sha256(small), inline: small },
    'of a task that is not small': { lengthBytes: LENGTH_BYTES, digests: sha256(small), inline: small },
    'beyond the piece length': { pieceLength: 10, digests: sha256(small), inline: small },
    'of nothing': { digests: sha256(new Uint8Array(0)), inline: new Uint8Array(0) },
  }
  for (const [name, changes] of Object.entries(inlines)) {
    it(
      `sends inline content ${name}: an error says so, or the peer gets the file all the same`,
      TEST,
      async t => {
        const supernode = await startLyingSupernode((announce, { send }) =>
          send(layout(announce, { lengthBytes: small.length, pieces: [0], ...changes })),
        )
        t.after(() => supernode.close())
        const peer = await system.startPeer()
        const digest = await origin.contentSha256(file.path)
        const download = system.download(peer, file.url, { nodes: [supernode.node], digest })
        const outcome = await download.catch(thrown => thrown.code)
        if (typeof outcome === 'string') assert.match(outcome, /^(?:DIGEST_MISMATCH|PROTOCOL_INVALID)$/)
        else assert.equal(await sha256OfFile(outcome.path), digest)
      },
    )
  }
})
