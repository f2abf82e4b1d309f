import type { Committed } from '../../core/member.ts'
import { refOf } from './layout.ts'
import { changeOf, decodeRecord, memberOf } from './record.ts'

/** What `scripts/begin.lua` publishes of a group, and the server that sent the group. */
export interface PublishedGroup {
  readonly instance: string
  readonly before: number
  readonly after: number
  /** Decodes the changes; null if they were too large to be published. What is kept of the message is copied. */
  changes(): Committed[] | null
}

/** Decodes a message, as far as all need it. */
export function decodePublished(payload: Buffer): PublishedGroup {
  const isWhole = payload[16] === 1
  const start = 18 + payload[17]!
  return {
    instance: payload.toString('latin1', 18, start),
    before: payload.readDoubleBE(0),
    after: payload.readDoubleBE(8),
    changes: () => (isWhole ? changesIn(payload, start) : null),
  }
}

function changesIn(payload: Buffer, start: number): Committed[] {
  const changes: Committed[] = []
  let at = start
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
  return changes
}
