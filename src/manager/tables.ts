import type { Generated } from 'kysely'

/**
 * The tables, the same in SQLite and PostgreSQL. Times are milliseconds since 1970, claims are 0 or 1, and what is never searched by its
 * parts is JSON in a text.
 */
export type Tables = {
  supernodes: {
    id: string
    credential_hash: string
    /** By which token it joined last. */
    token_id: string
    joined_at: number
    is_draining: number
    /** 0 before its first lease. */
    renewed_at: number
    expires_at: number
    zone: string | null
    /** Of `LeaseRecord`; empty before its first lease. */
    lease: string
  }
  tokens: {
    id: string
    kind: 'join' | 'admin'
    name: string
    secret_hash: string
    created_at: number
    expires_at: number
    revoked_at: number | null
    uses: number
    uses_max: number | null
  }
  settings: { name: string; value: string }
  armory_entries: {
    id: Generated<number>
    cidr: string | null
    host_name: string | null
    security_domain: string | null
    idc: string | null
    location: string | null
    rack: string | null
  }
  managers: { url: string; expires_at: number }
}
