import type { Database } from '../../core/database.ts'
import type { Store } from '../../core/store.ts'
import type { Tag } from '../operation.ts'
import type { Refuse, Route } from '../route.ts'
import type { RecordCache } from './minstore-cache.ts'

/** What the routes of a dialect share, whoever uses them. */
export interface DialectParts {
  /** The store of dialects that look in the servers of this node; missing if it has none. */
  readonly lookupStore?: Database
  /** Records of other servers, for minstore. */
  readonly records: RecordCache
}

/** An adapter for the clients of another store: its HTTP, its responses and its errors, over the same data. */
export interface Dialect {
  /** Its name in `--dialect` and in its mount, `/dialects/<name>`. */
  readonly name: string
  readonly tag: Tag
  readonly refuse: Refuse
  /** With `--dialect`, web pages of any origin may use it, as they could use the original store. */
  readonly anyOrigin?: boolean
  /** It looks in the servers of this node, too, as the original store did. */
  readonly looksUp?: boolean
  /** Returns its routes, with paths relative to its mount. */
  routes(db: Store, shared: DialectParts): Route[]
  /** Further routes of its mount at the root, which come before kvist's own on `/`. */
  readonly rootRoutes?: readonly Route[]
}
