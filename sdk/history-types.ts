/** A page of the versions of a member, newest first. */
export interface History {
  readonly versions: readonly ArchivedVersion[]
  /** `before` of the next page; null at the end. */
  readonly next: number | null
}

/** A change of a member that the archive has. */
export interface ArchivedVersion {
  readonly revision: number
  /** When it was written; null for the version in the oldest base backup. */
  readonly at: string | null
  /** With `renew` the member got another expiry and kept its version. */
  readonly type: 'put' | 'renew' | 'delete' | 'expire'
  /** Bytes of the value; missing for removals, like what follows. */
  readonly bytes?: number
  readonly content_type?: string
  readonly expires_at?: string | null
  readonly value?: unknown
  readonly value_text?: string
  readonly value_base64?: string
}
