import type { Content, NewContent } from './content.ts'
import type { MaybePromise, MemberRef, Put } from './engine.ts'
import type { NewPut } from './operations.ts'
import type { ProcessRunner } from './process.ts'
import type { Settings, SettingsRegistry } from './settings.ts'

/**
 * Transforms the content of a write before it is stored: sets the default expiry of its collection, then runs the
 * collection's processes. Most collections have no settings, and their writes are stored as they are.
 */
export interface Transforms {
  /** Returns whether the collection has a default expiry or processes; otherwise its members are stored as they are. */
  has(collection: string): boolean
  /**
   * Returns the put to be stored. `base` is the content that the put modifies, null for a put that states all that is
   * stored. A put that modifies content keeps the expiry, and runs no process if the value is unchanged. `otherwise`
   * are the processes of a collection that has not set any. Throws `unprocessable`.
   */
  apply(put: NewPut, base: Content | null, nowMs: number, otherwise?: readonly string[]): MaybePromise<Put>
}

export function transformsOf(
  settings: Pick<SettingsRegistry, 'get'>,
  processes: Pick<ProcessRunner, 'run'>,
): Transforms {
  return {
    has(collection) {
      const own = settings.get(collection)
      return own !== undefined && (own.defaultTtlMs !== null || own.processes !== null)
    },
    apply(put, base, nowMs, otherwise = []) {
      const own = settings.get(put.collection)
      const expiring = withExpiry(put, base === null ? own : undefined, nowMs)
      const names = own?.processes ?? otherwise
      if (names.length === 0 || (base !== null && put.value === base.value)) return expiring
      return processes.run(names, expiring, { ...refOf(put), nowMs }).then((content) => putOf(put, content))
    },
  }
}

/** Returns the put with the expiry that it requests, or with the default expiry if it requests none. */
function withExpiry(put: NewPut, defaults: Settings | undefined, nowMs: number): Put {
  if (put.expiresAtMs === 'never') return { ...put, expiresAtMs: null }
  const ttlMs = defaults?.defaultTtlMs ?? null
  if (put.expiresAtMs !== null || ttlMs === null) return put as Put
  return { ...put, expiresAtMs: nowMs + ttlMs }
}

/** Returns a put with these fields of the content, and no others that it may have. */
export function putOf<C extends NewContent>(
  { collection, key }: MemberRef,
  { value, contentType, flags, expiresAtMs }: C,
): Omit<Put, 'expiresAtMs'> & Pick<C, 'expiresAtMs'> {
  return { op: 'put', collection, key, value, contentType, flags, expiresAtMs }
}

function refOf({ collection, key }: MemberRef): MemberRef {
  return { collection, key }
}
