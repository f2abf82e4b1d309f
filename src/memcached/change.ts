import type { Database } from '../core/database.ts'
import type { Durability, Write } from '../core/engine.ts'
import { isExpired, type Member } from '../core/member.ts'
import { hasQuota } from '../core/settings.ts'
import { contentAfter, itemOf } from './contents.ts'
import type { Item, ItemWrite } from './decide.ts'

/** The outcome of a command and the write that it requires; null for none. */
export interface Decision<Outcome> {
  readonly outcome: Outcome
  readonly write: ItemWrite | 'delete' | null
}

/** A decision whose write is committed. */
export interface Decided<Outcome> {
  readonly outcome: Outcome
  /** The member and the time on which the decision is based. */
  readonly found: Item | null
  readonly nowMs: number
  /**
   * The revision of the write; 0 without one. A write replaced by a later change of the same batch gets a revision that
   * the member never has.
   */
  readonly revision: number
}

/**
 * Calls `decide` with the member of a key and commits the write that it returns. `decide` may be called again when the
 * member changed before the commit.
 */
export type MakeChange = <Outcome>(
  key: string,
  decide: (found: Item | null, nowMs: number) => Decision<Outcome>,
) => Promise<Decided<Outcome>>

/** A pending change, whatever the type of its outcome. */
interface Step {
  decide(found: Item | null, nowMs: number): ItemWrite | 'delete' | null
  done(revision: number): void
  failed(error: unknown): void
}

/** The revision of a member that is decided but not written yet: greater than any that a client can know. */
const comingRevision = Number.POSITIVE_INFINITY

/**
 * Returns the function that makes changes. Changes of one key run one after another. Those that arrive while a commit
 * is in progress are then decided together, each on the result of the one before, and only the last result is written:
 * so a shared counter counts as fast as many separate ones. Readers cannot see the intermediate states.
 */
export function startChanges(
  db: Pick<Database, 'settings' | 'update'>,
  collection: string,
  durability: Durability,
): MakeChange {
  const queues = new Map<string, Step[]>()

  async function drain(key: string, queue: Step[]): Promise<void> {
    while (queue.length > 0) {
      const steps: Step[] = []
      const alone = hasRules(db, collection)
      let fold: Fold | undefined
      try {
        const written = await db.update(
          { collection, key },
          (member, nowMs) => {
            if (!alone || steps.length === 0) steps.push(...queue.splice(0, alone ? 1 : queue.length))
            fold = foldSteps(steps, member, nowMs)
            return memberWrite(collection, key, fold)
          },
          durability,
        )
        reportDone(steps, fold, written?.revision ?? 0)
      } catch (error) {
        for (const step of steps.length > 0 ? steps : queue.splice(0)) step.failed(error)
      }
    }
    queues.delete(key)
  }

  return (key, decide) =>
    new Promise((resolve, reject) => {
      const step = stepOf(decide, resolve, reject)
      const queue = queues.get(key)
      if (queue !== undefined) {
        queue.push(step)
        return
      }
      const own = [step]
      queues.set(key, own)
      void drain(key, own)
    })
}

/**
 * Whether the collection has processes, a default time to live, a schema, or quotas. Then each change is committed alone,
 * because a process may change its value, and a process, a schema or a quota may reject it.
 */
export function hasRules(db: Pick<Database, 'settings'>, collection: string): boolean {
  const settings = db.settings(collection)
  const { processes, defaultTtlMs, schema } = settings
  return processes !== null || defaultTtlMs !== null || schema !== null || hasQuota(settings)
}

function stepOf<Outcome>(
  decide: (found: Item | null, nowMs: number) => Decision<Outcome>,
  resolve: (changed: Decided<Outcome>) => void,
  failed: (error: unknown) => void,
): Step {
  let last: Omit<Decided<Outcome>, 'revision'> | undefined
  return {
    decide(found, nowMs) {
      const { outcome, write } = decide(found, nowMs)
      last = { outcome, found, nowMs }
      return write
    },
    done(revision) {
      if (last === undefined) failed(new Error('nothing was decided'))
      else resolve({ ...last, revision })
    },
    failed,
  }
}

/** The result of several changes to a member. */
interface Fold {
  readonly left: Member | null
  /** For each change, whether it depends on unwritten changes, including its own. */
  readonly isComing: readonly boolean[]
  /** The index of the last change that writes; -1 without one. */
  readonly lastWriter: number
}

function foldSteps(steps: readonly Step[], found: Member | null, nowMs: number): Fold {
  const isComing: boolean[] = []
  let left = found
  let lastWriter = -1
  for (const [i, step] of steps.entries()) {
    const item = left === null || isExpired(left, nowMs) ? null : itemAt(left, nowMs)
    const write = step.decide(item, nowMs)
    if (write !== null) {
      left = write === 'delete' ? null : memberAfter(write, item === null ? null : left, item, nowMs)
      lastWriter = i
    }
    isComing.push(write !== null || left?.revision === comingRevision)
  }
  return { left, isComing, lastWriter }
}

function itemAt(member: Member, nowMs: number): Item {
  const item = itemOf(member)
  return member.revision === comingRevision ? { ...item, writtenAtMs: nowMs } : item
}

function memberAfter(write: ItemWrite, before: Member | null, item: Item | null, nowMs: number): Member {
  const { value, contentType } = contentAfter(write, before, item?.value ?? null)
  const { flags, expiresAtMs } = write
  const unknown = { key: '', createdAtMs: nowMs, clock: 0, node: '', revision: comingRevision }
  return { ...unknown, value, contentType, flags, expiresAtMs }
}

function memberWrite(collection: string, key: string, { left, lastWriter }: Fold): Write | null {
  if (lastWriter === -1) return null
  if (left === null) return { op: 'delete', collection, key, cause: 'delete' }
  const { value, contentType, flags, expiresAtMs } = left
  return { op: 'put', collection, key, value, contentType, flags, expiresAtMs }
}

function reportDone(steps: readonly Step[], fold: Fold | undefined, revision: number): void {
  for (const [i, step] of steps.entries()) {
    if (!fold?.isComing[i]) step.done(0)
    else step.done(i >= fold.lastWriter ? revision : revision - 1)
  }
}
