import { importAll } from './bulk.ts'
import { type Feed, iterateChanges, readChanges, readChangesText, watchFeed, watchRaw } from './changes.ts'
import { KvistNotFoundError } from './errors.ts'
import { linesOf } from './lines.ts'
import { collectionPath, type Parameters, query, scopeOf, segment } from './names.ts'
import type {
  AddOptions,
  ChangesOptions,
  ConditionOptions,
  ExpiryOptions,
  IncrementOptions,
  ListOptions,
  PageOptions,
  PatchOptions,
  PutOptions,
  ScopeOptions,
  Selection,
} from './options.ts'
import type { Call, CallOptions, Transport } from './request.ts'
import type {
  Change,
  ChangesPage,
  Found,
  ImportItem,
  ImportSummary,
  Include,
  JsonPatchOperation,
  Listed,
  MergePatch,
  Metadata,
  Page,
  Settings,
  Stored,
  WatchEvent,
} from './types.ts'
import { encodeValue, isJson, jsonOf, jsonType, type Parse, parseValue, revive } from './values.ts'
import type { RawEvent, Watch, WatchOptions } from './watch.ts'

/** A value that was not parsed. */
export interface RawValue extends Metadata {
  /** As it was stored, as it comes. Who stops reading ends the request. */
  readonly bytes: AsyncIterable<Uint8Array>
}

/** What of a collection is watched: one member, or those that prefix and filter name. */
export type WatchMembers = WatchOptions & ScopeOptions & { readonly key?: string | undefined }

const jsonLines = 'application/x-ndjson'
const listPageMembers = 1000

/**
 * A collection of members. Values are JSON, and go through JSON.stringify and JSON.parse, so of numbers only what a
 * JavaScript number holds comes back: `getText` gives the text that was stored. A Uint8Array is stored, and comes back,
 * as bytes.
 */
export class Collection<T> {
  readonly name: string
  readonly #path: string
  readonly #transport: Transport
  readonly #parse: Parse<T> | null

  /** Made by `Kvist.collection`. */
  constructor(transport: Transport, name: string, parse: Parse<T> | null) {
    this.name = name
    this.#path = collectionPath(name)
    this.#transport = transport
    this.#parse = parse
  }

  /** The value with what is known of it; null where there is no such member. */
  async get(key: string, options?: CallOptions): Promise<Found<T> | null> {
    const found = await this.#read(key, options, (response) => this.#found(key, response))
    return found === null ? null : { ...found, value: parseValue(key, found.value, this.#parse) }
  }

  /**
   * Waits until a member is not as the caller knows it: at this revision, or missing, which null says. Resolves with
   * what there is then, null for nothing, or `unchanged` when `waitMs` are over: 30,000 where nothing is said, at most
   * 5 minutes. A server that stops answers early.
   */
  async getWhenChanged(
    key: string,
    known: number | null,
    { waitMs = 30_000, ...options }: CallOptions & { readonly waitMs?: number | undefined } = {},
  ): Promise<Found<T> | null | 'unchanged'> {
    const call: Call = {
      method: 'GET',
      path: this.#member(key) + query({ wait: waitMs / 1000 }),
      headers: { 'if-none-match': `"${known ?? 0}"` },
      repeat: 'freely',
      also: [304],
      moreMs: waitMs,
      options,
    }
    const read = async (response: Response) => (response.ok ? this.#found(key, response) : 'unchanged')
    const found = await this.#transport.send(call, read).catch(nullWhenNotFound)
    if (found === null || found === 'unchanged') return found
    return { ...found, value: parseValue(key, found.value, this.#parse) }
  }

  /** The text of the value as it was stored; null where there is no such member. */
  getText(key: string, options?: CallOptions): Promise<string | null> {
    return this.#read(key, options, (response) => response.text())
  }

  /** The value as it was stored, byte for byte, as it comes; null where there is no such member. */
  async getRaw(key: string, options?: CallOptions): Promise<RawValue | null> {
    const call = { method: 'GET', path: this.#member(key), repeat: 'freely', options } as const
    const opened = await this.#transport.open(call).catch(nullWhenNotFound)
    return opened === null ? null : { ...metadataOf(key, opened.response), bytes: opened.chunks }
  }

  /** What is known of a member without its value; null where there is no such member. */
  async head(key: string, options?: CallOptions): Promise<Metadata | null> {
    const call = { method: 'HEAD', path: this.#member(key), repeat: 'freely', also: [404], options } as const
    return this.#transport.send(call, (response) => {
      if (response.ok) return metadataOf(key, response)
      // An answer to HEAD has no body that would say what was not found.
      if (response.headers.get('content-type')?.startsWith('application/problem+json')) return null
      throw this.#transport.notKvist(response)
    })
  }

  /** Stores a value in place of what there is. */
  async put(key: string, value: T, options: PutOptions = {}): Promise<Stored> {
    const { body, contentType } = encodeValue(value, options.contentType)
    return this.putRaw(key, body, contentType, options)
  }

  /** Stores these very bytes under this content type; text as UTF-8. */
  async putRaw(
    key: string,
    value: Uint8Array | string,
    contentType: string,
    options: PutOptions = {},
  ): Promise<Stored> {
    return this.#write('PUT', this.#member(key) + expiryQuery(options), contentType, value, options)
  }

  /** Stores a value under a new key that grows with time (UUIDv7), which the answer names. */
  async add(value: T, options: AddOptions = {}): Promise<Stored> {
    const { body, contentType } = encodeValue(value, options.contentType)
    const call: Call = {
      method: 'POST',
      path: this.#path + expiryQuery(options),
      headers: { 'content-type': contentType },
      body,
      repeat: 'refused',
      options,
    }
    return this.#transport.send(call, this.#transport.json<Stored>)
  }

  /** Changes a part of a value; where there is no member, the patch is merged into nothing. */
  async patch(key: string, patch: MergePatch<T>, options: PatchOptions = {}): Promise<Stored> {
    return this.#write(
      'PATCH',
      this.#member(key) + expiryQuery(options),
      'application/merge-patch+json',
      jsonOf(patch),
      options,
    )
  }

  /** Does all of the operations of a JSON patch (RFC 6902), or none. Rejects with KvistNotFoundError where there is no member. */
  async jsonPatch(
    key: string,
    operations: readonly JsonPatchOperation[],
    options: PatchOptions = {},
  ): Promise<Stored> {
    return this.#write(
      'PATCH',
      this.#member(key) + expiryQuery(options),
      'application/json-patch+json',
      jsonOf(operations),
      options,
    )
  }

  /** Adds to a number: the value itself, or what the JSON pointer `path` names in it. What is missing starts at 0. */
  async increment(key: string, by = 1, { path = '', ...options }: IncrementOptions = {}): Promise<Stored> {
    return this.#write(
      'PATCH',
      this.#member(key) + expiryQuery(options),
      'application/vnd.kvist.increment+json',
      jsonOf({ path, by }),
      options,
    )
  }

  /**
   * False where there was nothing. Without a condition it is sent again when there was no answer: false may then mean
   * that the first try has done it.
   */
  async delete(key: string, options: ConditionOptions = {}): Promise<boolean> {
    const call: Call = {
      method: 'DELETE',
      path: this.#member(key),
      headers: conditionHeaders(options),
      repeat: isConditional(options) ? 'refused' : 'freely',
      options,
    }
    return this.#transport.send(call, () => true).catch((error) => nullWhenNotFound(error) !== null)
  }

  /** Page after page, as far as it is iterated; what changes meanwhile may be seen or not. */
  async *list<I extends Include = 'all'>(
    options: ListOptions<I> = {},
  ): AsyncGenerator<Listed<T, I>, void, void> {
    let left = options.limit ?? Number.POSITIVE_INFINITY
    let cursor: string | null | undefined
    while (left > 0 && cursor !== null) {
      const page = await this.page<I>({ ...options, limit: Math.min(left, listPageMembers), cursor })
      yield* page.members
      left -= page.members.length
      cursor = page.next
    }
  }

  /** One page, of at most 10,000 members, and 100 where `limit` says nothing. It may be short while there are more. */
  async page<I extends Include = 'all'>(options: PageOptions<I> = {}): Promise<Page<Listed<T, I>>> {
    const path = this.#path + query({ ...listParameters(options), cursor: options.cursor })
    const call = { method: 'GET', path, repeat: 'freely', options } as const
    type Wire = Page<{ readonly key: string }>
    const { members, next } = await this.#transport.send(call, this.#transport.json<Wire>)
    return { members: members.map((member) => this.#revive<I>(member)), next }
  }

  /** As `list`, in one answer that is read as it comes: quicker, and broken off when the connection is. */
  async *export<I extends Include = 'all'>(
    options: ListOptions<I> = {},
  ): AsyncGenerator<Listed<T, I>, void, void> {
    for await (const line of linesOf(await this.lines(options))) yield this.#revive<I>(JSON.parse(line))
  }

  /** The members as one stream of NDJSON: each line is a Listed as the server wrote it, its value the text that was stored. */
  async lines(options: ListOptions = {}): Promise<AsyncIterable<Uint8Array>> {
    const path = this.#path + query(listParameters(options))
    const headers = { accept: jsonLines }
    const { chunks } = await this.#transport.open({ method: 'GET', path, headers, repeat: 'freely', options })
    return chunks
  }

  /** Stores many members. Good ones are stored whatever becomes of the bad ones, which the summary names by their number. */
  import(
    items: Iterable<ImportItem<T>> | AsyncIterable<ImportItem<T>>,
    options?: CallOptions,
  ): Promise<ImportSummary> {
    return importAll(items, (lines) => this.importLines(lines, options))
  }

  /** Stores NDJSON lines as `lines` gives them, in one request. Sent again, it stores the same again. */
  async importLines(lines: Uint8Array | string, options?: CallOptions): Promise<ImportSummary> {
    const headers = { 'content-type': jsonLines }
    const call = {
      method: 'POST',
      path: this.#path,
      headers,
      body: lines,
      repeat: 'freely',
      options,
    } as const
    return this.#transport.send(call, this.#transport.json<ImportSummary>)
  }

  /** Deletes what is selected, each member by itself; without a selection all of them. Says how many there were. */
  async drop(options: Selection & CallOptions = {}): Promise<number> {
    const { prefix, filter, match, from, to } = options
    const path = this.#path + query({ prefix, filter, match, from, to })
    const call = { method: 'DELETE', path, repeat: 'unsent', options } as const
    const { deleted } = await this.#transport.send(call, this.#transport.json<{ deleted: number }>)
    return deleted
  }

  /** What changed in this collection, up to now: the latest state of each member, in the order of revisions. */
  changes(options: ChangesOptions = {}): AsyncGenerator<Change<T>, void, void> {
    return iterateChanges(this.#feed, options)
  }

  /**
   * One page of it, of at most 10,000 changes, and 100 where `limit` says nothing. It may be short, even empty, while
   * there are more: at the end of the feed there are none and `next` is the `since` that was given.
   */
  changesPage(options: ChangesOptions = {}): Promise<ChangesPage<T>> {
    return readChanges(this.#feed, options)
  }

  /** As `changesPage`, the text as the server wrote it: `{"changes": […], "next": …}`. */
  changesText(options: ChangesOptions = {}): Promise<string> {
    return readChangesText(this.#feed, options)
  }

  /** What changes in this collection, as it happens; with a `key`, of this member, which need not be there. */
  watch(options: WatchMembers = {}): Watch<WatchEvent<T>> {
    return watchFeed(this.#feed, this.#watched(options), scopeOf(options), options)
  }

  /** As `watch`, each event as the server sent it. */
  watchRaw(options: WatchMembers = {}): Watch<RawEvent> {
    return watchRaw(this.#transport, this.#watched(options), scopeOf(options), options)
  }

  /** What is set for this collection. */
  settings(options?: CallOptions): Promise<Settings> {
    return this.#settings({ method: 'GET', options })
  }

  /** Sets all of it: what is left out is as if it had never been set. */
  setSettings(settings: Partial<Settings>, options?: CallOptions): Promise<Settings> {
    const headers = { 'content-type': jsonType }
    return this.#settings({ method: 'PUT', headers, body: jsonOf(settings), options })
  }

  #settings(call: Omit<Call, 'path' | 'repeat'>): Promise<Settings> {
    const path = `/v1/_collections/${segment(this.name)}`
    return this.#transport.send({ ...call, path, repeat: 'freely' }, this.#transport.json<Settings>)
  }

  get #feed(): Feed<T> {
    return { transport: this.#transport, collection: this.name, parse: this.#parse }
  }

  #watched({ key }: WatchMembers): string {
    return key === undefined ? this.#path : this.#member(key)
  }

  #member(key: string): string {
    return `${this.#path}/${segment(key)}`
  }

  #revive<I extends Include>(member: { readonly key: string }): Listed<T, I> {
    return revive<T, Listed<T, I>>(member, this.#parse)
  }

  /** The value is not parsed yet: what a caller's `parse` throws is no fault of the connection. */
  async #found(key: string, response: Response): Promise<Found<unknown>> {
    const metadata = metadataOf(key, response)
    const value: unknown = isJson(metadata.content_type)
      ? await this.#transport.json(response)
      : new Uint8Array(await response.arrayBuffer())
    return { ...metadata, value }
  }

  #read<R>(
    key: string,
    options: CallOptions | undefined,
    read: (response: Response) => Promise<R>,
  ): Promise<R | null> {
    const call = { method: 'GET', path: this.#member(key), repeat: 'freely', options } as const
    return this.#transport.send(call, read).catch(nullWhenNotFound)
  }

  #write(
    method: 'PUT' | 'PATCH',
    path: string,
    contentType: string,
    body: Uint8Array | string,
    options: ConditionOptions,
  ): Promise<Stored> {
    const headers = { 'content-type': contentType, ...conditionHeaders(options) }
    // A patch that is done twice need not leave what it leaves when it is done once.
    const repeat = method === 'PUT' && !isConditional(options) ? 'freely' : 'refused'
    return this.#transport.send(
      { method, path, headers, body, repeat, options },
      this.#transport.json<Stored>,
    )
  }
}

function isConditional({ ifRevision, create }: ConditionOptions): boolean {
  return ifRevision !== undefined || create === true
}

function conditionHeaders({ ifRevision, create }: ConditionOptions): Record<string, string> {
  return {
    ...(ifRevision === undefined ? {} : { 'if-match': ifRevision === 'any' ? '*' : `"${ifRevision}"` }),
    ...(create ? { 'if-none-match': '*' } : {}),
  }
}

function expiryQuery({ expireIn, expireAt }: ExpiryOptions): string {
  return query({ expire_in: expireIn, expire_at: expireAt })
}

function listParameters({ prefix, filter, match, from, to, order, limit, include }: ListOptions): Parameters {
  return { prefix, filter, match, from, to, order, limit, include }
}

function metadataOf(key: string, { headers }: Response): Metadata {
  return {
    key,
    revision: Number(/"(\d+)"/.exec(headers.get('etag') ?? '')?.[1]),
    modified_at: new Date(headers.get('last-modified') ?? '').toISOString(),
    expires_at: headers.get('kvist-expires-at'),
    content_type: headers.get('content-type') ?? '',
  }
}

/** For `catch`: that there is no such member is an answer, too. */
function nullWhenNotFound(error: unknown): null {
  if (error instanceof KvistNotFoundError) return null
  throw error
}
