import type { MemberRef, ScanPage, ScanRange } from '../../core/engine.ts'
import { compareKeys, keyAfter } from '../../core/keys.ts'
import { maxPageBytes } from '../../core/limits.ts'
import type { MemberVisitor } from '../../core/member-visitor.ts'
import type { VisitCursor } from './btree/page-scan.ts'
import { notVisited } from './btree/row-reader.ts'
import { maxPrefetched } from './btree/search-keys.ts'
import { type Found, overlayKeys } from './memtable/memtable.ts'
import {
  latestPut,
  memberInTables,
  memberOfRecord,
  mostExamined,
  type Overlay,
  prefetch,
  requireWholePage,
  valueBytesOf,
} from './overlay.ts'
import { damagedStore } from './table/damage.ts'
import { RecordRow } from './wal/record-row.ts'

/** See `Engine.visitMany`. Rows of the mapped pages and records are visited where they lie, all other members as objects. */
export function visitMembers(
  overlay: Overlay,
  refs: readonly MemberRef[],
  maxBytes: number,
  visitor: MemberVisitor,
): number {
  const { pages } = overlay
  let bytes = 0
  for (let from = 0; from < refs.length; from += maxPrefetched) {
    const some = from === 0 && refs.length <= maxPrefetched ? refs : refs.slice(from, from + maxPrefetched)
    const { records, slots } = prefetch(overlay, some)
    for (let i = 0; i < some.length; i++) {
      const ref = some[i]!
      const record = records[i]!
      const slot = slots[i]!
      const visited =
        record !== null
          ? visitRecord(record, visitor)
          : slot > 0
            ? pages.visit(ref, slot, visitor)
            : notVisited
      if (visited >= 0) {
        bytes += visited
      } else {
        const { collection, key } = ref
        const member =
          record === null ? memberInTables(overlay, collection, key, slot) : memberOfRecord(record, key)
        visitor.member(member, from + i)
        if (member !== null) bytes += member.value.length
      }
      if (bytes > maxBytes) return from + i + 1
    }
  }
  return refs.length
}

const recordRow = new RecordRow()

/** As `PageReader.visit`, of a record. */
function visitRecord({ table, at }: Found, visitor: MemberVisitor): number {
  if (!recordRow.load(table.chunk, at)) return notVisited
  visitor.stored(recordRow)
  return recordRow.valueEnd - recordRow.valueAt
}

type VisitedPage = Pick<ScanPage, 'next' | 'isCut'>

/** See `Engine.visitRange`. */
export function visitRange(overlay: Overlay, range: ScanRange, visitor: MemberVisitor): VisitedPage | null {
  const { damage, inTables, pages } = overlay
  if (damage !== null) throw damagedStore(damage)
  if (range.keysOnly) return null
  if (!inTables.has(range.collection)) return mergeVisits(overlay, range, null, visitor)
  const page = pages.visitRange(range, (rows) => mergeVisits(overlay, range, rows, visitor)) ?? null
  if (page !== null) requireWholePage(overlay, range, page.next)
  return page
}

/** As `mergeMembers`: merges rows of the pages with the records of the memtables, which win. */
function mergeVisits(
  { tables }: Overlay,
  { collection, from, to, order, limit, maxBytes = maxPageBytes }: ScanRange,
  rows: VisitCursor | null,
  visitor: MemberVisitor,
): VisitedPage {
  const keys = overlayKeys(tables, collection, from, to, order)
  const sign = order === 'asc' ? 1 : -1
  const enough = mostExamined(limit)
  let bytes = 0
  let count = 0
  let examined = 0
  /** The key that was examined last; null where that is of the row before. */
  let last: string | null = null
  let key = keys.next()
  let hasRow = rows?.next() ?? false
  while (!key.done || hasRow) {
    const side = key.done ? 1 : !hasRow ? -1 : compareKeys(key.value, rows!.key) * sign
    const record = side <= 0 ? latestPut(tables, collection, key.value!) : null
    bytes += side <= 0 ? valueBytesOf(record) : rows!.valueBytes
    const isCut = bytes > maxBytes
    if (count === limit || isCut || examined === enough) {
      const current = side <= 0 ? key.value! : rows!.key
      const next = order === 'asc' ? current : (last ?? rows?.keyBefore ?? keyAfter(current))
      return { next, isCut }
    }
    examined++
    if (side > 0) rows!.visit(visitor, count++)
    else if (record !== null && visitRecord(record, visitor) !== notVisited) count++
    else if (record !== null) visitor.member(memberOfRecord(record, key.value!), count++)
    last = side > 0 ? null : key.value!
    if (side <= 0) key = keys.next()
    if (side >= 0) hasRow = rows!.next()
  }
  return { next: null, isCut: false }
}
