import type { MemberRef } from '../engine.ts'
import { memberRefOf, type ReadEntry, readEntry } from '../indexes/entries.ts'
import type { Member } from '../member.ts'
import type { MemberVisitor, StoredJson } from '../member-visitor.ts'
import { isInRange, type KeyRange } from '../ranges.ts'

/** Collects the members that visited entries of an index name, as far as their keys are in a range. */
export class NamedMembers implements MemberVisitor {
  readonly refs: MemberRef[] = []
  examined = 0
  /** The entry of the last of the members that are wanted; null until it was visited. */
  last: ReadEntry | null = null
  /** An entry may have changed while it was read: what was collected is void. */
  isVoid = false
  private readonly collection: string
  /** The number of the index's fields. */
  private readonly fields: number
  private readonly keys: KeyRange
  private readonly wanted: number

  constructor(collection: string, fields: number, keys: KeyRange, wanted: number) {
    this.collection = collection
    this.fields = fields
    this.keys = keys
    this.wanted = wanted
  }

  stored(row: StoredJson): void {
    this.examined++
    const ref = memberRefOf(row, this.fields, this.collection)
    if (!this.add(ref)) return
    this.last = { key: row.bytes.toString('utf8', row.keyAt, row.keyEnd), memberKey: ref.key }
  }

  undo(): void {
    this.isVoid = true
  }

  member(entry: Member | null): void {
    if (entry === null) return
    this.examined++
    const read = readEntry(entry.key, entry.value, this.fields)
    if (this.add({ collection: this.collection, key: read.memberKey })) this.last = read
  }

  /** Returns whether the member is the last that is wanted. */
  private add(ref: MemberRef): boolean {
    const { keys } = this
    const isAll = keys.from === null && keys.to === null
    if (!isAll && !isInRange(keys, ref.key)) return false
    return this.refs.push(ref) === this.wanted
  }
}
