import type { FeedCursor } from '../../core/engine.ts'
import type { Scope } from '../../core/feed/scope.ts'
import { parseWhere } from '../../core/find/expressions.ts'
import { parseCollection, parseKey } from '../../core/keys.ts'
import { compilePattern } from '../../core/pattern.ts'

/** Parses the scope of a feed request, and formats cursors of the feed. */

export const scopeParameters = ['collection', 'prefix', 'filter', 'where'] as const
type Given = { readonly [N in (typeof scopeParameters)[number]]?: string }

export function parseScope({ collection, prefix = '', filter, where }: Given): Scope {
  return {
    collection: collection === undefined ? null : parseCollection(collection),
    key: null,
    prefix: prefix === '' ? null : parseKey(prefix),
    filter: filter === undefined ? null : compilePattern(filter),
    where: where === undefined ? null : parseWhere(where),
  }
}

/**
 * Returns a cursor as clients see it: a number if it is one, as revisions are, else text. Engines accept either as
 * `since`.
 */
export function pointValue(point: FeedCursor): number | string {
  return /^(?:0|[1-9]\d{0,15})$/.test(point) && Number(point) <= Number.MAX_SAFE_INTEGER
    ? Number(point)
    : point
}
