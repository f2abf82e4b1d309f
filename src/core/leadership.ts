import type { WriteCommand } from './command.ts'
import type { Condition } from './condition.ts'
import type { Database } from './database.ts'
import { KvistError } from './errors.ts'

/** Whether this node takes writes of clients, or another one does: it may follow that node, or have been demoted. */
export interface Leadership {
  /** Null while this node takes writes. Otherwise the URL of the node that does, null where none is known. */
  leader(): { readonly url: string | null; readonly why: string } | null
}

/**
 * Throws unless this node takes writes: `not_leader` with the URL of the node that does, or `read_only` where none is
 * known. A write on the condition of a revision is `misdirected`: the revision may be this node's, and be that of
 * another version on the leader.
 */
export function requireLeader(leadership: Leadership, namesRevision = false): void {
  const leader = leadership.leader()
  if (leader === null) return
  const { url, why } = leader
  if (url === null) throw new KvistError('read_only', why)
  if (!namesRevision) throw new KvistError('not_leader', why, { leader: url })
  const detail = `${why}: read the member there and write there, because each server has revisions of its own`
  throw new KvistError('misdirected', detail, { leader: url })
}

function isOnRevision(condition: Condition | undefined): boolean {
  return Array.isArray(condition?.ifMatch) || Array.isArray(condition?.ifNoneMatch)
}

/**
 * Returns the store as clients use it: its writes are refused while another node takes them. Writes that other nodes
 * send are done, and so are those of kvist's own jobs, which use the store below this one.
 */
export function leaderWrites(db: Database, leadership: Leadership): Database {
  /** Returns a verb that rejects while this node takes no writes. It adds no promise to those of the store. */
  function guarded<Given extends readonly unknown[], Result>(
    verb: (...given: Given) => Promise<Result>,
    namesRevision: (...given: Given) => boolean = () => false,
  ): (...given: Given) => Promise<Result> {
    return (...given) =>
      leadership.leader() === null ? verb(...given) : refused(leadership, namesRevision(...given))
  }

  return {
    ...db,
    execute: guarded(db.execute, isCommandOnRevision),
    // The most frequent one: its arguments are not collected.
    put: (collection, key, content, condition, prepared) =>
      leadership.leader() === null
        ? db.put(collection, key, content, condition, prepared)
        : refused(leadership, isOnRevision(condition)),
    delete: guarded(db.delete, (_collection, _key, condition) => isOnRevision(condition)),
    patch: guarded(db.patch, (_ref, _patch, condition) => isOnRevision(condition)),
    touch: guarded(db.touch, (_ref, _expiresAtMs, condition) => isOnRevision(condition)),
    update: guarded(db.update),
    putAll: guarded(db.putAll),
    putUnmirrored: guarded(db.putUnmirrored),
    deleteUnmirrored: guarded(db.deleteUnmirrored),
    write: guarded(db.write),
    drop: guarded(db.drop),
    setSettings: guarded(db.setSettings, (_collection, _settings, condition) => isOnRevision(condition)),
  }
}

function isCommandOnRevision({ checks = [], operations }: WriteCommand): boolean {
  return (
    checks.some(({ revision }) => revision !== null) ||
    operations.some(({ condition }) => isOnRevision(condition))
  )
}

async function refused(leadership: Leadership, namesRevision: boolean): Promise<never> {
  requireLeader(leadership, namesRevision)
  throw new KvistError('conflict', 'the role of this node has just changed')
}
