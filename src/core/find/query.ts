import type { FieldPath } from '../../jsonpath/fields.ts'
import type { Selection } from '../list.ts'
import type { Member } from '../member.ts'
import type { KeyRange } from '../ranges.ts'
import type { FindOrder, Where } from './expressions.ts'

/** Finds members by what is in them: a selection of keys, a filter on values, an order, and a page of the result. */

/** Selects members by key and by value. */
export interface Filtered extends Selection {
  /** Null for all. */
  readonly where: Where | null
}

export interface FindQuery extends Filtered {
  /** Null for whatever costs least: the order of the index that serves the query, or that of the keys. */
  readonly order: FindOrder | null
  readonly limit: number
  /** `next` of an earlier page of the same query; null for the start. */
  readonly cursor: string | null
  /** Members are returned with an empty value. */
  readonly keysOnly: boolean
  /** Members are returned with an object of these fields as their value, each as it is stored; null for all of it. */
  readonly fields: readonly FieldPath[] | null
  /** Counts all that match, on whatever page. */
  readonly count: boolean
  /**
   * The ranges of keys that the viewer may read, in order; missing for all. No index serves such a query: its entries are
   * of all members, so positions and counts would show some of those out of reach.
   */
  readonly within?: readonly KeyRange[]
}

/** How a page was found. */
export interface Explanation {
  /** The name of the index that served; null for none. */
  readonly index: string | null
  /** Members that were read to find those of the page, and to count. */
  readonly examined: number
  readonly isSortedInMemory: boolean
}

/** A page without its members. */
export interface FoundSummary {
  /** The cursor of the next page; null when this is the last. */
  readonly next: string | null
  /** False where the limit of examined members ended the page, or the count, before all was examined. */
  readonly isComplete: boolean
  /** Of all that match; at least so many if the page is not complete. Null unless asked for. */
  readonly count: number | null
  readonly explanation: Explanation
}

export interface FoundPage extends FoundSummary {
  readonly members: Member[]
}
