import { type Collection, Kvist, type KvistOptions } from 'kvist-client'
import type { Driver } from 'unstorage'

/** The options of the client, with the server and the collection that holds the items. */
export interface KvistDriverOptions extends KvistOptions {
  /** `http://127.0.0.1:7070` is the default. */
  readonly url?: string
  /** `unstorage` is the default. */
  readonly collection?: string
}

/** A driver for unstorage with all that is optional: raw values, many items at once, `ttl`, metadata, and watching. */
export interface KvistDriver extends Driver<KvistDriverOptions, Collection<unknown>> {
  /** The collection, for what unstorage has no call for. */
  readonly getInstance: () => Collection<unknown>
}

const textType = 'text/plain; charset=utf-8'
const jsonType = 'application/json'
/** Requests that `setItems` has under way at once. */
const maxRequests = 16

/**
 * Returns a driver: `createStorage({ driver: kvistDriver({ url }) })`. Nothing is sent until it is used. Throws a
 * KvistInputError for a bad URL or option.
 *
 * unstorage passes each value as a text. One that is JSON is stored as JSON, other texts as text, byte for byte. The option
 * `ttl` of `setItem` is in seconds.
 */
export function kvistDriver(options: KvistDriverOptions = {}): KvistDriver {
  const { url = 'http://127.0.0.1:7070', collection = 'unstorage', ...clientOptions } = options
  const items = new Kvist(url, clientOptions).collection(collection)
  const watches = new Set<() => Promise<void>>()
  return {
    name: 'kvist',
    options,
    flags: { ttl: true },
    getInstance: () => items,
    hasItem: async (key) => (await items.head(key)) !== null,
    getItem: (key) => items.getText(key),
    getItems: (requested) =>
      readMany(
        items,
        requested.map(({ key }) => key),
      ),
    getItemRaw: (key) => readBytes(items, key),
    async setItem(key, value, { ttl } = {}) {
      await items.putRaw(key, value, typeOf(value), expiryOf(ttl))
    },
    async setItems(entries, common = {}) {
      await forEach(entries, async ({ key, value, options }) => {
        await items.putRaw(key, value, typeOf(value), expiryOf({ ...common, ...options }.ttl))
      })
    },
    async setItemRaw(key, value, { ttl } = {}) {
      if (typeof value === 'string') await items.putText(key, value, expiryOf(ttl))
      else await items.put(key, value, expiryOf(ttl))
    },
    async removeItem(key) {
      await items.delete(key)
    },
    getMeta: (key) => readMeta(items, key),
    getKeys: async (base) => keysOf(items, base),
    async clear(base) {
      await items.drop(selectionOf(base))
    },
    async watch(callback) {
      const stop = await watchItems(items, callback)
      watches.add(stop)
      return async () => {
        watches.delete(stop)
        await stop()
      }
    },
    async dispose() {
      await Promise.all([...watches].map((stop) => stop()))
    },
  }
}

/** Returns the type under which a text is stored: JSON if it is JSON. */
function typeOf(text: string): string {
  try {
    JSON.parse(text)
    return jsonType
  } catch {
    return textType
  }
}

function expiryOf(ttl: unknown): { expireIn?: number } {
  return typeof ttl === 'number' && ttl > 0 ? { expireIn: ttl } : {}
}

/** The root of a mount has no base, whatever the types of unstorage say. */
function selectionOf(base: string | undefined): { prefix?: string } {
  return base ? { prefix: base } : {}
}

/** Reads items at one moment, in the order of their keys, as texts; null for each that does not exist. */
async function readMany(items: Collection<unknown>, keys: readonly string[]) {
  const members = await items.getMany(keys)
  return members.map((member, i) => ({
    key: keys[i] ?? '',
    value: member === null ? null : textOf(member.value),
  }))
}

/** JSON is written as JSON again, so that unstorage parses it as it parses what `getItem` returns. */
function textOf(value: unknown): string {
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : JSON.stringify(value)
}

async function readBytes(items: Collection<unknown>, key: string): Promise<Uint8Array | null> {
  const raw = await items.getRaw(key)
  if (raw === null) return null
  const parts: Uint8Array[] = []
  for await (const part of raw.bytes) parts.push(part)
  return new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer())
}

async function readMeta(items: Collection<unknown>, key: string) {
  const metadata = await items.head(key)
  if (metadata === null) return null
  const { modified_at, expires_at, content_type, revision } = metadata
  return {
    // There is none within the second of the write.
    mtime: new Date(modified_at ?? Date.now()),
    ...(expires_at === null ? {} : { ttl: Math.max(0, (Date.parse(expires_at) - Date.now()) / 1000) }),
    contentType: content_type,
    revision,
  }
}

async function keysOf(items: Collection<unknown>, base: string | undefined): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of items.list({ ...selectionOf(base), include: 'keys' })) keys.push(key)
  return keys
}

type Report = (event: 'update' | 'remove', key: string) => unknown

/** Reports changes from now on; resolves, with what ends that, as soon as none will be missed. */
function watchItems(items: Collection<unknown>, report: Report): Promise<() => Promise<void>> {
  return new Promise((resolve, reject) => {
    const stop = async () => {
      await watch.return()
    }
    const watch = items.watch({ onConnect: () => resolve(stop) })
    const run = async () => {
      for await (const event of watch) {
        if (event.type !== 'reset') report(event.type === 'put' ? 'update' : 'remove', event.key)
      }
    }
    run().catch(reject)
  })
}

async function forEach<Item>(items: readonly Item[], run: (item: Item) => Promise<void>): Promise<void> {
  const remaining = items.values()
  const worker = async () => {
    for (const item of remaining) await run(item)
  }
  await Promise.all(Array.from({ length: maxRequests }, worker))
}
