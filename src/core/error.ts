/** The one table of expected failures. Code decides; the message is for people. */

type ErrorRow = {
  /** HTTP status where the failure is answered over HTTP. */
  httpStatus: number
  /** Exit status of a command that ends with this failure. */
  exitStatus: number
  /** Whether the same request may succeed later without a change by the user. */
  isRetryable: boolean
  /** What the user can do next. */
  hint: string
}

const row = (httpStatus: number, exitStatus: number, isRetryable: boolean, hint: string): ErrorRow => ({
  httpStatus,
  exitStatus,
  isRetryable,
  hint,
})

/**
 * Exit statuses by cause: 1 usage, 10–19 origin, 20–29 verification, 30–39 this host, 40–49 swarm, 50 internal, 130 cancelled.
 */
export const ERROR_TABLE = {
  USAGE: row(400, 1, false, 'See --help for the flags and their forms.'),
  CONFIG_INVALID: row(400, 1, false, 'Correct the named key in the configuration file.'),

  ORIGIN_NOT_FOUND: row(404, 10, false, 'Check the URL: the origin says that there is nothing there.'),
  ORIGIN_UNAUTHORIZED: row(
    401,
    11,
    false,
    "Give credentials that the origin accepts, e.g. --header 'Authorization: …'.",
  ),
  ORIGIN_REFUSED: row(
    502,
    12,
    false,
    'The origin answered with a status that has no content; see the message.',
  ),
  ORIGIN_UNREACHABLE: row(
    502,
    13,
    true,
    'Check host, port and network between the supernode and the origin.',
  ),
  ORIGIN_STALLED: row(504, 14, true, 'The origin stopped sending. Try again, or look at its load.'),
  ORIGIN_TRUNCATED: row(
    502,
    15,
    true,
    'The origin closed before the announced length. Try again, or check the proxy in front of it.',
  ),
  ORIGIN_CHANGED: row(
    409,
    16,
    true,
    'The content changed during the download. Run the command again to get the new version.',
  ),
  ORIGIN_PROTOCOL: row(502, 17, false, 'The origin does not speak valid HTTP; check scheme and port.'),
  ORIGIN_TLS: row(
    502,
    18,
    false,
    'The origin’s certificate was not accepted. Install its CA on the host that fetches.',
  ),
  ORIGIN_ERROR: row(502, 19, true, 'The origin reported a failure of its own. Try again later.'),

  DIGEST_MISMATCH: row(
    502,
    20,
    false,
    'The content is not what the digest says. Check --digest, then the origin.',
  ),

  OUTPUT_INVALID: row(400, 30, false, 'Name a file in a directory that you may write to.'),
  DISK_FULL: row(
    507,
    31,
    false,
    'Free space in the home or the output directory; verified pieces were kept, run the command again.',
  ),
  DISK_ERROR: row(500, 32, false, 'Look at the disk and at the permissions of the home directory.'),
  PEER_NOT_STARTED: row(503, 33, true, 'Look at logs/dfclient.log in the home directory.'),
  PEER_LOST: row(
    503,
    34,
    true,
    'The resident peer ended during the download. Run the command again; verified pieces are kept.',
  ),
  ADDRESS_IN_USE: row(
    500,
    35,
    false,
    'Another process has the port. Choose another port, or end that process.',
  ),

  SUPERNODE_UNREACHABLE: row(503, 40, true, 'Check --node and that the supernode runs.'),
  SUPERNODE_OVERLOADED: row(503, 41, true, 'Try again later, or add a supernode.'),
  SUPERNODE_FAILED: row(500, 42, true, 'Look at the log of the supernode.'),
  PROTOCOL_VERSION: row(426, 43, false, 'Upgrade the older of the two: dfget or supernode.'),
  PROTOCOL_INVALID: row(400, 44, false, 'The other side sent something that is not of this protocol.'),
  DOWNLOAD_STALLED: row(
    504,
    45,
    true,
    'No source made progress. Check the network between the hosts, then run the command again.',
  ),
  TOKEN_INVALID: row(403, 46, false, 'Only members of the swarm may fetch pieces.'),
  PIECE_NOT_HELD: row(404, 47, true, 'The source does not hold the piece.'),
  TASK_UNKNOWN: row(404, 48, true, 'The source does not know the task.'),
  SOURCE_BUSY: row(503, 49, true, 'The source has no upload slot free.'),
  SOURCE_GONE: row(502, 49, true, 'The source closed the connection or could not be reached.'),
  SOURCE_SLOW: row(504, 49, true, 'The source was slower than its deadline.'),

  CANCELLED: row(499, 130, true, 'Run the command again; verified pieces are kept.'),
  INTERNAL: row(500, 50, false, 'This is a defect. Please report it with the log.'),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof ERROR_TABLE

/** An expected failure: code from the table, a sentence that names the cause, and the table's hint. */
export class DragonflyError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'DragonflyError'
    this.code = code
  }

  get hint(): string {
    return ERROR_TABLE[this.code].hint
  }

  get exitStatus(): number {
    return ERROR_TABLE[this.code].exitStatus
  }

  get isRetryable(): boolean {
    return ERROR_TABLE[this.code].isRetryable
  }
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERROR_TABLE, value)
}

/** Wraps whatever was thrown; an unexpected failure becomes INTERNAL with its cause kept. */
export function toDragonflyError(thrown: unknown): DragonflyError {
  if (thrown instanceof DragonflyError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new DragonflyError('INTERNAL', message, { cause: thrown })
}
