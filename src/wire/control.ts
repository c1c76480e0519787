import { Packr } from 'msgpackr'
import { DragonflyError } from '../core/error.ts'
import {
  bytes,
  digest,
  type FieldReader,
  type FieldsOf,
  flag,
  generation,
  orNull,
  taskId,
  text,
  textPairs,
  texts,
  uint,
  uints,
} from './fields.ts'

/**
 * The control channel between peer and supernode: one WebSocket, each binary message one msgpack list `[tag, ...fields]` in the order
 * of the tables below. Numbers of a list are packed flat: `assign.pieces` is `piece, source, piece, source, …`. A receiver ignores
 * fields beyond those it knows, so that fields can be added at the end; a field that is missing is null where it may be, else the
 * message is refused.
 */
export const PROTOCOL_VERSION = 1
export const MESSAGE_BYTES_MAX = 8 * 1024 * 1024

/** Of the last fields, up to `leftOff` are not sent where they are null, so that a message without them is what it was before them. */
type MessageTable = Record<
  string,
  { tag: number; leftOff?: number; fields: Record<string, FieldReader<unknown>> }
>

/** Peer → supernode. */
export const PEER_MESSAGES = {
  /** First message of a channel. `address` is empty where the supernode shall use the one it sees, `zone` null where it is not known. */
  hello: {
    tag: 1,
    fields: {
      version: uint,
      peerId: text,
      hostName: text,
      address: text,
      port: uint,
      uploadSlots: uint,
      zone: orNull(text),
    },
  },
  /**
   * Joins a task's swarm, and says what is held already. Idempotent. `held` is Bitmap's form for `generation`. `lookAhead` is the number of
   * pieces that a reader of unfinished content needs first, null without one, and `readFrom` the byte where that reader begins, null for
   * the first. `isSeedOnly` asks for pieces of the supernode alone, and offers none to others. `via` names the supernodes, by the ids of
   * their welcomes, that wait for the answer; null where a peer asks for itself.
   */
  announce: {
    tag: 2,
    leftOff: 1,
    fields: {
      taskId,
      url: text,
      headers: textPairs,
      tag: text,
      expectedDigest: orNull(digest),
      range: orNull(text),
      generation: orNull(generation),
      lengthBytes: orNull(uint),
      pieceLength: uint,
      held: bytes,
      lookAhead: orNull(uint),
      isSeedOnly: orNull(flag),
      via: orNull(texts),
      readFrom: orNull(uint),
    },
  },
  /**
   * What became of assignments: `done` = piece, source, milliseconds…; `failed` = piece, source, index into `codes`…; `released` = piece,
   * source… given up without blame; `slow` = pieces that want a second source; `fromOrigin` = pieces that are held without an
   * assignment, such as those from the origin. `lookAhead` and `readFrom`, as of the announce, where somebody reads from elsewhere since;
   * else null.
   */
  report: {
    tag: 3,
    leftOff: 2,
    fields: {
      taskId,
      done: uints,
      failed: uints,
      codes: texts,
      released: uints,
      slow: uints,
      fromOrigin: uints,
      lookAhead: orNull(uint),
      readFrom: orNull(uint),
    },
  },
  /** The peer neither wants nor offers the task any more. */
  leave: { tag: 4, fields: { taskId } },
} as const satisfies MessageTable

/** Supernode → peer. */
export const SUPERNODE_MESSAGES = {
  welcome: { tag: 64, fields: { version: uint, supernodeId: text, address: text } },
  /**
   * What the task is, and what is known of it. Sent again, with the news only, when the length or the digest becomes known.
   * `digests` holds 32 bytes for each of `pieces`, and `prefixes` 32 more, their prefix digests, or is null where not all are known.
   * `inline` is the whole content where that is small. `originRank` is the peer's place among those who may read the origin should the
   * supernode be gone, from 0, `originReaders` how many may do so at once.
   */
  layout: {
    tag: 65,
    leftOff: 1,
    fields: {
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
    },
  },
  /** Digests of pieces that became known; `prefixes` as in the layout. */
  digests: {
    tag: 66,
    leftOff: 1,
    fields: { taskId, pieces: uints, digests: bytes, prefixes: orNull(bytes) },
  },
  /** Fetch these: `pieces` = piece, source…; `sources` = new sources as id, address, port triples of text. */
  assign: { tag: 67, fields: { taskId, sources: texts, pieces: uints } },
  /** Forget these assignments: piece, source… */
  revoke: { tag: 68, fields: { taskId, pieces: uints } },
  /** A sign of life of an unfinished task: size of the swarm and bytes received from the origin so far. */
  status: { tag: 69, fields: { taskId, peers: uint, originBytes: uint } },
  /** The task fails; or, with an empty task id, the channel. `code` is of the error table. */
  error: { tag: 70, fields: { taskId: text, code: text, message: text } },
} as const satisfies MessageTable

type MessagesOf<Table extends MessageTable> = {
  [Name in keyof Table]: { type: Name } & FieldsOf<Table[Name]['fields']>
}

export type PeerMessages = MessagesOf<typeof PEER_MESSAGES>
export type SupernodeMessages = MessagesOf<typeof SUPERNODE_MESSAGES>
export type PeerMessage = PeerMessages[keyof PeerMessages]
export type SupernodeMessage = SupernodeMessages[keyof SupernodeMessages]

export const encodePeerMessage: (message: PeerMessage) => Uint8Array = encoderFor(PEER_MESSAGES)
export const encodeSupernodeMessage: (message: SupernodeMessage) => Uint8Array =
  encoderFor(SUPERNODE_MESSAGES)

/** @throws DragonflyError PROTOCOL_INVALID */
export const decodePeerMessage = decoderFor(PEER_MESSAGES) as (encoded: Uint8Array) => PeerMessage
/** @throws DragonflyError PROTOCOL_INVALID */
export const decodeSupernodeMessage = decoderFor(SUPERNODE_MESSAGES) as (
  encoded: Uint8Array,
) => SupernodeMessage

function packr(): Packr {
  return new Packr({
    useRecords: false,
    int64AsType: 'number',
    mapsAsObjects: true,
    encodeUndefinedAsNil: true,
  })
}

function encoderFor(table: MessageTable) {
  const packer = packr()
  const layouts = new Map(
    Object.entries(table).map(([name, { tag, leftOff = 0, fields }]) => {
      const names = Object.keys(fields)
      return [name, { tag, names, least: names.length - leftOff }]
    }),
  )
  return (message: { type: string }): Uint8Array => {
    const { tag, names, least } = layouts.get(message.type)!
    const fields = message as unknown as Record<string, unknown>
    let last = names.length
    while (last > least && fields[names[last - 1]] === null) last--
    const list = new Array<unknown>(last + 1)
    list[0] = tag
    for (let i = 0; i < last; i++) list[i + 1] = fields[names[i]]
    return packer.pack(list)
  }
}

function decoderFor(table: MessageTable) {
  const packer = packr()
  const rows = new Map(
    Object.entries(table).map(([name, row]) => [row.tag, { name, fields: Object.entries(row.fields) }]),
  )
  return (encoded: Uint8Array): unknown => {
    const list = unpack(packer, encoded)
    const row = Array.isArray(list) ? rows.get(list[0]) : undefined
    if (!row) throw new DragonflyError('PROTOCOL_INVALID', 'a message of unknown kind arrived')
    const message: Record<string, unknown> = { type: row.name }
    let at = 1
    for (const [name, read] of row.fields) message[name] = read((list as unknown[])[at++])
    return message
  }
}

function unpack(packer: Packr, encoded: Uint8Array): unknown {
  try {
    return packer.unpack(encoded)
  } catch (cause) {
    throw new DragonflyError('PROTOCOL_INVALID', 'a message is not msgpack', { cause })
  }
}
