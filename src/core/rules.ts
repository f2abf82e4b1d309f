import type { Content } from './database.ts'
import type { Engine, Put, Write } from './engine.ts'
import { KvistError } from './errors.ts'
import { jsonContentType } from './member.ts'
import type { Pipeline } from './pipeline.ts'
import { noSettings, type Settings, type SettingsBook, settingsCollection, settingsJson } from './settings.ts'

/** What a collection's settings do to its writes. Most have none, and of those every write is asked once, here. */
export interface Rules {
  /** Whether a collection's members are anything but stored as they come. */
  has(collection: string): boolean
  settings(collection: string): Settings
  /** How long a read lets members live on; null where they expire when they do. */
  slidingTtlMs(collection: string): number | null
  /**
   * Sets or, with null, forgets what is set. Throws `conflict` where the operator's file has the say, `unprocessable`
   * for a process that is not there.
   */
  set(collection: string, settings: Settings | null, nowMs: number): Promise<void>
  /** With the default expiry, where the content has none of its own. */
  withExpiry<C extends Content>(collection: string, content: C, nowMs: number): C
  /** With the default expiry, and through the processes: the settings' own, or else these. */
  prepared(
    collection: string,
    key: string,
    content: Content,
    nowMs: number,
    otherwise?: readonly string[],
  ): Promise<Content>
  /**
   * A write as it is to be stored in place of `current`, null for nothing. A member keeps its expiry, and goes through no
   * process again when its value stays what it is: only its expiry is written then.
   */
  applied(write: Write, current: Content | null, nowMs: number): Promise<Write>
}

export function collectionRules(engine: Engine, book: SettingsBook, pipeline: Pipeline): Rules {
  function withExpiry<C extends Content>(collection: string, content: C, nowMs: number): C {
    const ttlMs = book.get(collection)?.defaultTtlMs ?? null
    return ttlMs === null || content.expiresAtMs !== null
      ? content
      : { ...content, expiresAtMs: nowMs + ttlMs }
  }

  async function prepared(
    collection: string,
    key: string,
    content: Content,
    nowMs: number,
    otherwise: readonly string[] = [],
  ): Promise<Content> {
    const names = book.get(collection)?.processes ?? otherwise
    const expiring = withExpiry(collection, content, nowMs)
    return names.length === 0 ? expiring : pipeline.run(names, expiring, { collection, key, nowMs })
  }

  return {
    has: (collection) => book.get(collection) !== undefined,
    settings: (collection) => book.get(collection) ?? noSettings,
    slidingTtlMs(collection) {
      const settings = book.get(collection)
      return settings?.sliding ? settings.defaultTtlMs : null
    },
    withExpiry,
    prepared,

    async set(collection, settings, nowMs) {
      if (book.isFixed(collection)) {
        throw new KvistError(
          'conflict',
          `the settings of ${collection} are in the server's configuration file`,
        )
      }
      if (settings !== null) {
        pipeline.requireNames(settings.processes ?? [])
        book.requireRoom(collection)
      }
      const result = await engine.commit({ checks: [], writes: [settingsWrite(collection, settings)], nowMs })
      if (!result.ok) throw new Error('a commit without checks cannot fail one')
    },

    async applied(write, current, nowMs) {
      if (write.op === 'delete' || book.get(write.collection) === undefined) return write
      if (current === null) return asPut(write, await prepared(write.collection, write.key, write, nowMs))
      if (write.value === current.value) return write
      const names = book.get(write.collection)?.processes ?? []
      return asPut(write, await pipeline.run(names, write, { ...write, nowMs }))
    },
  }
}

function asPut({ collection, key }: Put, { value, contentType, flags, expiresAtMs }: Content): Put {
  return { op: 'put', collection, key, value, contentType, flags, expiresAtMs }
}

function settingsWrite(collection: string, settings: Settings | null): Write {
  const ref = { collection: settingsCollection, key: collection }
  if (settings === null) return { ...ref, op: 'delete', cause: 'delete' }
  const value = settingsJson(settings)
  return { ...ref, op: 'put', value, contentType: jsonContentType, flags: 0, expiresAtMs: null }
}
