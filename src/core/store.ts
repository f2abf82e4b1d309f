import type { Database } from './database.ts'

/** The store as requests use it: all of it (`Database`), or as one viewer may see and change it (restricted.ts). */
export type Store = Omit<
  Database,
  | 'positions'
  | 'readQueue'
  | 'onExpiredRead'
  | 'write'
  | 'collections'
  | 'hasSeen'
  | 'stats'
  | 'writeFault'
  | 'close'
>
