import type { Engine } from './engine.ts'
import { type Committed, keyOf, type Member, revisionOf } from './member.ts'

/** Keeps what is derived from the members of a collection of kvist's own up to date in memory. */
export interface Follower {
  /** Takes over what was committed. */
  onCommit(changes: readonly Committed[]): void
  /** Takes over what is stored; what is committed meanwhile is newer and stays. Loads go one after the other. */
  load(engine: Pick<Engine, 'scan'>): Promise<void>
}

/** The derived data. */
export interface Followed {
  readonly collection: string
  /** Takes over a member; null when it is gone. The revision is that of the change; null if that is not known. */
  take(key: string, member: Member | null, revision: number | null): void
  /** The keys whose members were taken over and are not gone. */
  keys(): Iterable<string>
}

export function follower({ collection, take, keys }: Followed): Follower {
  /** The keys that were committed during a load; null while none is running. */
  let committed: Set<string> | null = null
  let lastLoad: Promise<void> = Promise.resolve()

  return {
    onCommit(changes) {
      for (const change of changes) {
        if (change.collection !== collection) continue
        committed?.add(keyOf(change))
        take(keyOf(change), 'member' in change ? change.member : null, revisionOf(change))
      }
    },
    load(engine) {
      // What an earlier load has read may be older than what a later one has.
      lastLoad = lastLoad.catch(() => {}).then(() => loadAll(engine))
      return lastLoad
    },
  }

  async function loadAll(engine: Pick<Engine, 'scan'>): Promise<void> {
    const meanwhile = new Set<string>()
    committed = meanwhile
    try {
      const gone = new Set(keys())
      let from: string | null = null
      do {
        const page = await engine.scan({
          collection,
          from,
          to: null,
          order: 'asc',
          keysOnly: false,
          limit: 1000,
        })
        for (const member of page.members) {
          gone.delete(member.key)
          if (!meanwhile.has(member.key)) take(member.key, member, member.revision)
        }
        from = page.next
      } while (from !== null)
      for (const key of gone) if (!meanwhile.has(key)) take(key, null, null)
    } finally {
      committed = null
    }
  }
}
