import type { Database } from '../core/database.ts'
import type { FeedCursor, VersionRef } from '../core/engine.ts'
import { entryLine } from '../core/entry-lines.ts'
import type { Scope } from '../core/feed/scope.ts'
import type { PageMemory } from '../core/page-memory.ts'
import type { CommitSignal } from './commit-signal.ts'
import { formatKnowledge, type Knowledge } from './knowledge.ts'
import { noProgress, saveProgress } from './progress.ts'
import { type SelectionRules, selectEntries } from './selection.ts'

/** What followers read: every change of this store with its origin, settings and tokens too, page by page. */
export interface ReplicaFeed {
  page(question: ReplicaQuestion, memory: PageMemory): Promise<ReplicaPage>
  followers(): readonly FollowerStatus[]
  /** Whether a follower has had a version. */
  hasSent(node: string, version: VersionRef): boolean
}

export interface ReplicaQuestion {
  /** The id of the follower's node. */
  readonly node: string
  readonly since: string
  /** The follower has not had everything yet: it gets also what it once wrote itself. */
  readonly isFilling: boolean
  /** Resolves when there is no point in waiting longer for a change; null for a response at once. */
  readonly patience: Promise<unknown> | null
}

export interface ReplicaPage {
  readonly lines: string
  readonly next: string
  readonly isAtEnd: boolean
  /** What this node knows of others (knowledge.ts): what it replaced of theirs it has replaced knowingly. */
  readonly knows: string
}

export interface FollowerStatus {
  readonly node: string
  /** It had everything when it asked last. */
  readonly isCurrent: boolean
  readonly lastSeenMs: number
  /** It has applied what is before. */
  readonly since: FeedCursor
}

export interface ReplicaFeedOptions {
  readonly db: Database
  readonly signal: CommitSignal
  readonly tokensCollection: string
  readonly knowledge: Pick<Knowledge, 'text'>
  readonly now: () => number
  /** Called when the first follower comes: from then on renewals are recorded. */
  readonly onFollower: () => void
}

const pageChanges = 500
const wholeStore: Scope = { collection: null, key: null, prefix: null, filter: null, own: true }
/** Followers that are shown. */
const maxFollowers = 100

export function replicaFeed({
  db,
  signal,
  tokensCollection,
  knowledge,
  now,
  onFollower,
}: ReplicaFeedOptions): ReplicaFeed {
  const rules: SelectionRules = { only: [], tokensCollection, isBridge: true, isCopy: true }
  const followers = new Map<string, FollowerStatus>()

  async function read({ node, since, isFilling }: ReplicaQuestion, memory: PageMemory): Promise<ReplicaPage> {
    const known = knowledge.text()
    const page = await db.changes(wholeStore, since, pageChanges, memory)
    const changes = page.events.map(({ change }) => change)
    const state = { isFilling, targetNode: isFilling ? null : node }
    const entries = await selectEntries(db, changes, rules, state)
    const lines = entries.map((entry) => entryLine(entry, db.nodeId)).join('')
    const knows = formatKnowledge(known, page.atEnd)
    return { lines, next: page.next, isAtEnd: page.atEnd, knows }
  }

  async function seen({ node, since }: ReplicaQuestion, isCurrent: boolean): Promise<void> {
    const isNew = !followers.has(node)
    followers.delete(node)
    followers.set(node, { node, isCurrent, lastSeenMs: now(), since })
    if (followers.size > maxFollowers) followers.delete(followers.keys().next().value!)
    if (!isNew) return
    onFollower()
    // Renewals are recorded after a restart, too, before the follower is back.
    await saveProgress(db, `follower ${node}`, noProgress)
  }

  return {
    async page(question, memory) {
      await seen(question, followers.get(question.node)?.isCurrent ?? false)
      let { since } = question
      let isWaiting = question.patience !== null
      const patience = question.patience?.then(() => {
        isWaiting = false
      })
      for (;;) {
        const next = signal.next()
        const page = await read({ ...question, since }, memory)
        await seen(question, page.isAtEnd && page.lines === '')
        if (page.lines !== '' || !page.isAtEnd || !isWaiting) return page
        since = page.next
        await Promise.race([next, patience])
      }
    },
    hasSent(node, version) {
      const since = followers.get(node)?.since ?? ''
      return since !== '' && db.hasSeen(since, version)
    },
    followers: () => [...followers.values()],
  }
}
