import { picker } from '../../jsonpath/fields.ts'
import type { Engine } from '../engine.ts'
import { keyAfter } from '../keys.ts'
import { maxExaminedMembers } from '../limits.ts'
import { isSelected, keyRange } from '../list.ts'
import type { Member } from '../member.ts'
import type { PageMemory } from '../page-memory.ts'
import type { StaleView } from '../stale-view.ts'
import type { UsableIndex } from './current-indexes.ts'
import type { FindCursor } from './cursor.ts'
import { IndexScan } from './index-scan.ts'
import { KeyScan } from './key-scan.ts'
import type { FindPlan } from './plan.ts'
import type { FindQuery } from './query.ts'

/** What finding needs of the store. */
export interface FindSource {
  readonly engine: Engine
  /** Returns the indexes of a collection that have all of its members. */
  readonly indexesOf: (collection: string) => readonly UsableIndex[]
  /** Resolves when `indexesOf` knows what it did not when a scan of entries was refused, where other servers write to the store. */
  readonly refresh?: (stale: StaleView) => Promise<void>
}

/** A query under way. */
export interface Search {
  readonly source: FindSource
  readonly collection: string
  readonly query: FindQuery
  readonly nowMs: number
  readonly memory: PageMemory
  /** See `PageOptions.isPart`. */
  readonly isPart: boolean
}

/** Returns what selects the members of a query among those of its range of keys. */
export function acceptor({ query, nowMs }: Search): (member: Member) => boolean {
  const { where } = query
  if (where === null) return (member) => isSelected(member, query, nowMs)
  return (member) => isSelected(member, query, nowMs) && where.matches(member.value)
}

/** As `acceptor`, of members that match the filter on values. */
export function matchAcceptor({ query, nowMs }: Search): (member: Member) => boolean {
  return (member) => isSelected(member, query, nowMs)
}

/** Returns what shows members as the query does. */
export function presenter({ keysOnly, fields }: FindQuery): (member: Member) => Member {
  if (keysOnly) return (member) => (member.value === '' ? member : { ...member, value: '' })
  if (fields === null) return (member) => member
  const picked = picker(fields)
  return (member) => ({
    ...member,
    value: typeof member.value === 'string' ? picked(member.value) : '{}',
  })
}

/** Returns the members that may be selected, in the order of a plan, from a cursor on; `most` of an index. */
export function candidates(
  { source, collection, query, memory, isPart }: Search,
  { by, order }: FindPlan<UsableIndex>,
  cursor: FindCursor | null,
  wanted: number,
  most = maxExaminedMembers,
): KeyScan | IndexScan {
  const { engine } = source
  const { within, keysOnly, where, match } = query
  const range = keyRange(query)
  if (by.index !== null)
    return new IndexScan({
      engine,
      collection,
      range: by,
      ranges: where?.ranges ?? [],
      isRanges: where?.isRanges ?? true,
      order,
      keys: range,
      cursor,
      wanted,
      most,
      memory,
      isPart,
    })
  return new KeyScan({
    engine,
    collection,
    ranges: within === undefined ? [range] : within,
    order: by.order,
    cursor: keyOf(cursor, by.order),
    keysOnly: keysOnly && where === null && match === null && typeof order === 'string',
    wanted,
    memory,
    isPart,
  })
}

/** Returns the bound of a scan by key that goes on after a cursor. */
function keyOf(cursor: FindCursor | null, order: 'asc' | 'desc'): string | null {
  if (cursor === null) return null
  if (cursor.by === 'key') return cursor.key
  return order === 'asc' ? keyAfter(cursor.position.key) : cursor.position.key
}
