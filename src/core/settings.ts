import { type Condition, requireCondition } from './condition.ts'
import type { Delete, Put, Renew, Write } from './engine.ts'
import { KvistError } from './errors.ts'
import { type Follower, follower } from './follower.ts'
import { definitionJson, type IndexDefinition, parseIndexes } from './indexes/definition.ts'
import { maxProcesses, maxQuotaBytes, maxQuotaMembers, maxSettings, maxValueBytes } from './limits.ts'
import { jsonContentType, type Member } from './member.ts'
import { formatSize, parseSize } from './quantity.ts'
import type { Quota, QuotaLimits } from './quota.ts'
import { parseSchema } from './schema/schema.ts'
import { parseDurationMs } from './time.ts'

/**
 * The settings of a collection. They are stored as members of a collection of kvist's own, under the collection's name:
 * as durable as members, with no file beside the store. No URL can name that collection, and lists omit it.
 */
export interface Settings extends QuotaLimits {
  /** Names of processes in the order in which they run; null when not set, and a dialect uses its default. */
  readonly processes: readonly string[] | null
  /** The expiry of members that are stored without one; null for none. */
  readonly defaultTtlMs: number | null
  /** Whether a read renews a member's expiry by the default time to live (jobs/renewals.ts). */
  readonly sliding: boolean
  /** The JSON Schema that values must match, as the text of its JSON; null for none. */
  readonly schema: string | null
  /** Kept beside the members (indexes/). */
  readonly indexes: readonly IndexDefinition[]
}

export const settingsCollection = '_settings'

export const noSettings: Settings = {
  processes: null,
  defaultTtlMs: null,
  sliding: false,
  schema: null,
  maxMembers: null,
  maxBytes: null,
  maxValueBytes: null,
  indexes: [],
}

export function hasQuota({ maxMembers, maxBytes, maxValueBytes }: QuotaLimits): boolean {
  return maxMembers !== null || maxBytes !== null || maxValueBytes !== null
}

/**
 * Parses settings: `{"processes": ["name", …] or null, "default_ttl": seconds, a duration such as "7d", or null,
 * "sliding": true, "schema": a JSON Schema or null, "max_members": a number or null, "max_bytes" and "max_value_bytes": bytes,
 * a size such as "64MiB", or null, "indexes": a list (indexes/definition.ts) or null}`; fields left out are null, or false. Throws `invalid_request`, `invalid_parameter` or
 * `invalid_schema`.
 */
export function parseSettings(given: unknown): Settings {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new KvistError('invalid_request', 'settings are a JSON object')
  }
  const {
    processes = null,
    default_ttl: ttl = null,
    sliding = false,
    schema = null,
    max_members: members = null,
    max_bytes: bytes = null,
    max_value_bytes: valueBytes = null,
    indexes = null,
    ...others
  } = given as Record<string, unknown>
  const [other] = Object.keys(others)
  if (other !== undefined) {
    throw new KvistError(
      'invalid_request',
      `there is no setting ${JSON.stringify(other.slice(0, 64))}; known are processes, default_ttl, sliding, max_members, max_bytes, max_value_bytes, schema, indexes`,
    )
  }
  const defaultTtlMs = parseTtl(ttl)
  if (typeof sliding !== 'boolean') throw new KvistError('invalid_request', '"sliding" is true or false')
  if (sliding && defaultTtlMs === null) {
    throw new KvistError('invalid_request', '"sliding" needs a "default_ttl", for a read to renew')
  }
  return {
    processes: parseNames(processes),
    defaultTtlMs,
    sliding,
    schema: parseSchema(schema),
    maxMembers: parseMembers(members),
    maxBytes: parseBytes('max_bytes', bytes, maxQuotaBytes),
    maxValueBytes: parseBytes('max_value_bytes', valueBytes, maxValueBytes),
    indexes: parseIndexes(indexes),
  }
}

function parseMembers(given: unknown): number | null {
  if (given === null) return null
  if (typeof given === 'number' && Number.isInteger(given) && given >= 1 && given <= maxQuotaMembers)
    return given
  throw quotaOutOfRange('max_members', `a whole number from 1 to ${maxQuotaMembers}`, maxQuotaMembers)
}

function parseBytes(name: string, given: unknown, max: number): number | null {
  if (given === null) return null
  const bytes =
    typeof given === 'number' || typeof given === 'string' ? parseSize(String(given), 1, max) : null
  if (bytes !== null) return bytes
  throw quotaOutOfRange(name, `a number of bytes from 1 to ${max}, or a size up to "${formatSize(max)}"`, max)
}

function quotaOutOfRange(name: string, range: string, limit: number): KvistError {
  return new KvistError('invalid_request', `"${name}" is ${range}, or null for no quota`, { limit })
}

function parseNames(given: unknown): readonly string[] | null {
  if (given === null) return null
  const list: readonly unknown[] = Array.isArray(given) ? given : [null]
  const names = list.filter((name) => typeof name === 'string')
  if (names.length !== list.length) {
    throw new KvistError('invalid_request', '"processes" is a list of names, or null')
  }
  if (names.length > maxProcesses) {
    throw new KvistError('invalid_request', `a collection has at most ${maxProcesses} processes`, {
      limit: maxProcesses,
    })
  }
  return names
}

function parseTtl(given: unknown): number | null {
  if (given === null) return null
  if (typeof given === 'number' || typeof given === 'string') return parseDurationMs(String(given))
  throw new KvistError('invalid_request', '"default_ttl" is in seconds, or a duration such as "7d", or null')
}

/** `shownIndexes` are the indexes as a server shows them; their definitions alone, if left out. */
export function settingsJson(
  { processes, defaultTtlMs, sliding, schema, indexes, ...quota }: Settings,
  shownIndexes: readonly object[] = indexes.map(definitionJson),
): string {
  return JSON.stringify({
    processes,
    default_ttl: defaultTtlMs === null ? null : defaultTtlMs / 1000,
    sliding,
    max_members: quota.maxMembers,
    max_bytes: quota.maxBytes,
    max_value_bytes: quota.maxValueBytes,
    schema: schema === null ? null : JSON.parse(schema),
    indexes: shownIndexes,
  })
}

/** Returns the write that stores the settings of a collection or, with null, removes them. */
export function settingsWrite(collection: string, settings: Settings | null): Put | Delete {
  const ref = { collection: settingsCollection, key: collection }
  if (settings === null) return { ...ref, op: 'delete', cause: 'delete' }
  const value = settingsJson(settings)
  return { ...ref, op: 'put', value, contentType: jsonContentType, flags: 0, expiresAtMs: null }
}

/** Throws `precondition_failed`, with the revision of the stored settings, unless the condition holds for them. */
export function requireSettingsCondition(
  collection: string,
  condition: Condition,
  current: Member | null,
): void {
  try {
    requireCondition(condition, current)
  } catch (error) {
    if (!(error instanceof KvistError)) throw error
    const are = current === null ? 'are not set' : `are at revision ${current.revision}`
    throw new KvistError(error.code, `the settings of ${collection} ${are}`, error.extra)
  }
}

/** Keeps the settings of all collections in memory, because every write needs them. */
export interface SettingsRegistry extends Follower {
  /** Returns the settings of a collection; undefined if it has none, as most. */
  get(collection: string): Settings | undefined
  /** Returns the revision of what is stored; null if nothing is, or if the settings are in the configuration file. */
  revisionOf(collection: string): number | null
  /** Returns the quotas of the collections in which these writes put members; undefined if there are none, as mostly. */
  quotasOf(writes: readonly (Write | Renew)[]): readonly Quota[] | undefined
  /** Returns the time to live after a read; null where expiry does not slide. */
  slidingTtlMs(collection: string): number | null
  /**
   * Throws if these settings must not be stored (null removes them): `conflict` if they are in the operator's
   * configuration file, `unprocessable` if `maxSettings` collections have settings already.
   */
  requireChangeable(collection: string, settings: Settings | null): void
}

/** Receives the indexes of a collection: of its fixed settings, or of what is stored, with the revision of that if it is known. */
export type OnIndexes = (
  collection: string,
  indexes: readonly IndexDefinition[],
  about: { readonly revision: number | null; readonly isFixed: boolean },
) => void

/**
 * Returns a registry. `fixed` settings override stored ones. Stored settings that cannot be parsed are reported to
 * `onError` and ignored. `onIndexes` is told the indexes of a collection whenever its settings change, also of stored settings
 * that fixed ones override: other servers of the store may not have those.
 */
export function settingsRegistry(
  fixed: ReadonlyMap<string, Settings>,
  onError: (error: unknown) => void,
  onIndexes: OnIndexes = () => {},
): SettingsRegistry {
  const known = new Map<string, Settings>()
  const revisions = new Map<string, number>()
  /** The quotas of the collections that have any: a map of its own, so that writes mostly find it empty. */
  const quotas = new Map<string, Quota>()

  function set(collection: string, settings: Settings | null): void {
    quotas.delete(collection)
    known.delete(collection)
    if (settings === null) return
    known.set(collection, settings)
    const { maxMembers, maxBytes, maxValueBytes } = settings
    if (hasQuota(settings)) quotas.set(collection, { collection, maxMembers, maxBytes, maxValueBytes })
  }

  function take(collection: string, member: Member | null, revision: number | null): void {
    try {
      const settings = member === null ? null : parseSettings(JSON.parse(String(member.value)))
      onIndexes(collection, settings?.indexes ?? [], { revision, isFixed: false })
      if (fixed.has(collection)) return
      set(collection, settings)
      if (member === null) revisions.delete(collection)
      else revisions.set(collection, member.revision)
    } catch (error) {
      onError(new Error(`the settings of ${collection} cannot be read`, { cause: error }))
    }
  }

  for (const [collection, settings] of fixed) {
    onIndexes(collection, settings.indexes, { revision: null, isFixed: true })
    set(collection, settings)
  }

  return {
    get: (collection) => known.get(collection),
    revisionOf: (collection) => revisions.get(collection) ?? null,
    quotasOf(writes) {
      if (quotas.size === 0) return undefined
      const found = new Set<Quota>()
      for (const { op, collection } of writes) {
        const quota = op === 'put' ? quotas.get(collection) : undefined
        if (quota !== undefined) found.add(quota)
      }
      return found.size === 0 ? undefined : [...found]
    },
    slidingTtlMs(collection) {
      const settings = known.get(collection)
      return settings?.sliding ? settings.defaultTtlMs : null
    },
    requireChangeable(collection, settings) {
      if (fixed.has(collection)) {
        throw new KvistError(
          'conflict',
          `the settings of ${collection} are in the server's configuration file`,
        )
      }
      if (settings === null || known.size < maxSettings || known.has(collection)) return
      throw new KvistError('unprocessable', `only ${maxSettings} collections can have settings`, {
        limit: maxSettings,
      })
    },
    ...follower({ collection: settingsCollection, take, keys: () => known.keys() }),
  }
}
