import type { Content, NewContent } from './content.ts'
import { encodedTextOf, withEncodedText } from './encoded-text.ts'
import type { MaybePromise, MemberRef, Put } from './engine.ts'
import type { NewPut } from './operations.ts'
import type { ProcessRunner } from './process.ts'
import { requireValue } from './schema/write-check.ts'
import type { Settings, SettingsRegistry } from './settings.ts'

/**
 * Transforms the content of a write before it is stored: sets the default expiry of its collection, runs the collection's
 * processes, and checks the value against its schema. Most collections have no settings, and their writes are stored as they
 * are.
 */
export interface Transforms {
  /** Returns whether the collection has a default expiry, processes or a schema; otherwise its members are stored as they are. */
  has(collection: string): boolean
  /**
   * Returns the put to be stored. `base` is the content that the put modifies, null for a put that states all that is
   * stored. A put that modifies content keeps the expiry, and runs no process and is not checked if the value is
   * unchanged. Throws `unprocessable` or `schema_violation`.
   */
  apply(put: NewPut, base: Content | null, nowMs: number): MaybePromise<Put>
  /**
   * Returns what `apply` would for a put that states all that is stored, without the check of the schema. `otherwise` are
   * the processes of a collection that has not set any. Throws `unprocessable`.
   */
  prepare(put: NewPut, nowMs: number, otherwise: readonly string[]): MaybePromise<Put>
  /** Throws `schema_violation` if the value of a put breaks the schema of its collection. */
  requireMatching(put: Pick<Put, 'collection' | 'key' | 'value'>): void
}

const noProcesses: readonly string[] = []

export function transformsOf(
  settings: Pick<SettingsRegistry, 'get'>,
  processes: Pick<ProcessRunner, 'run'>,
): Transforms {
  function requireMatching(put: Pick<Put, 'collection' | 'key' | 'value'>): void {
    const schema = settings.get(put.collection)?.schema
    if (schema !== undefined && schema !== null) requireValue(schema, put)
  }

  function matching(put: Put): Put {
    requireMatching(put)
    return put
  }

  /** Sets the expiry, and runs the processes that the settings name or, if there are no such settings, `otherwise`. */
  function processed(
    put: NewPut,
    own: Settings | undefined,
    base: Content | null,
    nowMs: number,
    otherwise: readonly string[],
  ) {
    const expiring = withExpiry(put, base === null ? own : undefined, nowMs)
    const names = own?.processes ?? otherwise
    if (names.length === 0) return expiring
    return processes.run(names, expiring, { ...refOf(put), nowMs }).then((content) => putOf(put, content))
  }

  return {
    has(collection) {
      const own = settings.get(collection)
      return own !== undefined && (own.defaultTtlMs !== null || own.processes !== null || own.schema !== null)
    },
    apply(put, base, nowMs) {
      const own = settings.get(put.collection)
      if (base !== null && put.value === base.value) return withExpiry(put, undefined, nowMs)
      const ready = processed(put, own, base, nowMs, noProcesses)
      return ready instanceof Promise ? ready.then(matching) : matching(ready)
    },
    prepare: (put, nowMs, otherwise) => processed(put, settings.get(put.collection), null, nowMs, otherwise),
    requireMatching,
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
  content: C,
): Omit<Put, 'expiresAtMs'> & Pick<C, 'expiresAtMs'> {
  const { contentType, flags, expiresAtMs } = content
  const encoded = encodedTextOf(content)
  return encoded === undefined
    ? { op: 'put', collection, key, value: content.value, contentType, flags, expiresAtMs }
    : withEncodedText({ op: 'put', collection, key, contentType, flags, expiresAtMs }, encoded)
}

function refOf({ collection, key }: MemberRef): MemberRef {
  return { collection, key }
}
