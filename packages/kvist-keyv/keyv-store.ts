import { type Collection, Kvist, type KvistOptions } from 'kvist-client'

/** The options of the client, and the collection that holds the entries. */
export interface KvistKeyvOptions extends KvistOptions {
  /** `keyv` is the default. */
  readonly collection?: string
}

/** An entry for `setMany`; `ttl` is in milliseconds. */
export interface KvistKeyvEntry {
  readonly key: string
  readonly value: unknown
  readonly ttl?: number | undefined
}

/** Keys of one request: a batch, and a read, take 10,000. */
const maxKeys = 10_000

/**
 * A storage adapter for Keyv: `new Keyv({ store: new KvistKeyv('http://127.0.0.1:7070') })`.
 *
 * A string, which is what Keyv serializes a value to, is stored as text, byte for byte; other values are stored as JSON,
 * and bytes as bytes. kvist removes what has expired. An entry with a time to live is gone at that time by the server's clock.
 */
export class KvistKeyv {
  /** Keyv 5 sets it, and puts it before each key, with a colon. */
  declare namespace?: string | undefined
  /** Keyv 5 iterates only over the dialects that it knows. */
  readonly opts: { readonly url: string; readonly dialect: 'redis' } & Record<string, unknown>
  readonly #kvist: Kvist
  readonly #entries: Collection<unknown>

  /** Nothing is sent until a method is called. Throws a KvistInputError for a bad URL or option. */
  constructor(url: string, { collection = 'keyv', ...options }: KvistKeyvOptions = {}) {
    this.#kvist = new Kvist(url, options)
    this.#entries = this.#kvist.collection(collection)
    this.opts = { url: this.#kvist.url, dialect: 'redis' }
  }

  /** Does nothing: failed calls reject, and Keyv emits them as its own `error` events. */
  on(): this {
    return this
  }

  async get<Value>(key: string): Promise<Value | undefined> {
    return decoded<Value>(await this.#entries.get(key))
  }

  async getMany<Value>(keys: readonly string[]): Promise<(Value | undefined)[]> {
    const found = await inChunks(keys, (some) => this.#entries.getMany(some))
    return found.map((member) => decoded<Value>(member))
  }

  /** Without a `ttl`, or with 0, the entry expires only by the `default_ttl` of the collection. */
  async set(key: string, value: unknown, ttl?: number): Promise<boolean> {
    const expiry = ttl === undefined || !(ttl > 0) ? {} : { expireIn: ttl / 1000 }
    if (typeof value === 'string') await this.#entries.putText(key, value, expiry)
    else await this.#entries.put(key, value, expiry)
    return true
  }

  /** Stores all, or rejects with the first that the server refused; the others are then stored. */
  async setMany(entries: readonly KvistKeyvEntry[]): Promise<boolean[]> {
    const { failed } = await this.#entries.import(entries.map(itemOf))
    const [first] = failed
    if (first !== undefined) throw new Error(`kvist refused entry ${first.line}: ${first.detail}`)
    return entries.map(() => true)
  }

  async delete(key: string): Promise<boolean> {
    return this.#entries.delete(key)
  }

  /** Deletes them together, in one request for 10,000. Resolves with true if there was any of them. */
  async deleteMany(keys: readonly string[]): Promise<boolean> {
    const collection = this.#entries.name
    const deleted = await inChunks(keys, async (some) =>
      this.#kvist.batch({ operations: some.map((key) => ({ op: 'delete' as const, collection, key })) }),
    )
    return deleted.some(({ revision }) => revision > 0)
  }

  async has(key: string): Promise<boolean> {
    return (await this.#entries.head(key)) !== null
  }

  async hasMany(keys: readonly string[]): Promise<boolean[]> {
    const found = await inChunks(keys, (some) => this.#entries.getMany(some))
    return found.map((member) => member !== null)
  }

  /** Deletes the entries of the namespace; without one, all of the collection. A token needs the grant `admin` for it. */
  async clear(): Promise<void> {
    await this.#entries.drop(this.namespace === undefined ? {} : { prefix: `${this.namespace}:` })
  }

  /** Yields each key as it is stored, with its value. */
  async *iterator<Value>(
    namespace: string | undefined = this.namespace,
  ): AsyncGenerator<[string, Value | undefined], void> {
    const selection = namespace === undefined ? {} : { prefix: `${namespace}:` }
    for await (const member of this.#entries.list(selection)) yield [member.key, decoded<Value>(member)]
  }

  /** Resolves at once: the client keeps no connection that would have to be closed. */
  async disconnect(): Promise<void> {}
}

interface Stored {
  readonly value: unknown
  readonly content_type: string
}

/** Returns what was stored: a string for a text. That it is a Value is what Keyv's caller asserts. */
function decoded<Value>(stored: Stored | null): Value | undefined {
  if (stored === null) return undefined
  const { value, content_type } = stored
  const isText = value instanceof Uint8Array && content_type.startsWith('text/')
  return (isText ? new TextDecoder('utf-8', { ignoreBOM: true }).decode(value) : value) as Value
}

function itemOf({ key, value, ttl }: KvistKeyvEntry) {
  return {
    key,
    value,
    ...(typeof value === 'string' ? { content_type: 'text/plain; charset=utf-8' } : {}),
    ...(ttl === undefined || !(ttl > 0) ? {} : { expire_in: ttl / 1000 }),
  }
}

async function inChunks<Result>(
  keys: readonly string[],
  run: (some: readonly string[]) => Promise<readonly Result[]>,
): Promise<Result[]> {
  const results: Result[] = []
  for (let start = 0; start < keys.length; start += maxKeys) {
    results.push(...(await run(keys.slice(start, start + maxKeys))))
  }
  return results
}
