/**
 * The clients of a cache node, by the `Authorization` that they send. The origin alone knows what a token is good for, so a
 * response is served again only to those to whom the origin has given it, and only while the origin has accepted their token
 * a moment ago.
 */
export class Credential {
  /** When the request was sent that the origin accepted last. */
  acceptedAtMs = Number.NEGATIVE_INFINITY
  /** A request that will show whether the origin still accepts it is on its way. */
  isBeingChecked = false
}

const maxCredentials = 4096
/** A token that was accepted longer ago is checked with the next request. */
const recheckMs = 500
/** A token that was accepted longer ago gets nothing before it is checked. */
const maxUncheckedMs = 1000

export class Credentials {
  private known = new Map<string, Credential>()

  get(authorization: string): Credential | undefined {
    return this.known.get(authorization)
  }

  /** Notes that the origin accepted a request that was sent at a time. */
  accepted(authorization: string, sentAtMs: number): Credential {
    let credential = this.known.get(authorization)
    if (credential === undefined) {
      // Others could fill the memory with texts that an open origin accepts.
      if (this.known.size >= maxCredentials) this.known = new Map()
      credential = new Credential()
      this.known.set(authorization, credential)
    }
    credential.acceptedAtMs = Math.max(credential.acceptedAtMs, sentAtMs)
    return credential
  }

  /** Notes that the origin refused the token: what was held for it is out of its reach. */
  refused(authorization: string): void {
    this.known.delete(authorization)
  }
}

/** Whether the client may be served without asking the origin. */
export function isAccepted({ acceptedAtMs, isBeingChecked }: Credential, nowMs: number): boolean {
  const ageMs = nowMs - acceptedAtMs
  return ageMs < recheckMs || (isBeingChecked && ageMs < maxUncheckedMs)
}
