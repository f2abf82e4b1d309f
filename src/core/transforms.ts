import type { Content, NewContent } from './content.ts'
import type { MaybePromise, MemberRef, Put } from './engine.ts'
import type { NewPut } from './operations.ts'
import type { ProcessRunner } from './process.ts'
import type { Settings, SettingsRegistry } from './settings.ts'

/**
 * Transforms the content of a write before it is stored: sets the default expiry of its collection, then runs its processes.
 * Most collections have no settings, and their writes are stored as they come.
 */
export interface Transforms {
  /** Whether a collection's members are anything but stored as they come. */
  has(collection: string): boolean
  /**
   * The put as it is to be stored. `base` is the content that it changes, null for a put that says all of what is stored:
   * one that changes keeps the expiry, and goes through no process when its value stays what it was. `otherwise` are
   * processes for a collection that has not set any. Throws `unprocessable`.
   */
  apply(put: NewPut, base: Content | null, nowMs: number, otherwise?: readonly string[]): MaybePromise<Put>
}

export function transformsOf(
  settings: Pick<SettingsRegistry, 'get'>,
  processes: Pick<ProcessRunner, 'run'>,
): Transforms {
  return {
    has: (collection) => settings.get(collection) !== undefined,
    apply(put, base, nowMs, otherwise = []) {
      const own = settings.get(put.collection)
      const expiring = withExpiry(put, base === null ? own : undefined, nowMs)
      const names = own?.processes ?? otherwise
      if (names.length === 0 || (base !== null && put.value === base.value)) return expiring
      return processes.run(names, expiring, { ...refOf(put), nowMs }).then((content) => putOf(put, content))
    },
  }
}

/** What a put asks for, or the default expiry where it says nothing. */
function withExpiry(put: NewPut, defaults: Settings | undefined, nowMs: number): Put {
  if (put.expiresAtMs === 'never') return { ...put, expiresAtMs: null }
  const ttlMs = defaults?.defaultTtlMs ?? null
  if (put.expiresAtMs !== null || ttlMs === null) return put as Put
  return { ...put, expiresAtMs: nowMs + ttlMs }
}

/** A put of this content, which may have more to it than is to be stored. */
export function putOf<C extends NewContent>(
  { collection, key }: MemberRef,
  { value, contentType, flags, expiresAtMs }: C,
): Omit<Put, 'expiresAtMs'> & Pick<C, 'expiresAtMs'> {
  return { op: 'put', collection, key, value, contentType, flags, expiresAtMs }
}

function refOf({ collection, key }: MemberRef): MemberRef {
  return { collection, key }
}
