import { type SeenVersion, withVersion } from './seen-versions.ts'

/** What was seen of members since the page was opened: bounded, so that a page may stay open for weeks. */

const maxMembers = 20

export class Seen {
  /** Newest first. */
  all: readonly SeenVersion[] = $state.raw([])

  add(seen: SeenVersion): void {
    if (this.all.some(({ revision, type }) => revision === seen.revision && type === seen.type)) return
    this.all = withVersion(this.all, seen)
  }
}

const members = new Map<string, Seen>()

/** Returns what was seen of a member: also before another one was opened in between. */
export function seenOf(collection: string, key: string): Seen {
  const name = JSON.stringify([collection, key])
  const seen = members.get(name) ?? new Seen()
  members.delete(name)
  members.set(name, seen)
  if (members.size > maxMembers) members.delete(members.keys().next().value!)
  return seen
}
