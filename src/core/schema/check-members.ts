import { KvistError } from '../errors.ts'
import { maxCheckedBytes, maxCheckedMembers } from '../limits.ts'
import { everything, type ListQuery, type Page, type PageOptions } from '../list.ts'
import { nextTick } from '../next-tick.ts'
import type { PageMemory } from '../page-memory.ts'
import { requireSchema, violationsOf } from './schema.ts'
import type { Violation } from './violations.ts'

export interface MembersCheck {
  /** The text of the schema; null for that of the settings. */
  readonly schema: string | null
  /** How many members that break it are named. */
  readonly limit: number
  /** The key at which to go on; null for the first. */
  readonly from: string | null
}

export interface BrokenMember {
  readonly key: string
  readonly violations: readonly Violation[]
}

/** What became of a check: a part of it, unless `next` is null. */
export interface CheckedMembers {
  readonly checked: number
  readonly broken: readonly BrokenMember[]
  /** The key at which to go on; null after the last member. */
  readonly next: string | null
}

export interface MembersCheckOptions {
  readonly page: (query: ListQuery, options: PageOptions) => Promise<Page>
  /** The schema of the settings. */
  readonly current: string | null
  readonly collection: string
  readonly memory: PageMemory
}

/** Members that are checked before other requests are served. */
const checkedInTick = 100
const maxParts = maxCheckedMembers / checkedInTick

/**
 * Finds the members that break a schema, in the order of their keys, a part at a time: memory and time are bounded, whatever
 * is in the collection. Rejects with `invalid_schema`, and with `unprocessable` if there is no schema.
 */
export async function checkMembers(
  { schema, limit, from }: MembersCheck,
  { page, current, collection, memory }: MembersCheckOptions,
): Promise<CheckedMembers> {
  const text = schema ?? current
  if (text === null) throw new KvistError('unprocessable', `${collection} has no schema, and none was sent`)
  requireSchema(text)
  const broken: BrokenMember[] = []
  let next = from
  let checked = 0
  let bytes = 0
  let parts = 0
  do {
    const part = await page(
      { ...everything, order: 'asc', limit: checkedInTick, cursor: next, keysOnly: false },
      { memory, isPart: true },
    )
    for (const { key, value } of part.members) {
      if (broken.length === limit) return { checked, broken, next: key }
      checked++
      bytes += value.length
      const violations = violationsOf(text, value)
      if (violations !== null) broken.push({ key, violations })
    }
    next = part.next
    await nextTick()
  } while (next !== null && ++parts < maxParts && bytes < maxCheckedBytes)
  return { checked, broken, next }
}
