import * as z from 'zod'
import { isHostPort } from '../core/host-port.ts'
import { hasControlCharacter } from '../core/text.ts'

/**
 * The managing node's API: JSON over HTTP under `/api/v1`. Bodies are strict: an unknown field is an error. Errors are
 * `{"code":…,"message":…,"hint":…}` of the one error table, with its HTTP status.
 */

export const API_PREFIX = '/api/v1'
/** Of one answer: those that a client is told of, and the parents that a supernode is. */
export const LOCATED_SUPERNODES_MAX = 1_024
export const LOCATED_MANAGERS_MAX = 64
/** Of a request's body. */
export const BODY_BYTES_MAX = 64 * 1024

/** Of one line, also empty. What holds a control character is no name, and not every database can keep it. */
const line = (max: number) =>
  z
    .string()
    .max(max)
    .refine(written => !hasControlCharacter(written), 'no line break or other control character')
const text = line(256).min(1)
const host = z.string().min(1).max(253)
const port = z.int().min(1).max(65_535)
const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER)
const address = z.strictObject({ host, port }).refine(isHostPort, 'a name or an IP address, and a port')

/** Where a host is, as the armory says. What is not known is null. */
export const hostPlace = z.strictObject({
  securityDomain: text.nullable(),
  idc: text.nullable(),
  location: text.nullable(),
  rack: text.nullable(),
})

/** `POST /locate`: a client asks where it is and whom it may ask. */
export const locateRequest = z.strictObject({
  hostName: line(253),
  /** Its own addresses, as text; beside these the manager looks at the one that it sees. */
  addresses: z.array(line(64)).max(16),
  version: line(64),
})

const locatedSupernode = z.strictObject({
  id: text,
  /** Of the control channel. */
  control: address,
})

/**
 * Supernodes in groups, the nearest first; those of one group are equals, among whom a task's rendezvous hash decides. `zone` is what the
 * client says of itself to supernodes: peers of one zone exchange pieces freely, and across zones a piece travels once.
 */
export const locateAnswer = z.strictObject({
  place: hostPlace,
  /** False where the armory does not know the host, so that the default place stands here. */
  isKnown: z.boolean(),
  zone: text.nullable(),
  groups: z.array(
    z.strictObject({
      nearness: z.enum(['idc', 'location', 'domain', 'elsewhere']),
      supernodes: z.array(locatedSupernode),
    }),
  ),
  /** All managing nodes that are known, `http(s)://host:port`. */
  managers: z.array(z.string().max(512)),
  /** After so long the client asks again, in the background. */
  refreshMs: count,
})

/** `POST /join`: a supernode becomes a member of the cluster. */
export const joinRequest = z.strictObject({ token: text, supernodeId: text })
export const joinAnswer = z.strictObject({
  /** Of this supernode alone: `Authorization: Bearer …` of its leases. */
  credential: text,
  /** Of the cluster, 64 hex digits: supernodes derive the tokens of pieces from it, so that each accepts those of the others. */
  clusterSecret: z.string().regex(/^[0-9a-f]{64}$/),
})

/** `PUT /supernodes/{id}/lease`: a supernode is there, and for how much longer it is taken for granted. */
export const leaseRequest = z.strictObject({
  control: address,
  pieces: address,
  hostName: line(253),
  version: line(64),
  load: z.strictObject({
    peers: count,
    tasks: count,
    sentBytesPerSecond: count,
    /** Bytes per second; null is none. */
    uploadLimit: count.nullable(),
  }),
})

export const leaseAnswer = z.strictObject({
  leaseMs: count,
  /** Renew after so long: a third of the lease. */
  renewMs: count,
  isDraining: z.boolean(),
  place: hostPlace,
  zone: text.nullable(),
  /** From whom to fill instead of from the origin, equals, among whom a task's rendezvous hash decides; none: from the origin. */
  parents: z.array(locatedSupernode),
})

/** One of `GET /supernodes`. */
const supernodeView = z.strictObject({
  id: text,
  control: address,
  pieces: address,
  hostName: z.string(),
  version: z.string(),
  place: hostPlace,
  zone: text.nullable(),
  load: leaseRequest.shape.load,
  state: z.enum(['active', 'draining', 'expired']),
  /** Milliseconds since 1970. */
  renewedAt: count,
  expiresAt: count,
})

export const supernodeList = z.strictObject({ supernodes: z.array(supernodeView) })

/** `PUT /supernodes/{id}/drain`. */
export const drainRequest = z.strictObject({ isDraining: z.boolean() })

/** `POST /tokens`; no lifetime is longer than ten years. */
export const tokenRequest = z.strictObject({
  kind: z.enum(['join', 'admin']),
  name: text,
  lifetimeMs: z
    .int()
    .min(1_000)
    .max(10 * 365 * 86_400_000),
  /** How many supernodes may join with it; null is any number. */
  usesMax: z.int().min(1).max(1_000_000).nullable(),
})

/** What is told of a token after it was made; the token itself is told once, in the answer to `POST /tokens`. */
const tokenView = z.strictObject({
  id: text,
  kind: z.enum(['join', 'admin']),
  name: text,
  state: z.enum(['valid', 'expired', 'revoked', 'used-up']),
  uses: count,
  usesMax: count.nullable(),
  createdAt: count,
  expiresAt: count,
})
export const tokenAnswer = z.strictObject({ token: text, view: tokenView })
export const tokenList = z.strictObject({ tokens: z.array(tokenView) })

/** One line of the armory: hosts whose address is in `cidr`, or whose name matches `hostName` (`*` stands for any text). */
export const armoryEntry = z
  .strictObject({
    cidr: line(64).nullable(),
    hostName: line(253).nullable(),
    ...hostPlace.shape,
  })
  .refine(entry => (entry.cidr === null) !== (entry.hostName === null), 'one of cidr and hostName')

/** As the database has it, by a number that is never given again. */
export const storedArmoryEntry = z.strictObject({ id: count, entry: armoryEntry })
/** `GET /armory/entries?after=…`: by number, a part at a time; `next` is the `after` of the next part, null with the last one. */
export const armoryPage = z.strictObject({ entries: z.array(storedArmoryEntry), next: count.nullable() })
/** `POST /armory/entries`: all of them or none. */
export const armoryAddition = z.strictObject({ entries: z.array(armoryEntry).min(1).max(256) })
export const armoryAdded = z.strictObject({ entries: z.array(storedArmoryEntry) })

/** `GET /overview`: the cluster in numbers. */
export const overview = z.strictObject({
  version: z.string(),
  database: z.enum(['sqlite', 'postgres']),
  managers: z.array(z.string().max(512)),
  supernodes: z.strictObject({ active: count, draining: count, expired: count }),
  /** Sums over the supernodes that are active or drain. */
  load: z.strictObject({ peers: count, tasks: count, sentBytesPerSecond: count }),
  zones: z.array(z.strictObject({ zone: text.nullable(), supernodes: count })),
  /** Clients' first contacts and refreshes that this managing node answered since it started, and those whose host nobody knew. */
  locates: z.strictObject({ known: count, unknown: count }),
})

export const apiError = z.strictObject({ code: z.string(), message: z.string(), hint: z.string() })

export type HostPlace = z.infer<typeof hostPlace>
export type LocateRequest = z.infer<typeof locateRequest>
export type LocateAnswer = z.infer<typeof locateAnswer>
export type LocatedSupernode = z.infer<typeof locatedSupernode>
export type JoinRequest = z.infer<typeof joinRequest>
export type JoinAnswer = z.infer<typeof joinAnswer>
export type LeaseRequest = z.infer<typeof leaseRequest>
export type LeaseAnswer = z.infer<typeof leaseAnswer>
export type SupernodeView = z.infer<typeof supernodeView>
export type Overview = z.infer<typeof overview>
export type TokenView = z.infer<typeof tokenView>
export type TokenRequest = z.infer<typeof tokenRequest>
export type ArmoryEntry = z.infer<typeof armoryEntry>
