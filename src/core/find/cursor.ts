import { KvistError } from '../errors.ts'
import { sortKey } from '../keys.ts'
import { maxKeyBytes } from '../limits.ts'
import type { SortPosition } from './ordered.ts'

/**
 * Where the next page of what was found begins. A position in the order of the keys is a key; one in the order of fields is
 * the position of the last member that was examined, with the order: a query without one goes on in the order of its first page.
 */
export type FindCursor =
  | { readonly by: 'key'; readonly key: string }
  | {
      readonly by: 'fields'
      readonly order: string
      readonly position: SortPosition
      readonly rest: string | null
    }

export function keyCursor(key: string): FindCursor {
  return { by: 'key', key }
}

/** `rest` is what follows the encoded values in the key of an index entry; null where no index served. */
export function fieldsCursor(order: string, position: SortPosition, rest: string | null): FindCursor {
  return { by: 'fields', order, position, rest }
}

export function formatCursor(cursor: FindCursor): string {
  if (cursor.by === 'key') return `k${cursor.key}`
  const { order, position, rest } = cursor
  return `f${JSON.stringify([order, position.key, rest, ...position.texts])}`
}

/** Parses what `formatCursor` returned. Clients can make cursors of their own: throws `invalid_cursor` for other texts. */
export function parseCursor(text: string): FindCursor {
  if (text.startsWith('k') && text.length > 1) return keyCursor(text.slice(1))
  const [order, key, rest, ...texts] = text.startsWith('f') ? listOf(text.slice(1)) : []
  const isPosition =
    typeof order === 'string' &&
    typeof key === 'string' &&
    (rest === null || typeof rest === 'string') &&
    texts.every((one) => typeof one === 'string' && one.length <= maxKeyBytes)
  if (!isPosition) throw new KvistError('invalid_cursor', 'the cursor is not one of this list')
  return fieldsCursor(order, { texts: texts as string[], key, sortKey: sortKey(key) }, rest)
}

function listOf(json: string): unknown[] {
  try {
    const parsed: unknown = JSON.parse(json)
    return Array.isArray(parsed) ? parsed : []
  } catch {
    return []
  }
}
