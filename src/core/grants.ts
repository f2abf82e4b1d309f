import { KvistError } from './errors.ts'
import { maxGrants, maxKeyBytes } from './limits.ts'
import { compilePattern } from './pattern.ts'

/**
 * What a grant may allow. `read`: get, list, watch, and read the feed. `write`: put, patch, touch, delete, and import;
 * increments and JSON patches, which show something of the stored value, need `read` too.
 * `admin`: change settings and drop; on all collections whole, also manage tokens. `replicate`: exchange changes as a
 * node does. None of them contains another.
 */
export const capabilities = ['read', 'write', 'admin', 'replicate'] as const
export type Capability = (typeof capabilities)[number]

/** Allows something on members of some collections. */
export interface Grant {
  /** A wildcard pattern of names. It never matches a collection of kvist's own. */
  readonly collections: string
  /** The grant is only for keys that begin with this text; empty for all keys. */
  readonly keyPrefix: string
  readonly can: readonly Capability[]
}

/** A grant as JSON. */
export interface GrantJson {
  readonly collections: string
  readonly key_prefix?: string
  readonly can: readonly Capability[]
}

const fields: ReadonlySet<string> = new Set(['collections', 'key_prefix', 'can'])

/**
 * Parses a list of grants: `[{"collections": "lo*", "key_prefix"?: "t1/", "can": ["read", "write"]}, …]`. Throws
 * `invalid_request` with the place of what is wrong.
 */
export function parseGrants(given: unknown): readonly Grant[] {
  if (!Array.isArray(given) || given.length === 0) {
    throw new KvistError('invalid_request', '"grants" is a list of at least one grant')
  }
  if (given.length > maxGrants) {
    throw new KvistError('invalid_request', `a token has at most ${maxGrants} grants`, { limit: maxGrants })
  }
  return given.map((one: unknown, i) => parseGrant(one, `grants[${i}]`))
}

function parseGrant(given: unknown, where: string): Grant {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new KvistError('invalid_request', `${where} is not a JSON object`)
  }
  const other = Object.keys(given).find((name) => !fields.has(name))
  if (other !== undefined) {
    const known = [...fields].join(', ')
    throw new KvistError(
      'invalid_request',
      `${where} has a field ${JSON.stringify(other.slice(0, 64))}; known are ${known}`,
    )
  }
  const { collections, key_prefix: keyPrefix = '', can } = given as Record<string, unknown>
  return {
    collections: parseCollections(collections, where),
    keyPrefix: parseKeyPrefix(keyPrefix, where),
    can: parseCapabilities(can, where),
  }
}

function parseCollections(given: unknown, where: string): string {
  if (typeof given !== 'string' || given === '') {
    throw new KvistError('invalid_request', `${where}.collections is not a name or pattern of collections`)
  }
  if (given.startsWith('_')) {
    throw new KvistError(
      'invalid_request',
      `${where}.collections begins with _: kvist's own collections cannot be granted`,
    )
  }
  try {
    compilePattern(given)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new KvistError('invalid_request', `${where}.collections: ${why}`)
  }
  return given
}

function parseKeyPrefix(given: unknown, where: string): string {
  if (typeof given !== 'string' || !given.isWellFormed()) {
    throw new KvistError('invalid_request', `${where}.key_prefix is not text`)
  }
  if (Buffer.byteLength(given) > maxKeyBytes) {
    throw new KvistError('invalid_request', `${where}.key_prefix has more than ${maxKeyBytes} bytes`, {
      limit_bytes: maxKeyBytes,
    })
  }
  return given
}

function parseCapabilities(given: unknown, where: string): readonly Capability[] {
  const list: readonly unknown[] = Array.isArray(given) ? given : []
  const known = capabilities.filter((one) => list.includes(one))
  if (list.length === 0 || list.some((one) => !capabilities.includes(one as Capability))) {
    throw new KvistError(
      'invalid_request',
      `${where}.can is a list of at least one of ${capabilities.join(', ')}`,
    )
  }
  return known
}

export function grantJson({ collections, keyPrefix, can }: Grant): GrantJson {
  return { collections, ...(keyPrefix === '' ? {} : { key_prefix: keyPrefix }), can }
}
