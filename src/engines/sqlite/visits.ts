import type { MemberRef } from '../../core/engine.ts'
import type { MemberVisitor } from '../../core/member-visitor.ts'
import { maxPrefetched } from './btree/search-keys.ts'
import { memberInTables, memberOfRecord, type Overlay, prefetch } from './overlay.ts'

/** See `Engine.visitMany`. Rows of the mapped pages are visited where they lie, all other members as objects. */
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
      const { collection, key } = some[i]!
      const record = records[i]!
      const slot = slots[i]!
      const visited = record === null && slot > 0 ? pages.visit(collection, key, slot, visitor) : -1
      if (visited >= 0) {
        bytes += visited
      } else {
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
