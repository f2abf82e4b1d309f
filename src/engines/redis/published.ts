import type { Committed } from '../../core/member.ts'
import type { PublishedCommit } from './commit-feed.ts'
import { refOf } from './layout.ts'
import { changeOf, decodeRecord, memberOf } from './record.ts'

/** What `scripts/begin.lua` publishes of a group, and the server that sent the group. */
export interface PublishedGroup extends PublishedCommit {
  readonly instance: string
}

/** Decodes a message. What is kept of it is copied. */
export function decodePublished(payload: Buffer): PublishedGroup {
  const before = payload.readDoubleBE(0)
  const after = payload.readDoubleBE(8)
  const isWhole = payload[16] === 1
  let at = 18 + payload[17]!
  const instance = payload.toString('latin1', 18, at)
  if (!isWhole) return { before, after, instance, changes: null }
  const changes: Committed[] = []
  while (at < payload.length) {
    const isRenewal = payload[at] === 1
    const fieldEnd = at + 11 + payload.readUInt16BE(at + 1)
    const recordEnd = fieldEnd + payload.readUInt32BE(at + 3)
    const valueEnd = recordEnd + payload.readUInt32BE(at + 7)
    const ref = refOf(payload.subarray(at + 11, fieldEnd))
    const record = decodeRecord(payload.subarray(fieldEnd, recordEnd))
    const large = valueEnd === recordEnd ? null : payload.subarray(recordEnd, valueEnd)
    if (isRenewal && !record.isTombstone) {
      changes.push({
        type: 'renew',
        collection: ref.collection,
        member: memberOf(ref.key, record, large),
      })
    } else {
      changes.push(changeOf(ref, record, large))
    }
    at = valueEnd
  }
  return { before, after, instance, changes }
}
