import { parseKey } from '../../core/keys.ts'
import type { Selection } from '../../core/list.ts'
import { compilePattern } from '../../core/pattern.ts'

/** Parses the parameters that select members of a collection. */

export const selectionParameters = ['prefix', 'filter', 'match', 'from', 'to'] as const
export type SelectionParameters = { readonly [N in (typeof selectionParameters)[number]]?: string }

export function parseSelection({ prefix = '', filter, match, from, to }: SelectionParameters): Selection {
  return {
    prefix: prefix === '' ? '' : parseKey(prefix),
    filter: filter === undefined ? null : compilePattern(filter),
    match: match === undefined ? null : compilePattern(match),
    from: from === undefined ? null : parseKey(from),
    to: to === undefined ? null : parseKey(to),
  }
}
