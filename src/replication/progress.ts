import type { Database } from '../core/database.ts'
import type { FeedCursor } from '../core/engine.ts'
import { jsonContentType } from '../core/member.ts'

/** How far targets have come, in a collection of kvist's own: what is kept over a restart, for each target. */

export const mirrorsCollection = '_mirrors'

export interface TargetProgress {
  /** The target has everything before it. */
  readonly cursor: FeedCursor
  /** The target has had everything once. */
  readonly isFilled: boolean
  /** The id of the target's node; null while it is not known. */
  readonly node: string | null
  /** It gets everything again, because the feed did not reach back to its cursor. */
  readonly isRefill?: boolean
  /** Of a leader that this node follows: when this node last had everything of it, as far as that is stored. */
  readonly currentMs?: number
  /** The position that the target has noted; null for none yet (core/source-positions.ts). */
  readonly noted: FeedCursor | null
}

export const noProgress: TargetProgress = { cursor: '', isFilled: false, node: null, noted: null }

type ProgressStore = Pick<Database, 'get' | 'write'>

export async function loadProgress(db: ProgressStore, url: string): Promise<TargetProgress> {
  const member = await db.get(mirrorsCollection, url)
  return member === null ? noProgress : { ...noProgress, ...(JSON.parse(String(member.value)) as object) }
}

export async function saveProgress(db: ProgressStore, url: string, progress: TargetProgress): Promise<void> {
  const put = { collection: mirrorsCollection, key: url, value: JSON.stringify(progress) }
  await db.write(
    [{ op: 'put', ...put, contentType: jsonContentType, flags: 0, expiresAtMs: null }],
    'relaxed',
  )
}

/** Whether this store has ever had a target: its renewals are recorded then, because the target may come back. */
export async function hasProgress(db: Pick<Database, 'collections'>): Promise<boolean> {
  return (await db.collections('own')).some(({ name }) => name === mirrorsCollection)
}
