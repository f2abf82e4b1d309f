import type { Identity, Ticket } from './access-types.ts'
import { type Batch, type BatchResponse, batchBody, batchResults, type SeparateBatch } from './batch.ts'
import type { BatchOperation, BatchResults, SeparateResults } from './batch-types.ts'
import { ChangeSource, watchFeed, watchRaw } from './changes.ts'
import { array, checkOptions, checkToken, checkValue, type Rules } from './checks.ts'
import { Collection } from './collection.ts'
import type { EngineStatus } from './engine-types.ts'
import { KvistInputError } from './errors.ts'
import { readMembers } from './members.ts'
import { parseServerUrl, query, scopeOf } from './names.ts'
import { Nodes } from './nodes.ts'
import * as rules from './option-rules.ts'
import type {
  CollectionOptions,
  CollectionsOptions,
  CollectionsPageOptions,
  KvistOptions,
  ScopeOptions,
} from './options.ts'
import { type Call, type CallOptions, type Fetch, Transport } from './request.ts'
import { fetchWithTls, tlsRules } from './tls.ts'
import { requestTicket, Tokens } from './tokens.ts'
import type { CollectionInfo, CollectionsPage, Member, MemberRef, WatchEvent } from './types.ts'
import { jsonType } from './values.ts'
import type { RawEvent, Watch, WatchOptions, WatchRawOptions } from './watch.ts'

/** A kvist server. Nothing is sent until a method is called. */
export class Kvist extends ChangeSource<unknown> {
  /** Creates, lists and revokes tokens. */
  readonly tokens: Tokens
  /** Says what the server is to other nodes. */
  readonly nodes: Nodes
  readonly #transport: Transport

  /** The URL may end in `/v1`. Throws a KvistInputError if it is not an http or https URL, or if an option is bad. */
  constructor(url: string, options: KvistOptions = {}) {
    checkOptions(options, rules.kvistRules)
    const { token, timeoutMs = 30_000, retries = 4 } = options
    if (options.tls !== undefined && options.fetch !== undefined)
      throw new KvistInputError('tls is for the fetch of the runtime: give tls, or a fetch of your own')
    checkToken(token)
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    // Browsers require that fetch is called as a function of the window, so it is wrapped.
    const send = options.fetch ?? fetchOf(options.tls)
    const transport = new Transport(parseServerUrl(url), headers, send, { timeoutMs, retries })
    super({ transport, collection: null, parse: null })
    this.#transport = transport
    this.tokens = new Tokens(transport)
    this.nodes = new Nodes(transport)
  }

  /** The URL without a trailing slash or `/v1`. */
  get url(): string {
    return this.#transport.url
  }

  /**
   * Returns a collection. Sends nothing: a collection is created by its first member. The type T of its values is the
   * caller's assertion, unless a `parse` checks it.
   */
  collection<T = unknown>(name: string, options: CollectionOptions<T> = {}): Collection<T> {
    checkOptions(options, rules.collectionRules as Rules<CollectionOptions<T>>)
    return new Collection(this.#transport, name, options.parse ?? null)
  }

  /** Does what `getMany` of a collection does, for members of any collections. */
  async getMany(members: readonly MemberRef[], options?: CallOptions): Promise<(Member<unknown> | null)[]> {
    checkOptions(options, rules.callRules)
    checkValue('the members', members, array)
    return readMembers(this.#transport, members, null, options)
  }

  /** Yields the collections that have members, sorted by name, and fetches pages as the iteration proceeds. */
  collections(options: CollectionsOptions = {}): AsyncGenerator<CollectionInfo, void, void> {
    checkOptions(options, rules.collectionsRules)
    return this.#collections(options)
  }

  async *#collections(options: CollectionsOptions): AsyncGenerator<CollectionInfo, void, void> {
    let cursor: string | null | undefined
    while (cursor !== null) {
      const page: CollectionsPage = await this.collectionsPage({ limit: pageCollections, ...options, cursor })
      yield* page.collections
      cursor = page.next
    }
  }

  /** Returns one page of at most 10,000 collections. */
  async collectionsPage(options: CollectionsPageOptions = {}): Promise<CollectionsPage> {
    checkOptions(options, rules.collectionsPageRules)
    const { prefix, limit, cursor } = options
    const call: Call = {
      method: 'GET',
      path: `/v1${query({ prefix, limit, cursor })}`,
      retry: 'idempotent',
      options,
    }
    return this.#transport.send(call, this.#transport.json<CollectionsPage>)
  }

  /**
   * Commits all operations, or none. Resolves with a result for each operation: its revision, and the number of an
   * increment. Rejects with a KvistPreconditionError if a check fails.
   */
  async batch<const Operations extends readonly BatchOperation[] = readonly []>(
    batch: Batch<Operations>,
    options?: CallOptions,
  ): Promise<BatchResults<Operations>>
  /**
   * With `atomic: false` each operation is executed by itself, those on one member in their order. The result of one that
   * failed has an `error`.
   */
  async batch<const Operations extends readonly BatchOperation[]>(
    batch: SeparateBatch<Operations>,
    options?: CallOptions,
  ): Promise<SeparateResults<Operations>>
  async batch<const Operations extends readonly BatchOperation[]>(
    batch: Batch<Operations> | SeparateBatch<Operations>,
    options?: CallOptions,
  ): Promise<SeparateResults<Operations>> {
    checkOptions(options, rules.callRules)
    const call: Call = {
      method: 'POST',
      path: '/v1/_batch',
      headers: { 'content-type': jsonType },
      body: batchBody(batch),
      retry: 'if-rejected',
      options,
    }
    return batchResults(await this.#transport.send(call, this.#transport.json<BatchResponse>))
  }

  /** Returns where the store is. Needs a token that grants `read` on `*`. */
  async engine(options?: CallOptions): Promise<EngineStatus> {
    checkOptions(options, rules.callRules)
    const call: Call = { method: 'GET', path: '/v1/_engine', retry: 'idempotent', options }
    return this.#transport.send(call, this.#transport.json<EngineStatus>)
  }

  /**
   * Returns a backup of the whole store in chunks of its file, which has no end while the last chunk is missing; `kvist
   * backup` verifies that. Needs a token that grants `admin` on `*`.
   */
  async backup(options?: CallOptions): Promise<AsyncIterable<Uint8Array>> {
    checkOptions(options, rules.callRules)
    const call: Call = { method: 'GET', path: '/v1/_backup', retry: 'idempotent', options }
    return (await this.#transport.open(call)).chunks
  }

  /** Returns the name and the grants of the client's token. */
  async whoami(options?: CallOptions): Promise<Identity> {
    checkOptions(options, rules.callRules)
    const call: Call = { method: 'GET', path: '/v1/_whoami', retry: 'idempotent', options }
    return this.#transport.send(call, this.#transport.json<Identity>)
  }

  /**
   * Returns a ticket for one GET of a path of the API within a minute, and the URL with it: for an EventSource or a link
   * to a download. The path is as in a link, and may have a query: `/v1/users?prefix=a`.
   */
  async ticket(path: string, options?: CallOptions): Promise<Ticket> {
    checkOptions(options, rules.callRules)
    return requestTicket(this.#transport, path, options)
  }

  /** Watches all collections. */
  watch(options: WatchOptions & ScopeOptions = {}): Watch<WatchEvent<unknown>> {
    checkOptions(options, rules.watchRules)
    return watchFeed({ transport: this.#transport, parse: null }, storePath, scopeOf(options), options)
  }

  /**
   * Does what `watch` does, and yields each event as the server sent it; with `include: 'keys'` without values and their
   * metadata, for a reader that reads itself what it needs.
   */
  watchRaw(options: WatchRawOptions = {}): Watch<RawEvent> {
    checkOptions(options, rules.watchRawRules)
    const parameters = { ...scopeOf(options), include: options.include }
    return watchRaw(this.#transport, storePath, parameters, options)
  }
}

function fetchOf(tls: KvistOptions['tls']): Fetch {
  if (tls === undefined) return (to, init) => fetch(to, init)
  checkOptions(tls, tlsRules)
  return fetchWithTls(tls)
}

const pageCollections = 1000
const storePath = '/v1/_changes'
