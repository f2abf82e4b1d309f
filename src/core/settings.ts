import type { Write } from './engine.ts'
import { KvistError } from './errors.ts'
import { type Follower, follower } from './follower.ts'
import { maxProcesses, maxSettings } from './limits.ts'
import { jsonContentType, type Member } from './member.ts'
import { parseDurationMs } from './time.ts'

/**
 * The settings of a collection. They are stored as members of a collection of kvist's own, under the collection's name:
 * as durable as members, with no file beside the store. No URL can name that collection, and lists omit it.
 */
export interface Settings {
  /** Names of processes in the order in which they run; null when not set, and a dialect uses its default. */
  readonly processes: readonly string[] | null
  /** The expiry of members that are stored without one; null for none. */
  readonly defaultTtlMs: number | null
  /** Whether a read renews a member's expiry by the default time to live (jobs/renewals.ts). */
  readonly sliding: boolean
}

const settingsCollection = '_settings'

export const noSettings: Settings = { processes: null, defaultTtlMs: null, sliding: false }

/**
 * Parses settings: `{"processes": ["name", …] or null, "default_ttl": seconds, a duration such as "7d", or null,
 * "sliding": true}`; fields left out are null, or false. Throws `invalid_request` or `invalid_parameter`.
 */
export function parseSettings(given: unknown): Settings {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new KvistError('invalid_request', 'settings are a JSON object')
  }
  const {
    processes = null,
    default_ttl: ttl = null,
    sliding = false,
    ...others
  } = given as Record<string, unknown>
  const [other] = Object.keys(others)
  if (other !== undefined) {
    throw new KvistError(
      'invalid_request',
      `there is no setting ${JSON.stringify(other.slice(0, 64))}; known are processes, default_ttl, sliding`,
    )
  }
  const defaultTtlMs = parseTtl(ttl)
  if (typeof sliding !== 'boolean') throw new KvistError('invalid_request', '"sliding" is true or false')
  if (sliding && defaultTtlMs === null) {
    throw new KvistError('invalid_request', '"sliding" needs a "default_ttl", for a read to renew')
  }
  return { processes: parseNames(processes), defaultTtlMs, sliding }
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

export function settingsJson({ processes, defaultTtlMs, sliding }: Settings): string {
  const ttl = defaultTtlMs === null ? null : defaultTtlMs / 1000
  return JSON.stringify({ processes, default_ttl: ttl, sliding })
}

/** Returns the write that stores the settings of a collection or, with null, removes them. */
export function settingsWrite(collection: string, settings: Settings | null): Write {
  const ref = { collection: settingsCollection, key: collection }
  if (settings === null) return { ...ref, op: 'delete', cause: 'delete' }
  const value = settingsJson(settings)
  return { ...ref, op: 'put', value, contentType: jsonContentType, flags: 0, expiresAtMs: null }
}

/** Keeps the settings of all collections in memory, because every write needs them. */
export interface SettingsRegistry extends Follower {
  /** Returns the settings of a collection; undefined if it has none, as most. */
  get(collection: string): Settings | undefined
  /** Returns the time to live after a read; null where expiry does not slide. */
  slidingTtlMs(collection: string): number | null
  /**
   * Throws if these settings must not be stored (null removes them): `conflict` if they are in the operator's
   * configuration file, `unprocessable` if `maxSettings` collections have settings already.
   */
  requireChangeable(collection: string, settings: Settings | null): void
}

/**
 * Returns a registry. `fixed` settings override stored ones. Stored settings that cannot be parsed are reported to
 * `onError` and ignored.
 */
export function settingsRegistry(
  fixed: ReadonlyMap<string, Settings>,
  onError: (error: unknown) => void,
): SettingsRegistry {
  const known = new Map(fixed)
  function take(collection: string, member: Member | null): void {
    if (fixed.has(collection)) return
    if (member === null) {
      known.delete(collection)
      return
    }
    try {
      known.set(collection, parseSettings(JSON.parse(String(member.value))))
    } catch (error) {
      onError(new Error(`the settings of ${collection} cannot be read`, { cause: error }))
    }
  }

  return {
    get: (collection) => known.get(collection),
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
