import { type Change, isExpired, keyOf, type Member } from '../../core/member.ts'
import {
  type CollectionSize,
  type Exceeded,
  exceededSize,
  exceededValue,
  type Quota,
} from '../../core/quota.ts'
import { latestChange, memberOf, type State, sizeOfMember } from './state.ts'

/** Changes that are stored together if no quota forbids it. Until then later writes see them, and readers do not. */
export interface Staged {
  readonly changes: Change[]
  latest(ref: { readonly collection: string; readonly key: string }): Change | null
  add(change: Change): void
  /** Returns the first quota that the changes would pass. */
  exceeded(): Exceeded | null
}

/** Returns the size of a collection before the changes. */
export type SizeOf = (collection: string) => CollectionSize

export function stagedChanges(state: State, nowMs: number, quotas: readonly Quota[], sizeOf: SizeOf): Staged {
  const changes: Change[] = []
  const byMember = new Map<string, Change>()
  const growth = new Map<string, { members: number; bytes: number }>()
  let longValue: Exceeded | null = null

  function latest({ collection, key }: { readonly collection: string; readonly key: string }): Change | null {
    return byMember.get(`${collection}/${key}`) ?? latestChange(state, { collection, key })
  }

  return {
    changes,
    latest,
    add(change) {
      const { collection } = change
      const key = keyOf(change)
      const before = memberOf(latest({ collection, key }))
      const after = memberOf(change)
      const grown = growth.get(collection) ?? { members: 0, bytes: 0 }
      grown.members += Number(after !== null) - Number(before !== null)
      grown.bytes += sizeOfMember(after) - sizeOfMember(before)
      growth.set(collection, grown)
      const quota = quotas.find((one) => one.collection === collection)
      if (quota !== undefined && after !== null) {
        const used = before === null || isExpired(before, nowMs) ? 0 : valueBytes(before)
        longValue ??= exceededValue(quota, key, used, valueBytes(after))
      }
      changes.push(change)
      byMember.set(`${collection}/${key}`, change)
    },
    exceeded() {
      if (longValue !== null) return longValue
      for (const quota of quotas) {
        const grown = growth.get(quota.collection)
        if (grown === undefined) continue
        const before = sizeOf(quota.collection)
        const after = { members: before.members + grown.members, bytes: before.bytes + grown.bytes }
        const found = exceededSize(quota, before, after)
        if (found !== null) return found
      }
      return null
    },
  }
}

function valueBytes({ value }: Member): number {
  return Buffer.byteLength(value)
}
