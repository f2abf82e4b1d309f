import type { ListOptions } from 'kvist-client'
import { session } from '../api/session.svelte.ts'
import { criteriaOf, selectionOf } from '../members/criteria.ts'
import type { Query } from '../router/address.ts'

/** Returns the key of the member after or before a key in the list that the address has; null at its end. */
export async function neighbourOf(
  collection: string,
  key: string,
  query: Query,
  step: 1 | -1,
): Promise<string | null> {
  const criteria = criteriaOf(query)
  const isUpwards = (criteria.order === 'desc' ? -1 : 1) * step === 1
  // `from` includes the key itself, `to` does not.
  const range: ListOptions<'keys'> = isUpwards
    ? { from: key, order: 'asc', limit: 2 }
    : { to: key, order: 'desc', limit: 1 }
  const options = { ...selectionOf(criteria), ...range, include: 'keys' as const }
  for await (const found of session.kvist.collection(collection).list(options)) {
    if (found.key !== key) return found.key
  }
  return null
}
