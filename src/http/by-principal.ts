import type { Principal } from '../auth/principal.ts'
import type { Database } from '../core/database.ts'
import { requireMember } from '../core/permits.ts'
import { restricted } from '../core/restricted.ts'
import type { Store } from '../core/store.ts'
import { type Handled, isMemberRead, type Route } from './route.ts'

/**
 * Returns routes whose handlers see the store as the principal of their request may. `make` is called once for each
 * principal: with the store itself for those who may do everything, and otherwise with what the principal may see of it.
 */
export function routesByPrincipal(db: Database, make: (store: Store) => readonly Route[]): Route[] {
  const routes = make(db)
  const made = new WeakMap<Principal, readonly Route[]>()
  let last: { readonly principal: Principal; readonly own: readonly Route[] } | null = null

  function routesOf(principal: Principal): readonly Route[] {
    if (last?.principal === principal) return last.own
    const own = made.get(principal) ?? make(restricted(db, principal))
    made.set(principal, own)
    last = { principal, own }
    return own
  }

  return routes.map((route, i) => ({
    ...route,
    handle(request, context): Handled {
      const { principal } = context
      if (principal.permits.isEverything) return route.handle(request, context)
      const handled = routesOf(principal)[i]!.handle(request, context)
      // Such a member is read without the principal's store, together with those of other requests.
      if (isMemberRead(handled)) requireMember(principal, 'read', handled.ref)
      return handled
    },
  }))
}
