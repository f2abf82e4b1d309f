import { isExpired, type Member } from './member.ts'
import type { MemberVisitor, StoredJson } from './member-visitor.ts'

/** Passes on the members of a page that have not expired, and counts them. */
export class ShownMembers implements MemberVisitor {
  count = 0
  /** Of their values: UTF-8 of what is stored, UTF-16 units of what is passed as a member, as `readMany` counts. */
  bytes = 0
  private lastBytes = 0
  private readonly nowMs: number
  private readonly visitor: MemberVisitor

  constructor(nowMs: number, visitor: MemberVisitor) {
    this.nowMs = nowMs
    this.visitor = visitor
  }

  stored(row: StoredJson): void {
    this.count++
    this.lastBytes = row.valueEnd - row.valueAt
    this.bytes += this.lastBytes
    this.visitor.stored(row)
  }

  undo(): void {
    this.count--
    this.bytes -= this.lastBytes
    this.visitor.undo()
  }

  member(member: Member | null): void {
    if (member === null || isExpired(member, this.nowMs)) return
    this.bytes += member.value.length
    this.visitor.member(member, this.count++)
  }
}
