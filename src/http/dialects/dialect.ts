import type { Database } from '../../core/database.ts'
import type { Tag } from '../operation.ts'
import type { Refuse, Route } from '../route.ts'

/** An adapter for the clients of another store: its HTTP, its responses and its errors, over the same data. */
export interface Dialect {
  /** Of the option `--dialect`, and of its mount, `/dialects/<name>`. */
  readonly name: string
  readonly tag: Tag
  readonly refuse: Refuse
  /** Where it was asked for with `--dialect`, web pages of any origin may use it, as they could its store. */
  readonly anyOrigin?: boolean
  /** Its routes, their paths relative to where it is mounted. */
  routes(db: Database): Route[]
}
