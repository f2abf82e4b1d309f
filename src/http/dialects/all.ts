import type { Database } from '../../core/database.ts'
import { KvistError } from '../../core/errors.ts'
import { routesByPrincipal } from '../by-principal.ts'
import type { Route } from '../route.ts'
import type { Dialect, DialectParts } from './dialect.ts'
import { keys } from './keys.ts'
import { minstore, recordsCollection } from './minstore.ts'
import { noServers, RecordCache } from './minstore-cache.ts'
import { ozza } from './ozza.ts'
import { reforg } from './reforg.ts'
import { tenantbase } from './tenantbase.ts'

/** Every dialect. Adding one takes a file beside these, an entry here, and a choice of `--dialect`. */
export const dialects: readonly Dialect[] = [ozza, keys, reforg, minstore, tenantbase]

/** First segments of kvist's own paths, which no dialect at the root can use. */
const ownSegments = new Set([
  'v1',
  'dialects',
  'docs',
  'openapi.json',
  'metrics',
  'healthz',
  'readyz',
  'console',
])

/**
 * Returns the routes of all dialects under `/dialects/<name>`, and those of the chosen one at the root too. Without `parts`
 * the node has no servers.
 */
export function dialectRoutes(
  db: Database,
  chosen: string | null,
  parts: DialectParts = { records: new RecordCache(recordsCollection, noServers, () => 0) },
): Route[] {
  const open = dialects.map((dialect) => ({
    ...dialect,
    // Without `--dialect`, its open CORS policy must not apply.
    anyOrigin: dialect.anyOrigin === true && dialect.name === chosen,
  }))
  const root = open.filter(({ name }) => name === chosen)
  return [
    ...open.flatMap((dialect) => mounted(dialect, db, parts, `/dialects/${dialect.name}`)),
    ...root.flatMap((dialect) =>
      mounted(dialect, db, parts, '')
        .filter(({ path }) => !isOwn(path))
        .map(guarded),
    ),
  ]
}

function mounted(
  { tag, refuse, routes, rootRoutes = [], anyOrigin = false, looksUp = false }: Dialect,
  db: Database,
  parts: DialectParts,
  mount: string,
): Route[] {
  const api = { mount, refuse, anyOrigin }
  const own = looksUp ? (parts.lookupStore ?? db) : db
  const all = [
    ...routesByPrincipal(own, (store) => routes(store, parts)),
    ...(mount === '' ? rootRoutes : []),
  ]
  return all.map((route) => ({ ...route, path: mount + route.path, tag, api }))
}

function isOwn(path: string): boolean {
  return ownSegments.has(path.split('/')[1]!)
}

/** Makes a route whose path starts with a parameter respond 404 to kvist's own paths. */
function guarded(route: Route): Route {
  if (!route.path.startsWith('/:')) return route
  const handle: Route['handle'] = (request, context) => {
    const { path } = request
    if (isOwn(path)) throw new KvistError('not_found', `${path.slice(0, 200)} is kvist's own, and not there`)
    return route.handle(request, context)
  }
  return { ...route, handle }
}
