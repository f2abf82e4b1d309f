import { linesOf } from './lines.ts'
import type { Call, CallOptions, Transport } from './request.ts'
import type { MemberRef, Origin } from './types.ts'
import { jsonType } from './values.ts'

/** What a node says when it is compared with another one. `sdk/nodes.ts` has where to find it. */

/** A range of the keys of a collection. */
export interface ComparedRange {
  readonly collection: string
  /** The first key; null for the start. */
  readonly from: string | null
  /** The first key past the end; null for no end. */
  readonly to: string | null
  /** RFC 3339: members that have expired by then are left out. */
  readonly at: string
}

export interface ComparedCollections {
  readonly node: string
  readonly now: string
  /** `members` is null where the token does not reach all of the collection. */
  readonly collections: readonly { readonly name: string; readonly members: number | null }[]
}

/** Digests of ranges of so many members each, or of ranges that end at these keys. */
export type DigestsQuery = ComparedRange &
  ({ readonly members: number } | { readonly ends: readonly (string | null)[] })

export interface RangeDigests {
  readonly node: string
  /** At least one; ask again from the end of the last. Of a range that is too large the digest is null. */
  readonly ranges: readonly {
    readonly to: string | null
    readonly members: number
    readonly digest: string | null
  }[]
}

export interface KeyVersions {
  readonly node: string
  readonly versions: readonly {
    readonly key: string
    readonly origin: Origin
    readonly expires_at: string | null
  }[]
  /** The `from` of the next page; null when there are no more. */
  readonly next: string | null
}

export interface MemberStates {
  readonly node: string
  /** No tombstone that the node has forgotten has a larger stamp. */
  readonly forgotten_clock: number
  /** In the order of the question. */
  readonly states: readonly StateOfMember[]
}

export type StateOfMember =
  | { readonly type: 'put'; readonly origin: Origin; readonly expires_at: string | null }
  | { readonly type: 'delete' | 'expire'; readonly origin: Origin }
  | { readonly type: 'none' }

/** The calls by which nodes are compared. They need a token that grants `replicate`. */
export class NodeComparison {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Returns the collections that can be compared. */
  collections(options?: CallOptions): Promise<ComparedCollections> {
    const call: Call = { method: 'GET', path: '/v1/_digests', retry: 'idempotent', options }
    return this.#transport.send(call, this.#transport.json<ComparedCollections>)
  }

  digests(query: DigestsQuery, options?: CallOptions): Promise<RangeDigests> {
    return this.#transport.send(post('/v1/_digests', query, options), this.#transport.json<RangeDigests>)
  }

  /** Returns a page of the versions in a range, in the order of their keys. */
  versions(query: ComparedRange & { readonly limit: number }, options?: CallOptions): Promise<KeyVersions> {
    return this.#transport.send(post('/v1/_versions', query, options), this.#transport.json<KeyVersions>)
  }

  /** Returns what the node has of some members, tombstones included. */
  states(members: readonly MemberRef[], at: string, options?: CallOptions): Promise<MemberStates> {
    const call = post('/v1/_states', { members, at }, options)
    return this.#transport.send(call, this.#transport.json<MemberStates>)
  }

  /** Yields members or their tombstones as lines for `replicate`; those that do not exist are left out. Also needs `read`. */
  async *entries(members: readonly MemberRef[], options?: CallOptions): AsyncGenerator<string, void, void> {
    const { chunks } = await this.#transport.open(post('/v1/_entries', { members }, options))
    for await (const line of linesOf(chunks)) if (line !== '') yield line
  }
}

function post(path: string, body: object, options: CallOptions | undefined): Call {
  return {
    method: 'POST',
    path,
    headers: { 'content-type': jsonType },
    body: JSON.stringify(body),
    retry: 'idempotent',
    options,
  }
}
