import type { Committed } from '../../core/member.ts'
import type { LogPage } from './commit-feed.ts'
import type { GroupChange } from './group.ts'
import { changeOfFound, isWhole, type LineReads, largeValues, valueBytesOf } from './line-reads.ts'

/** What is read of a line to report commits that were not reported whole when they were made. */

const maxPageChanges = 500
const maxPageBytes = 4 * 1024 * 1024

/** See `LineSource`. */
export async function readLog(
  reads: LineReads,
  line: number,
  after: number,
  seenHead: number,
): Promise<LogPage> {
  const part = await reads.feed(line, { after, limit: maxPageChanges })
  let { head } = part
  const isGone = (at: number) => at > head || part.gaps.some((gap) => gap.after < at && at < gap.before)
  if (isGone(after) || isGone(seenHead) || (after > 0 && after < part.forgotten)) {
    return { isLost: true, changes: [], through: head, head, atEnd: true }
  }
  let bytes = 0
  const end = part.found.findIndex((one, i) => {
    bytes += valueBytesOf(one)
    return i > 0 && bytes > maxPageBytes
  })
  const found = end < 0 ? part.found : part.found.slice(0, end)
  const values = await largeValues(reads, found, (_, revision) => {
    head = Math.max(head, revision)
  })
  const changes = found.filter((one) => isWhole(one, values)).map((one) => changeOfFound(one, values))
  const through = end < 0 ? part.through : found.at(-1)!.record.revision
  return { isLost: false, changes, through, head, atEnd: end < 0 && part.atEnd && head === part.head }
}

/** Returns whether all changes of a group came with their values. */
export function areWhole(changes: readonly GroupChange[]): changes is readonly Committed[] {
  return changes.every(({ type }) => type !== 'renewedLarge')
}

/** Reads the values of renewed members, and leaves out those that have changed since. */
export async function wholeChanges(
  reads: LineReads,
  line: number,
  changes: readonly GroupChange[],
): Promise<Committed[]> {
  const whole: Committed[] = []
  for (const change of changes) {
    if (change.type !== 'renewedLarge') {
      whole.push(change)
      continue
    }
    const { collection, key, revision } = change
    const [now] = await reads.values(line, [{ collection, key }])
    const record = now?.record
    if (record == null || record.isTombstone || record.revision !== revision) continue
    const found = { collection, key, line, record }
    const renewed = changeOfFound(found, new Map([[found, now!.large]]))
    if (renewed.type === 'put') whole.push({ ...renewed, type: 'renew' })
  }
  return whole
}
