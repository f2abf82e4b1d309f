import { type Capability, type Grant, KvistError, type NewToken } from 'kvist-client'
import { shellQuoted } from '../ui/shell.ts'
import type { GrantDraft } from './rights.ts'

/** A token that is being made: what the form has, what is sent, and which field a refusal is about. */

export interface TokenDraft {
  readonly name: string
  readonly grants: readonly GrantDraft[]
  /** As the server takes it: `90d`, or `never`. */
  readonly expiresIn: string
  /** `50/s`; empty for that of the server. */
  readonly rateLimit: string
}

export const capabilities: readonly {
  readonly can: Capability
  readonly label: string
  readonly hint: string
}[] = [
  { can: 'read', label: 'Read', hint: 'get, list, watch, export' },
  { can: 'write', label: 'Write', hint: 'put, change, delete, import' },
  { can: 'admin', label: 'Administer', hint: 'settings and drops; on * also tokens' },
  { can: 'replicate', label: 'Replicate', hint: 'exchange changes as a server does' },
]

export const lifetimes: readonly { readonly value: string; readonly label: string }[] = [
  { value: '1h', label: '1 hour' },
  { value: '12h', label: '12 hours' },
  { value: '7d', label: '7 days' },
  { value: '30d', label: '30 days' },
  { value: '90d', label: '90 days' },
  { value: '365d', label: '1 year' },
  { value: 'never', label: 'Until it is revoked' },
]

export function newTokenOf({ name, grants, expiresIn, rateLimit }: TokenDraft): NewToken {
  return {
    name,
    grants: grants.map(grantOf),
    expires_in: expiresIn.trim() === '' ? 'never' : expiresIn.trim(),
    ...(rateLimit.trim() === '' ? {} : { rate_limit: rateLimit.trim() }),
  }
}

function grantOf({ collections, keyPrefix, can }: GrantDraft): Grant {
  return { collections, ...(keyPrefix === '' ? {} : { key_prefix: keyPrefix }), can }
}

/** The field that a refusal is about; a number is that of a grant, null is none. */
export type RefusedField = 'name' | 'expiresIn' | 'rateLimit' | number | null

/** Returns where to show an error, and its words without the name that the field has in JSON. */
export function refusalOf(error: unknown): { readonly field: RefusedField; readonly words: string } | null {
  if (!(error instanceof KvistError)) return null
  const { code, detail } = error
  if (code !== 'invalid_input' && code !== 'invalid_request' && code !== 'invalid_parameter') return null
  const grant = /grants\[(\d+)\][.:]?\s*/.exec(detail)
  if (grant !== null) return { field: Number(grant[1]), words: worded(detail.replace(grant[0], '')) }
  const field = fields.find(([name]) => detail.includes(name))?.[1]
  return field === undefined ? null : { field, words: worded(detail) }
}

const fields: readonly (readonly [string, RefusedField])[] = [
  ['expires_in', 'expiresIn'],
  ['rate_limit', 'rateLimit'],
  ['name', 'name'],
]

/** What the fields of the form are called in JSON, and to a person. */
const labels = [
  [/^"?expires_in"?/, 'the time'],
  [/^"?rate_limit"?/, 'the rate'],
  [/^"?key_prefix"?/, 'the beginning of the keys'],
  [/^"?name"?/, 'the name'],
  [/^can\b/, 'what it may do'],
] as const

function worded(detail: string): string {
  const text = labels.reduce((so, [pattern, label]) => so.replace(pattern, label), detail)
  return `${(text[0] ?? '').toUpperCase()}${text.slice(1)}`
}

/** Returns a line for a terminal that uses a token: it reads something that it may read, or else asks who it is. */
export function curlLine(origin: string, token: string, grants: readonly Grant[]): string {
  const readable = grants.find(({ collections, can }) => can.includes('read') && !/[*?\\]/.test(collections))
  const path = readable === undefined ? '/v1/_whoami' : listPath(readable)
  return `curl ${shellQuoted(origin + path)} -H ${shellQuoted(`Authorization: Bearer ${token}`)}`
}

function listPath({ collections, key_prefix: prefix = '' }: Grant): string {
  const parameters = prefix === '' ? '' : `?prefix=${encodeURIComponent(prefix)}`
  return `/v1/${encodeURIComponent(collections)}${parameters}`
}
