/** Texts that were not saved when their editor went away without asking, as it does when a token is revoked. */

export interface Draft {
  readonly text: string
  readonly contentType: string
}

const kept = new Map<string, Draft>()

function nameOf(collection: string, key: string): string {
  return JSON.stringify([collection, key])
}

export function keepDraft(collection: string, key: string, draft: Draft): void {
  kept.set(nameOf(collection, key), draft)
}

/** Returns the draft of a member and forgets it. */
export function takeDraft(collection: string, key: string): Draft | null {
  const name = nameOf(collection, key)
  const draft = kept.get(name) ?? null
  kept.delete(name)
  return draft
}
