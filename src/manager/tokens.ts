import { randomBytes } from 'node:crypto'
import type { Kysely, Selectable } from 'kysely'
import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import type { TokenRequest, TokenView } from '../wire/manager-api.ts'
import { hashOf, isSecretOf, newSecret } from './secrets.ts'
import type { Tables } from './tables.ts'

type TokenRow = Selectable<Tables['tokens']>

/** Of the list; who has more should revoke, and ask for shorter lifetimes. */
const LISTED_MAX = 1_000
/** That which is over is forgotten after so long. */
const KEPT_MS = 30 * 86_400_000

/** Tokens are `<id>.<secret>`. The id finds the row and is no secret; of the secret only the hash is kept. */
export class Tokens {
  readonly #kysely: Kysely<Tables>
  readonly #clock: Clock

  constructor(kysely: Kysely<Tables>, clock: Clock) {
    this.#kysely = kysely
    this.#clock = clock
  }

  /** The token is told here and nowhere else. */
  async create(request: TokenRequest): Promise<{ token: string; view: TokenView }> {
    const now = this.#clock.wallNow()
    const secret = newSecret()
    const row: TokenRow = {
      id: randomBytes(8).toString('hex'),
      kind: request.kind,
      name: request.name,
      secret_hash: hashOf(secret),
      created_at: now,
      expires_at: now + request.lifetimeMs,
      revoked_at: null,
      uses: 0,
      uses_max: request.usesMax,
    }
    await this.#kysely
      .deleteFrom('tokens')
      .where('expires_at', '<', now - KEPT_MS)
      .execute()
    await this.#kysely.insertInto('tokens').values(row).execute()
    return { token: `${row.id}.${secret}`, view: this.#viewOf(row) }
  }

  /** The newest first. */
  async list(): Promise<TokenView[]> {
    const rows = await this.#kysely
      .selectFrom('tokens')
      .selectAll()
      .orderBy('created_at', 'desc')
      .orderBy('id')
      .limit(LISTED_MAX)
      .execute()
    return rows.map(row => this.#viewOf(row))
  }

  /** False where there is no such token. */
  async revoke(id: string): Promise<boolean> {
    const revoked = await this.#kysely
      .updateTable('tokens')
      .set({ revoked_at: this.#clock.wallNow() })
      .where('id', '=', id)
      .executeTakeFirst()
    return revoked.numUpdatedRows > 0n
  }

  /**
   * The id of a token that is good for `kind` now.
   * @throws DragonflyError CREDENTIAL_INVALID, or CREDENTIAL_REFUSED for one of the other kind
   */
  async check(token: string, kind: TokenRow['kind']): Promise<string> {
    const [id, secret = ''] = token.split('.', 2)
    const row = await this.#kysely.selectFrom('tokens').selectAll().where('id', '=', id).executeTakeFirst()
    // Only who has the secret learns what became of the token.
    if (!isSecretOf(secret, row?.secret_hash ?? null) || row === undefined)
      throw new DragonflyError('CREDENTIAL_INVALID', 'the token is not one of this cluster')
    if (row.kind !== kind)
      throw new DragonflyError(
        'CREDENTIAL_REFUSED',
        `this is a token to ${row.kind === 'join' ? 'join' : 'administer'}`,
      )
    const { state } = this.#viewOf(row)
    if (state === 'expired' || state === 'revoked')
      throw new DragonflyError(
        'CREDENTIAL_INVALID',
        `the token ${state === 'expired' ? 'has expired' : 'was revoked'}`,
      )
    return row.id
  }

  #viewOf(row: TokenRow): TokenView {
    const { id, kind, name, uses } = row
    const isUsedUp = row.uses_max !== null && uses >= row.uses_max
    const isExpired = row.expires_at <= this.#clock.wallNow()
    const state = row.revoked_at !== null ? 'revoked' : isExpired ? 'expired' : isUsedUp ? 'used-up' : 'valid'
    return {
      id,
      kind,
      name,
      state,
      uses,
      usesMax: row.uses_max,
      createdAt: row.created_at,
      expiresAt: row.expires_at,
    }
  }
}
