import { fieldOf } from '../../jsonpath/fields.ts'
import { type Order, parseOrder } from '../../jsonpath/order.ts'
import { encodeValue } from '../indexes/encode-value.ts'
import { sortKey } from '../keys.ts'
import { maxSortedBytes } from '../limits.ts'
import type { Member } from '../member.ts'
import type { FindOrder } from './expressions.ts'

/** Orders members by fields of their values, as the entries of an index are ordered. */

/** The position of a member in an order. Positions are bounded, however large the values are. */
export interface SortPosition {
  /** The encoded value of each field (indexes/encode-value.ts), as a `sortKey`. */
  readonly texts: readonly string[]
  readonly key: string
  /** The `sortKey` of the key. */
  readonly sortKey: string
}

/** The bytes of the fields of a position together that are told apart, as in the entries of indexes. */
const maxPositionBytes = 160

/** The bytes of each of so many values that are told apart. */
function maxValueBytes(fields: number): number {
  return Math.floor(maxPositionBytes / fields)
}

/** Returns an order as a text; equal orders have the same. */
export function orderText(order: FindOrder): string {
  if (typeof order === 'string') return order
  return order.map(({ field, descending }) => (descending ? '-' : '') + field.text).join(',')
}

/** Parses what `orderText` returned. */
export function orderOfText(text: string): FindOrder {
  return text === 'asc' || text === 'desc' ? text : parseOrder(text)
}

function fieldsOf(order: FindOrder): Order {
  return typeof order === 'string' ? [] : order
}

/** Returns a function that returns the position of a member. A value that is not JSON has no fields. */
export function positioner(order: FindOrder): (member: Pick<Member, 'key' | 'value'>) => SortPosition {
  const fields = fieldsOf(order)
  const maxBytes = maxValueBytes(fields.length)
  return ({ key, value }) => ({
    texts: fields.map(({ field }) => {
      const json = typeof value === 'string' ? fieldOf(value, field) : undefined
      return sortKey(encodeValue(json, maxBytes).text)
    }),
    key,
    sortKey: sortKey(key),
  })
}

/** Returns what compares positions. Equal values come by key, in the direction of the last field. */
export function comparer(order: FindOrder): (a: SortPosition, b: SortPosition) => number {
  const signs = fieldsOf(order).map(({ descending }) => (descending ? -1 : 1))
  const last = signs.at(-1) ?? (order === 'desc' ? -1 : 1)
  return (a, b) => {
    for (let i = 0; i < signs.length; i++) {
      const [one, other] = [a.texts[i]!, b.texts[i]!]
      if (one !== other) return one < other ? -signs[i]! : signs[i]!
    }
    if (a.sortKey === b.sortKey) return 0
    return a.sortKey < b.sortKey ? -last : last
  }
}

/** Keeps the first positions of those that it is given, in bounded memory. */
export class FirstPositions {
  private readonly most: number
  private readonly compare: (a: SortPosition, b: SortPosition) => number
  private positions: SortPosition[] = []
  private bytes = 0
  /** Later positions are not among the first. */
  private bound: SortPosition | null = null

  constructor(most: number, compare: (a: SortPosition, b: SortPosition) => number) {
    this.most = most
    this.compare = compare
  }

  /** Returns false if there is no memory for it. */
  add(position: SortPosition): boolean {
    if (this.bound !== null && this.compare(position, this.bound) > 0) return true
    this.positions.push(position)
    this.bytes += bytesOf(position)
    const isFull = this.bytes > maxSortedBytes
    if (isFull || this.positions.length >= 2 * this.most + keptBeside) this.prune()
    return this.bytes <= maxSortedBytes
  }

  /** Returns the first positions, in order. */
  sorted(): readonly SortPosition[] {
    this.prune()
    return this.positions
  }

  private prune(): void {
    this.positions.sort(this.compare)
    if (this.positions.length < this.most) return
    for (const position of this.positions.splice(this.most)) this.bytes -= bytesOf(position)
    this.bound = this.positions.at(-1) ?? null
  }
}

/** Positions kept beside those that are asked for, so that few are not sorted over and over. */
const keptBeside = 1000

/** The approximate memory of a position. */
function bytesOf({ texts, key }: SortPosition): number {
  let bytes = 100 + 2 * key.length
  for (const text of texts) bytes += text.length + 20
  return bytes
}
