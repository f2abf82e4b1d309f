import { type Feed, iterateChanges, readChanges, readChangesText, watchFeed, watchRaw } from './changes.ts'
import { Collection } from './collection.ts'
import { KvistInputError } from './errors.ts'
import { scopeOf } from './names.ts'
import type { ChangesOptions, ScopeOptions } from './options.ts'
import { type CallOptions, type Fetch, Transport } from './request.ts'
import type { BatchCheck, BatchOperation, Change, ChangesPage, CollectionInfo, WatchEvent } from './types.ts'
import { jsonOf, jsonType, type Parse } from './values.ts'
import type { RawEvent, Watch, WatchOptions } from './watch.ts'

export interface KvistOptions {
  /** Sent as a bearer token. */
  readonly token?: string | undefined
  /** In place of the runtime's own. */
  readonly fetch?: Fetch | undefined
  /**
   * How long one try may take until its whole answer is there, or the next part of one that is read as it comes: 30,000
   * where nothing is said, 0 for ever.
   */
  readonly timeoutMs?: number | undefined
  /**
   * How often a call that failed is sent again, where that is safe: 4 where nothing is said. Reads and writes without a
   * condition are sent again when there was no answer, too; other writes only when the server did nothing.
   */
  readonly retries?: number | undefined
}

export interface CollectionOptions<T> {
  /** Called on every value that is read, so that it is what T says. What it throws comes as a KvistValueError. */
  readonly parse?: Parse<T> | undefined
}

/** A server. Nothing is sent until something is asked. */
export class Kvist {
  readonly #transport: Transport

  /** Throws KvistInputError when the URL is not one of http or https. */
  constructor(url: string, options: KvistOptions = {}) {
    const { token, timeoutMs = 30_000, retries = 4 } = options
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    // Not taken as it is: browsers want their fetch called as a function of the window.
    const send = options.fetch ?? ((to: string, init: RequestInit) => fetch(to, init))
    this.#transport = new Transport(parseUrl(url), headers, send, { timeoutMs, retries })
  }

  /** Without a slash at its end. */
  get url(): string {
    return this.#transport.url
  }

  /**
   * Nothing is sent: a collection comes into being with its first member. What T is the caller knows, and nobody checks,
   * unless there is a `parse`.
   */
  collection<T = unknown>(name: string, options: CollectionOptions<T> = {}): Collection<T> {
    return new Collection(this.#transport, name, options.parse ?? null)
  }

  /** Those that have members, by name. */
  async collections(options?: CallOptions): Promise<readonly CollectionInfo[]> {
    const call = { method: 'GET', path: '/v1', repeat: 'freely', options } as const
    const { collections } = await this.#transport.send(call, (response) =>
      this.#transport.json<{ collections: readonly CollectionInfo[] }>(response),
    )
    return collections
  }

  /**
   * All of it happens, or nothing. Resolves with the revision of each operation, 0 for a delete of what was not there;
   * rejects with a KvistPreconditionError when a check does not hold.
   */
  async batch(
    {
      checks = [],
      operations = [],
    }: { checks?: readonly BatchCheck[]; operations?: readonly BatchOperation[] },
    options?: CallOptions,
  ): Promise<readonly number[]> {
    for (const operation of operations) {
      if (operation.op !== 'put') continue
      if (operation.value instanceof Uint8Array) throw new KvistInputError('a batch takes no bytes')
      jsonOf(operation.value)
    }
    const { revisions } = await this.#transport.send(
      {
        method: 'POST',
        path: '/v1/_batch',
        headers: { 'content-type': jsonType },
        body: JSON.stringify({ checks, operations }),
        repeat: 'refused',
        options,
      },
      (response) => this.#transport.json<{ revisions: readonly number[] }>(response),
    )
    return revisions
  }

  /** What changed, in all collections, up to now: the latest state of each member, in the order of revisions. */
  changes(options: ChangesOptions = {}): AsyncGenerator<Change<unknown>, void, void> {
    return iterateChanges(this.#feed, options)
  }

  /**
   * One page of it, of at most 10,000 changes, and 100 where `limit` says nothing. It may be short, even empty, while
   * there are more: at the end of the feed there are none and `next` is the `since` that was given.
   */
  changesPage(options: ChangesOptions = {}): Promise<ChangesPage<unknown>> {
    return readChanges(this.#feed, options)
  }

  /** As `changesPage`, the text as the server wrote it: `{"changes": […], "next": …}`. */
  changesText(options: ChangesOptions = {}): Promise<string> {
    return readChangesText(this.#feed, options)
  }

  /** What changes in all collections, as it happens. */
  watch(options: WatchOptions & ScopeOptions = {}): Watch<WatchEvent<unknown>> {
    return watchFeed(this.#feed, storePath, scopeOf(options), options)
  }

  /** As `watch`, each event as the server sent it. */
  watchRaw(options: WatchOptions & ScopeOptions = {}): Watch<RawEvent> {
    return watchRaw(this.#transport, storePath, scopeOf(options), options)
  }

  get #feed(): Feed<unknown> {
    return { transport: this.#transport, collection: null, parse: null }
  }
}

const storePath = '/v1/_changes'

function parseUrl(given: string): string {
  const url = URL.canParse(given) ? new URL(given) : null
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new KvistInputError(`not a URL of http or https: ${JSON.stringify(given)}`)
  if (url.search !== '' || url.hash !== '')
    throw new KvistInputError('the URL of a server has neither ? nor #')
  return given.replace(/\/+$/, '')
}
