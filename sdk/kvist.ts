import { type Batch, batchBody } from './batch.ts'
import { type Feed, iterateChanges, readChanges, readChangesText, watchFeed, watchRaw } from './changes.ts'
import { checkOptions, checkToken, type Rules } from './checks.ts'
import { Collection } from './collection.ts'
import { parseServerUrl, scopeOf } from './names.ts'
import * as rules from './option-rules.ts'
import type { ChangesOptions, ScopeOptions } from './options.ts'
import { type Call, type CallOptions, type Fetch, Transport } from './request.ts'
import type { Change, ChangesPage, CollectionInfo, CollectionsPage, WatchEvent } from './types.ts'
import { jsonType, type Parse } from './values.ts'
import type { RawEvent, Watch, WatchOptions } from './watch.ts'

export interface KvistOptions {
  /** Sent as a bearer token. */
  readonly token?: string | undefined
  /** Overrides the runtime's own. */
  readonly fetch?: Fetch | undefined
  /**
   * How long each try may take until its whole response is there, or the next part of one that is read as it comes.
   * 30,000 is the default, 0 is without a limit.
   */
  readonly timeoutMs?: number | undefined
  /**
   * How often a call that failed is sent again, where that is safe; 4 is the default. Reads, and writes without a
   * condition, are also sent again when there was no response; other writes only when the server has done nothing.
   */
  readonly retries?: number | undefined
}

export interface CollectionOptions<T> {
  /** Called on every value that is read, so that it is what T says. What it throws comes as a KvistValueError. */
  readonly parse?: Parse<T> | undefined
}

/** A server. Nothing is sent until a method is called. */
export class Kvist {
  readonly #transport: Transport

  /**
   * The URL may end in `/v1`. Throws KvistInputError when it is not one of http or https, or when an option is not as it
   * must be.
   */
  constructor(url: string, options: KvistOptions = {}) {
    checkOptions(options, rules.kvistRules)
    const { token, timeoutMs = 30_000, retries = 4 } = options
    checkToken(token)
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    // Browsers require their fetch to be called as a function of the window, so it is not passed on as a value.
    const send = options.fetch ?? ((to: string, init: RequestInit) => fetch(to, init))
    this.#transport = new Transport(parseServerUrl(url), headers, send, { timeoutMs, retries })
  }

  /** Without a slash or `/v1` at its end. */
  get url(): string {
    return this.#transport.url
  }

  /**
   * Sends nothing: a collection comes into being with its first member. That values are of type T is the caller's claim,
   * which only a `parse` rules.
   */
  collection<T = unknown>(name: string, options: CollectionOptions<T> = {}): Collection<T> {
    checkOptions(options, rules.collectionRules as Rules<CollectionOptions<T>>)
    return new Collection(this.#transport, name, options.parse ?? null)
  }

  /** Those that have members, by name; all of them, page by page. */
  async collections(options?: CallOptions): Promise<readonly CollectionInfo[]> {
    checkOptions(options, rules.callRules)
    const all: CollectionInfo[] = []
    let query = ''
    for (;;) {
      const call: Call = { method: 'GET', path: `/v1${query}`, retry: 'idempotent', options }
      const { collections, next } = await this.#transport.send(call, (response) =>
        this.#transport.json<CollectionsPage>(response),
      )
      all.push(...collections)
      // Servers of before pages were there send no `next`.
      if (next === null || next === undefined) return all
      query = `?limit=10000&cursor=${encodeURIComponent(next)}`
    }
  }

  /**
   * Commits all of it, or nothing. Resolves with the revision of each operation, 0 for a delete of a member that did not
   * exist; rejects with a KvistPreconditionError when a check does not hold.
   */
  async batch(batch: Batch, options?: CallOptions): Promise<readonly number[]> {
    checkOptions(options, rules.callRules)
    const call: Call = {
      method: 'POST',
      path: '/v1/_batch',
      headers: { 'content-type': jsonType },
      body: batchBody(batch),
      retry: 'if-rejected',
      options,
    }
    const { revisions } = await this.#transport.send(call, (response) =>
      this.#transport.json<{ revisions: readonly number[] }>(response),
    )
    return revisions
  }

  /** What changed, in all collections, up to now: the latest state of each member, in the order of revisions. */
  changes(options: ChangesOptions = {}): AsyncGenerator<Change<unknown>, void, void> {
    checkOptions(options, rules.changesRules)
    return iterateChanges(this.#feed, options)
  }

  /**
   * One page of it, of at most 10,000 changes, and 100 where `limit` is not given. It may be short, even empty, while
   * there are more: at the end of the feed there are none and `next` is the `since` that was given.
   */
  async changesPage(options: ChangesOptions = {}): Promise<ChangesPage<unknown>> {
    checkOptions(options, rules.changesRules)
    return readChanges(this.#feed, options)
  }

  /** As `changesPage`, the text as the server wrote it: `{"changes": […], "next": …}`. */
  async changesText(options: ChangesOptions = {}): Promise<string> {
    checkOptions(options, rules.changesRules)
    return readChangesText(this.#feed, options)
  }

  /** What changes in all collections, as it happens. */
  watch(options: WatchOptions & ScopeOptions = {}): Watch<WatchEvent<unknown>> {
    checkOptions(options, rules.watchRules)
    return watchFeed(this.#feed, storePath, scopeOf(options), options)
  }

  /** As `watch`, each event as the server sent it. */
  watchRaw(options: WatchOptions & ScopeOptions = {}): Watch<RawEvent> {
    checkOptions(options, rules.watchRules)
    return watchRaw(this.#transport, storePath, scopeOf(options), options)
  }

  get #feed(): Feed<unknown> {
    return { transport: this.#transport, collection: null, parse: null }
  }
}

const storePath = '/v1/_changes'
