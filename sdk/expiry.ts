import { durationOrNever, optional, type Rules, timeOrNull } from './checks.ts'
import { KvistInputError } from './errors.ts'
import { query } from './names.ts'
import type { ExpiryOptions } from './options.ts'
import type { ExpiryFields } from './types.ts'

/** Checks and converts expiries: in options, in parameters, in the fields of items and operations. */

export const expiryOptionRules: Rules<ExpiryOptions> = {
  expireIn: optional(durationOrNever),
  expireAt: optional(timeOrNull),
}

export const expiryRules: Rules<ExpiryFields> = {
  expire_in: optional(durationOrNever),
  expire_at: optional(timeOrNull),
  expires_at: optional(timeOrNull),
}

/** Returns whether there is an expiry. Throws a KvistInputError if there are several. */
export function checkOneExpiry(fields: ExpiryFields, where: string): boolean {
  const given = (['expire_in', 'expire_at', 'expires_at'] as const).filter(
    (name) => fields[name] !== undefined,
  )
  if (given.length > 1)
    throw new KvistInputError(`${where}${given.join(' and ')} are both given: leave one out`)
  return given.length > 0
}

export function expiryQuery(options: ExpiryOptions): string {
  return query(expiryFields(options))
}

export function hasExpiry({ expireIn, expireAt }: ExpiryOptions): boolean {
  return expireIn !== undefined || expireAt !== undefined
}

type Fields = { readonly expire_in?: number | string; readonly expire_at?: string }

/** Returns the expiry under the names of the API. Throws a KvistInputError if both are given. */
export function expiryFields({ expireIn, expireAt }: ExpiryOptions): Fields {
  if (expireIn !== undefined && expireAt !== undefined)
    throw new KvistInputError('expireIn and expireAt are both given: leave one out')
  if (expireIn !== undefined) return { expire_in: expireIn }
  if (expireAt === undefined) return {}
  if (expireAt === null) return { expire_in: 'never' }
  return { expire_at: expireAt instanceof Date ? expireAt.toISOString() : expireAt }
}
