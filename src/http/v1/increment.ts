import type { AskedExpiry } from '../../core/content.ts'
import { KvistError } from '../../core/errors.ts'
import type { Increment } from '../../core/operations.ts'
import { expiryFields, fieldExpiry } from './expiry.ts'
import { asObject, type JsonFields, refuseOthers } from './fields.ts'

/** The fields of an increment, in a PATCH and in an operation of a batch. */
export const incrementFields = ['path', 'by', 'if_created'] as const

/** Parses an increment. All fields are optional: by default the value itself grows by 1. */
export function parseIncrement(fields: JsonFields, where: string, nowMs: number): Increment {
  const { path = '', by = 1, if_created } = fields
  if (typeof path !== 'string') throw new KvistError('invalid_request', `${where}.path is not a JSON pointer`)
  if (typeof by !== 'number') throw new KvistError('invalid_request', `${where}.by is not a number`)
  if (if_created === undefined) return { path, by }
  return { path, by, ifCreated: { expiresAtMs: parseIfCreated(if_created, `${where}.if_created`, nowMs) } }
}

const ifCreatedFields: ReadonlySet<string> = new Set(expiryFields)

function parseIfCreated(given: unknown, where: string, nowMs: number): AskedExpiry {
  const fields = asObject(given, where)
  refuseOthers(fields, ifCreatedFields, where)
  const expiresAtMs = fieldExpiry(fields, nowMs)
  if (expiresAtMs !== null) return expiresAtMs
  throw new KvistError('invalid_request', `${where} has neither "expire_in" nor "expire_at"`)
}
