import type { FeedCursor } from '../../core/engine.ts'
import type { Scope } from '../../core/feed/scope.ts'
import { parseCollection, parseKey } from '../../core/keys.ts'
import { compilePattern } from '../../core/pattern.ts'

/** What a request asks of the feed: whose changes, and from where on. */

export const scopeParameters = ['collection', 'prefix', 'filter'] as const
type Given = { readonly [N in (typeof scopeParameters)[number]]?: string }

export function parseScope({ collection, prefix = '', filter }: Given): Scope {
  return {
    collection: collection === undefined ? null : parseCollection(collection),
    key: null,
    prefix: prefix === '' ? null : parseKey(prefix),
    filter: filter === undefined ? null : compilePattern(filter),
  }
}

/**
 * A point as clients are shown it: a number where it is one, as revisions are; else text. Either comes back as
 * `since`, which engines read.
 */
export function pointValue(point: FeedCursor): number | string {
  return /^(?:0|[1-9]\d{0,15})$/.test(point) && Number(point) <= Number.MAX_SAFE_INTEGER
    ? Number(point)
    : point
}
