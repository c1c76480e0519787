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
 * Exit statuses by cause: 1 usage, configuration and output, 2 a defect, 10–19 origin, 20–29 verification, 30–39 this host, 40–49 swarm,
 * 50–59 managing node, 130 cancelled. 77–80 are those of dfget 1.x for what it told apart; where it had only 80, the cause decides.
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
    'The origin’s certificate was not accepted. Name its authority with --cacerts.',
  ),
  ORIGIN_BLOCKED: row(
    403,
    12,
    false,
    'Serve it on another port: this one is for another protocol than HTTP.',
  ),
  ORIGIN_LOOP: row(508, 12, false, 'Name the server that is meant, not the dfdaemon that asks it.'),
  ORIGIN_ERROR: row(502, 19, true, 'The origin reported a failure of its own. Try again later.'),

  DIGEST_MISMATCH: row(
    502,
    20,
    false,
    'The content is not what the digest says. Check --digest or --md5, then the origin.',
  ),

  OUTPUT_INVALID: row(400, 1, false, 'Name a file in a directory that you may write to.'),
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
  PEER_FINISHING: row(410, 36, true, 'The resident peer ends for a newer version. Run the command again.'),
  PEER_ABSENT: row(503, 37, true, 'A download starts the resident peer, and so does dfget server.'),
  ADDRESS_IN_USE: row(
    500,
    35,
    false,
    'Another process has the port. Choose another port, or end that process.',
  ),

  SUPERNODE_UNREACHABLE: row(503, 40, true, 'Check --node and that the supernode runs.'),
  SUPERNODE_OVERLOADED: row(503, 41, true, 'Try again later, or add a supernode.'),
  SUPERNODE_DECLINED: row(
    503,
    41,
    true,
    'Another supernode takes it: name more than one, or let the managing node say which there are.',
  ),
  SUPERNODE_FAILED: row(500, 42, true, 'Look at the log of the supernode.'),
  PROTOCOL_VERSION: row(426, 43, false, 'Upgrade the older of the two: dfget or supernode.'),
  PROTOCOL_INVALID: row(400, 44, false, 'The other side sent something that is not of this protocol.'),
  DOWNLOAD_STALLED: row(
    504,
    45,
    true,
    'No source made progress. Check the network between the hosts, then run the command again.',
  ),
  DOWNLOAD_SLOW: row(
    504,
    45,
    true,
    'Look at the sources and the network; or give --minrate less. Verified pieces are kept.',
  ),
  TOKEN_INVALID: row(403, 46, false, 'Only members of the swarm may fetch pieces.'),
  PIECE_NOT_HELD: row(404, 47, true, 'The source does not hold the piece.'),
  TASK_UNKNOWN: row(404, 48, true, 'The source does not know the task.'),
  SOURCE_BUSY: row(503, 49, true, 'The source has no upload slot free.'),
  SOURCE_GONE: row(502, 49, true, 'The source closed the connection or could not be reached.'),
  SOURCE_SLOW: row(504, 49, true, 'The source was slower than its deadline.'),

  MANAGER_UNREACHABLE: row(503, 50, true, 'Check the address of the managing node, and that it runs.'),
  MANAGER_OVERLOADED: row(503, 51, true, 'Try again in a few seconds.'),
  DATABASE_FAILED: row(503, 52, true, 'Look at the database of the managing node and at its log.'),
  CREDENTIAL_INVALID: row(
    401,
    53,
    false,
    'Give a token that is valid: manager token create, on the host of the managing node.',
  ),
  CREDENTIAL_REFUSED: row(403, 54, false, 'This token or credential is for something else.'),
  REQUEST_INVALID: row(400, 55, false, 'GET /api/v1/openapi.json says what the managing node takes.'),
  REQUEST_TOO_LARGE: row(413, 56, false, 'Send less at once.'),
  REQUEST_NOT_FOUND: row(404, 57, false, 'GET /api/v1/openapi.json says what there is.'),

  HOME_UNUSABLE: row(500, 77, false, 'Give --home a directory that belongs to this account alone.'),
  USER_UNKNOWN: row(500, 78, false, 'Set HOME, or give --home a directory.'),
  REGISTRATION_REFUSED: row(
    503,
    79,
    true,
    'Look at the supernodes, or allow the origin as a way out: drop --notbs.',
  ),
  DOWNLOAD_TIMEOUT: row(
    504,
    80,
    true,
    'Run the command again, verified pieces are kept; or give --timeout more time.',
  ),

  CANCELLED: row(499, 130, true, 'Run the command again; verified pieces are kept.'),
  INTERNAL: row(500, 2, false, 'This is a defect. Please report it with the log.'),
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
