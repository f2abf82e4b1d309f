import type { Outcome } from './content.ts'
import type { Written } from './engine.ts'
import type { Member } from './member.ts'
import { outcomesOf, type Plan } from './plan.ts'

/**
 * The outcomes of a command, recorded in the command's own commit, before its revisions are known. A negative revision
 * or clock is relative to that of the record, which is put right after the puts and deletes of the command. Revisions
 * and stamps within a commit are consecutive (engine.ts, promise 3).
 */
export type RecordedOutcome = Outcome

/**
 * Returns the outcomes to record for a plan. The plan must have read every member of the command, as a command with
 * `alongside` does.
 */
export function recordOutcomes(plan: Plan, nowMs: number): RecordedOutcome[] {
  const { operations, writes } = plan
  const found: (Member | null)[] = writes.map(() => null)
  for (const { current, writeIndex } of operations.toReversed()) {
    // The first operation of a write found the member that the write replaces; a later one only changes the write.
    if (writeIndex !== -1) found[writeIndex] = current
  }
  const written = writes.map(() => nothingDone)
  let behind = 1
  for (let i = writes.length - 1; i >= 0; i--) {
    const { op } = writes[i]!
    const current = found[i] ?? null
    // A delete of a missing member does nothing; the outcome of a renewal is known from the member.
    if (op === 'put' || (op === 'delete' && current !== null))
      written[i] = newVersion(behind++, current, nowMs)
  }
  return outcomesOf(plan, written)
}

const nothingDone: Written = { revision: 0, createdAtMs: 0, clock: 0, existed: false }

function newVersion(behind: number, current: Member | null, nowMs: number): Written {
  // A member that the command itself created has no creation time yet.
  const createdAtMs = current === null || current.createdAtMs === 0 ? nowMs : current.createdAtMs
  return { revision: -behind, clock: -behind, createdAtMs, existed: current !== null }
}

/** Returns the outcomes with their real revisions and stamps. `record` is the version that the record got. */
export function replayOutcomes(
  recorded: readonly RecordedOutcome[],
  record: { readonly revision: number; readonly clock: number },
): Outcome[] {
  return recorded.map((outcome) => {
    const { revision, clock } = outcome
    if (revision >= 0) return outcome
    return { ...outcome, revision: record.revision + revision, clock: record.clock + clock }
  })
}
