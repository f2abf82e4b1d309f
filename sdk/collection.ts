import { watchFeed, watchRaw } from './changes.ts'
import {
  array,
  checkFields,
  checkOptions,
  checkValue,
  finiteNumber,
  contentType as isContentType,
} from './checks.ts'
import { KvistInputError } from './errors.ts'
import { expiryFields, expiryOptionRules, expiryQuery, hasExpiry } from './expiry.ts'
import type { History } from './history-types.ts'
import { jsonOf } from './json.ts'
import { jsonPatchBody } from './json-patch.ts'
import type { ListSource } from './lists.ts'
import { MemberLists } from './member-lists.ts'
import {
  conditionHeaders,
  isConditional,
  metadataOf,
  nullWhenNotFound,
  readFound,
  readMembers,
  readText,
  revisionOf,
  settingsCondition,
  touchCall,
  waitForChange,
  writeCall,
} from './members.ts'
import { collectionPath, memberPath, query, scopeOf } from './names.ts'
import * as rules from './option-rules.ts'
import type {
  AddOptions,
  ConditionOptions,
  HistoryOptions,
  IncrementOptions,
  PatchOptions,
  PutOptions,
  PutRawOptions,
  PutTextOptions,
  SettingsOptions,
  TouchOptions,
  WaitOptions,
} from './options.ts'
import type { Call, CallOptions, Transport } from './request.ts'
import type { Settings, StoredSettings } from './settings-types.ts'
import type {
  Found,
  Incremented,
  JsonPatchOperation,
  Member,
  MergePatch,
  Metadata,
  RawValue,
  Stored,
  WatchEvent,
} from './types.ts'
import {
  type Bytes,
  bytesOf,
  checkedText,
  encodeValue,
  jsonType,
  type Parse,
  parseValue,
  textType,
} from './values.ts'
import type { RawEvent, Watch, WatchMembersOptions } from './watch.ts'

/**
 * A collection of members. Values are JSON and pass through JSON.stringify and JSON.parse, so numbers come back as
 * JavaScript numbers: `getText` returns the text that was stored. Bytes (ArrayBuffer, typed arrays, DataView, Buffer)
 * are stored as they are and come back as a Uint8Array.
 *
 * A call with bad arguments fails with a KvistInputError before anything is sent: methods that return a promise reject
 * with it, those that return an iterator throw it when they are called.
 */
export class Collection<T> extends MemberLists<T> {
  readonly name: string
  readonly #path: string
  readonly #transport: Transport
  readonly #parse: Parse<T> | null

  /** Called by `Kvist.collection`. */
  constructor(transport: Transport, name: string, parse: Parse<T> | null) {
    const path = collectionPath(name)
    super({ transport, path, parse }, name)
    this.#path = path
    this.name = name
    this.#transport = transport
    this.#parse = parse
  }

  /** Returns the value with its metadata; null if there is no such member. */
  async get(key: string, options?: CallOptions): Promise<Found<T> | null> {
    const found = await this.#read(key, options, (response) => readFound(this.#transport, key, response))
    return found === null ? null : { ...found, value: parseValue(key, found.value, this.#parse) }
  }

  /**
   * Returns the members with these keys, at most 10,000, read at one moment, in the order of the keys; null for each
   * that does not exist.
   */
  async getMany(keys: readonly string[], options?: CallOptions): Promise<(Member<T> | null)[]> {
    checkOptions(options, rules.callRules)
    checkValue('the keys', keys, array)
    const members = keys.map((key) => ({ collection: this.name, key }))
    return readMembers(this.#transport, members, this.#parse, options)
  }

  /**
   * Waits until a member differs from the state that the caller knows: its revision, or null for no member. Resolves
   * with the new state, null for no member, or `unchanged` after `waitMs`. A server that is stopping responds early.
   */
  async getWhenChanged(
    key: string,
    known: number | null,
    options: WaitOptions = {},
  ): Promise<Found<T> | null | 'unchanged'> {
    checkOptions(options, rules.waitRules)
    checkValue('the known revision', known, rules.knownRevision)
    const found = await waitForChange(this.#transport, this.#member(key), key, known, options)
    if (found === null || found === 'unchanged') return found
    return { ...found, value: parseValue(key, found.value, this.#parse) }
  }

  /**
   * Returns what the member was at a point in time, a revision or a time, as the archive of the server tells; null if
   * there was no such member. Rejects with `unprocessable` for a point that the archive does not have, and with
   * `not_implemented` where the server has none.
   */
  async getAt(key: string, at: Date | string | number, options?: CallOptions): Promise<Found<T> | null> {
    checkValue('the point in time', at, rules.pointInTime)
    const call = this.#get(key, options)
    const point = at instanceof Date ? at.toISOString() : String(at)
    const path = `${call.path}${query({ at: point })}`
    const read = (response: Response) => readFound(this.#transport, key, response)
    const found = await this.#transport.send({ ...call, path }, read).catch(nullWhenNotFound)
    return found === null ? null : { ...found, value: parseValue(key, found.value, this.#parse) }
  }

  /** Returns a page of the versions of a member that the archive of the server has, newest first. */
  async history(key: string, options: HistoryOptions = {}): Promise<History> {
    checkOptions<HistoryOptions>(options, rules.historyRules)
    const { before, limit, include } = options
    const path = `${memberPath(this.#path.replace('/v1/', '/v1/_history/'), key)}${query({ before, limit, include })}`
    const call: Call = { method: 'GET', path, retry: 'idempotent', options }
    return this.#transport.send(call, this.#transport.json<History>)
  }

  /** Returns the text of the value as it was stored; null if there is no such member. */
  async getText(key: string, options?: CallOptions): Promise<string | null> {
    return this.#read(key, options, readText)
  }

  /** Returns the value as it was stored, byte for byte, as a stream; null if there is no such member. */
  async getRaw(key: string, options?: CallOptions): Promise<RawValue | null> {
    const opened = await this.#transport.open(this.#get(key, options)).catch(nullWhenNotFound)
    return opened === null ? null : { ...metadataOf(key, opened.response), bytes: opened.chunks }
  }

  /** Returns the metadata of a member without its value; null if there is no such member. */
  async head(key: string, options?: CallOptions): Promise<Metadata | null> {
    const call: Call = { ...this.#get(key, options), method: 'HEAD', also: [404] }
    return this.#transport.send(call, (response) => {
      if (response.ok) return metadataOf(key, response)
      // A response to HEAD has no body that names what was not found.
      if (response.headers.get('content-type')?.startsWith('application/problem+json')) return null
      throw this.#transport.notKvist(response)
    })
  }

  /** Stores a value and replaces the existing one. */
  async put(key: string, value: T, options: PutOptions = {}): Promise<Stored> {
    checkOptions(options, rules.putRules)
    const { body, contentType } = encodeValue(value, options.contentType)
    return this.#write('PUT', key, contentType, body, options)
  }

  /** Stores a text as UTF-8; `getText` returns it. */
  async putText(key: string, text: string, options: PutTextOptions = {}): Promise<Stored> {
    checkOptions(options, rules.putRules)
    return this.#write('PUT', key, options.contentType ?? textType, checkedText(text), options)
  }

  /** Stores bytes as they are, or a text as UTF-8, under this content type. Under a JSON type they must be JSON. */
  async putRaw(
    key: string,
    value: Bytes | string,
    contentType: string,
    options: PutRawOptions = {},
  ): Promise<Stored> {
    checkOptions(options, rules.putRawRules)
    checkValue('the content type', contentType, isContentType)
    return this.#write('PUT', key, contentType, bytesOf(value) ?? checkedText(value), options)
  }

  /** Stores a value under a new key, a UUIDv7, which grows with time. The result has the key. */
  async add(value: T, options: AddOptions = {}): Promise<Stored> {
    checkOptions(options, rules.addRules)
    const { body, contentType } = encodeValue(value, options.contentType)
    const call: Call = {
      method: 'POST',
      path: this.#path + expiryQuery(options),
      headers: { 'content-type': contentType },
      body,
      retry: 'if-rejected',
      options,
    }
    return this.#transport.send(call, this.#transport.json<Stored>)
  }

  /**
   * Applies a merge patch to a value; if there is no member, the patch creates it. An empty patch with an expiry is a
   * touch, which keeps a value that is not an object, and rejects with KvistNotFoundError if there is no member.
   */
  async patch(key: string, patch: MergePatch<T>, options: PatchOptions = {}): Promise<Stored> {
    checkOptions(options, rules.patchRules)
    const body = jsonOf(patch, 'the patch')
    if (body === '{}' && hasExpiry(options)) return this.#touch(key, options)
    return this.#write('PATCH', key, 'application/merge-patch+json', body, options)
  }

  /**
   * Applies all operations of a JSON patch (RFC 6902), or none. Rejects with KvistNotFoundError if there is no member.
   */
  async jsonPatch(
    key: string,
    operations: readonly JsonPatchOperation[],
    options: PatchOptions = {},
  ): Promise<Stored> {
    checkOptions(options, rules.patchRules)
    return this.#write('PATCH', key, 'application/json-patch+json', jsonPatchBody(operations), options)
  }

  /**
   * Adds to a number: the value itself, or the number at the JSON pointer `path`. A missing number starts at 0.
   * Resolves with the new number.
   */
  async increment(key: string, by = 1, options: IncrementOptions = {}): Promise<Incremented> {
    checkOptions(options, rules.incrementRules)
    checkOptions(options.ifCreated, expiryOptionRules)
    checkValue('the number to add', by, finiteNumber)
    const { path = '', ifCreated, ...others } = options
    const body = { path, by, ...(ifCreated === undefined ? {} : { if_created: expiryFields(ifCreated) }) }
    return this.#write<Incremented>(
      'PATCH',
      key,
      'application/vnd.kvist.increment+json',
      jsonOf(body),
      others,
    )
  }

  /** Changes only the expiry, of any kind of value; the revision stays. Null if there is no such member. */
  async touch(key: string, options: TouchOptions): Promise<Stored | null> {
    checkOptions<PatchOptions>(options, rules.patchRules)
    if (options === undefined || !hasExpiry(options))
      throw new KvistInputError('a touch needs expireIn or expireAt; null is never')
    return this.#touch(key, options).catch(nullWhenNotFound)
  }

  /**
   * Returns whether there was such a member. Without a condition the request is sent again if there was no response:
   * false may then mean that the first try deleted the member.
   */
  async delete(key: string, options: ConditionOptions = {}): Promise<boolean> {
    checkOptions(options, rules.conditionRules)
    const call: Call = {
      method: 'DELETE',
      path: this.#member(key),
      headers: conditionHeaders(options),
      retry: isConditional(options) ? 'if-rejected' : 'idempotent',
      options,
    }
    return this.#transport.send(call, () => true).catch((error) => nullWhenNotFound(error) !== null)
  }

  /** Watches this collection or, with a `key`, one member, which need not exist. */
  watch(options: WatchMembersOptions = {}): Watch<WatchEvent<T>> {
    checkOptions(options, rules.watchMembersRules)
    return watchFeed(this.#list, this.#watched(options), scopeOf(options), options)
  }

  /** Does what `watch` does, and yields each event as the server sent it. */
  watchRaw(options: WatchMembersOptions = {}): Watch<RawEvent> {
    checkOptions(options, rules.watchMembersRules)
    return watchRaw(this.#transport, this.#watched(options), scopeOf(options), options)
  }

  /** Returns the settings of this collection. */
  async settings(options?: CallOptions): Promise<StoredSettings> {
    checkOptions(options, rules.callRules)
    return this.#settings({ method: 'GET', retry: 'idempotent', options })
  }

  /**
   * Replaces all settings: one that is left out is unset. To change some of them, read all, and send them back with
   * their `revision` as `ifRevision`.
   */
  async setSettings(settings: Partial<StoredSettings>, options?: SettingsOptions): Promise<StoredSettings> {
    checkFields(settings, rules.settingsRules, '')
    checkOptions(options, rules.settingsOptionRules)
    const { revision: _, ...sent } = settings
    return this.#settings({
      method: 'PUT',
      headers: { 'content-type': jsonType, ...settingsCondition(options) },
      body: jsonOf(sent, 'the settings'),
      retry: options?.ifRevision === undefined ? 'idempotent' : 'if-rejected',
      options,
    })
  }

  #settings(call: Omit<Call, 'path'>): Promise<StoredSettings> {
    const path = `/v1/_collections/${encodeURIComponent(this.name)}`
    return this.#transport.send({ ...call, path }, async (response) => ({
      ...(await this.#transport.json<Settings>(response)),
      revision: revisionOf(response),
    }))
  }

  get #list(): ListSource<T> {
    return { transport: this.#transport, path: this.#path, parse: this.#parse }
  }

  #watched({ key }: WatchMembersOptions): string {
    return key === undefined ? this.#path : this.#member(key)
  }

  #member(key: string): string {
    return memberPath(this.#path, key)
  }

  #get(key: string, options: CallOptions | undefined): Call {
    checkOptions(options, rules.callRules)
    return { method: 'GET', path: this.#member(key), retry: 'idempotent', options }
  }

  #read<R>(
    key: string,
    options: CallOptions | undefined,
    read: (response: Response) => Promise<R>,
  ): Promise<R | null> {
    return this.#transport.send(this.#get(key, options), read).catch(nullWhenNotFound)
  }

  #touch(key: string, options: PatchOptions): Promise<Stored> {
    return this.#transport.send(touchCall(this.#member(key), options), this.#transport.json<Stored>)
  }

  #write<Result = Stored>(
    method: 'PUT' | 'PATCH',
    key: string,
    contentType: string,
    body: Uint8Array | string,
    options: PutRawOptions,
  ): Promise<Result> {
    const call = writeCall(method, this.#member(key), contentType, body, options)
    return this.#transport.send(call, this.#transport.json<Result>)
  }
}
