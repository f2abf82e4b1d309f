import { KvistError } from './errors.ts'

/** Limits of a collection, each null for none. */
export interface QuotaLimits {
  readonly maxMembers: number | null
  /** The bytes of all keys and values together. */
  readonly maxBytes: number | null
  /** The bytes of each value. */
  readonly maxValueBytes: number | null
}

export interface Quota extends QuotaLimits {
  readonly collection: string
}

/** Returns whether a write that would pass this quota may be done once expired members are deleted. */
export function mayFit({ limitName }: Exceeded): boolean {
  return limitName !== 'maxValueBytes'
}

/** The size of a collection, as `Engine.collections` counts it. */
export interface CollectionSize {
  readonly members: number
  readonly bytes: number
}

/** The limit that a write would pass. */
export interface Exceeded {
  readonly collection: string
  /** The member whose value is too long; null where the whole collection would be too large. */
  readonly key: string | null
  readonly limitName: keyof QuotaLimits
  readonly limit: number
  /** What there is without the write: members or bytes of the collection, or bytes of the value that it replaces. */
  readonly used: number
  /** What there would be with it. */
  readonly needed: number
}

/**
 * Returns the limit that a collection passes when it grows from one size to another; null for none. One that is above a
 * limit already, because that was lowered, may shrink and stay as large as it is.
 */
export function exceededSize(
  { collection, maxMembers, maxBytes }: Quota,
  before: CollectionSize,
  after: CollectionSize,
): Exceeded | null {
  const of = { collection, key: null }
  return (
    exceeded({ ...of, limitName: 'maxMembers', used: before.members, needed: after.members }, maxMembers) ??
    exceeded({ ...of, limitName: 'maxBytes', used: before.bytes, needed: after.bytes }, maxBytes)
  )
}

/** As `exceededSize`, for the value of a member. Without a value before, `used` is 0. */
export function exceededValue(
  { collection, maxValueBytes }: Quota,
  key: string,
  used: number,
  needed: number,
): Exceeded | null {
  return exceeded({ collection, key, limitName: 'maxValueBytes', used, needed }, maxValueBytes)
}

function exceeded(growth: Omit<Exceeded, 'limit'>, limit: number | null): Exceeded | null {
  return limit !== null && growth.needed > limit && growth.needed > growth.used ? { ...growth, limit } : null
}

/** The name of each limit in settings and problems. */
const publicNames: Record<keyof QuotaLimits, string> = {
  maxMembers: 'max_members',
  maxBytes: 'max_bytes',
  maxValueBytes: 'max_value_bytes',
}

export function quotaExceeded({ collection, key, limitName, limit, used, needed }: Exceeded): KvistError {
  const quota = publicNames[limitName]
  const whose = key === null ? `it has ${used} and` : `the value of ${key}`
  const detail = `${quota} of ${collection} is ${limit}; ${whose} would have ${needed}`
  const of = key === null ? { collection } : { collection, key }
  return new KvistError('quota_exceeded', detail, { ...of, quota, limit, used, needed })
}
