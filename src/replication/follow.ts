import type { Kvist } from '../../sdk/client.ts'
import type { ReplicaPage } from '../../sdk/node-types.ts'
import type { Database } from '../core/database.ts'
import type { Log } from '../telemetry/log.ts'
import { loadProgress, noProgress, saveProgress } from './progress.ts'

/**
 * Follows a leader: reads every change of it, applies them with their origins, and moves the cursor when they are
 * applied. The leader waits with its response until there is a change, so that a change is here a moment later.
 */
export interface Follow {
  status(): FollowerState
  /** The leader follows this node in turn, over whatever others. */
  isCircular(): boolean
  /** The ids of the leader, of its own leader, and so on. */
  leaders(): readonly string[]
  /** Has had everything that the leader had, once. */
  isFilled(): boolean
  /** Resolves when this node has everything for the first time since the start. */
  readonly wasCurrent: Promise<void>
  /** Reads what the leader still has, after it was demoted, and stops. Rejects if the leader does not respond. */
  drain(timeoutMs: number): Promise<void>
  stop(): Promise<void>
}

/**
 * `filling`: this node gets everything for the first time. `receiving`: it gets what it missed. `current`: it has all.
 * `retrying`: the last attempt failed. `circular`: the leader follows this node.
 */
export type FollowState = 'filling' | 'receiving' | 'current' | 'retrying' | 'circular'

export interface FollowerState {
  readonly url: string
  readonly state: FollowState
  /** The id of the leader's node; null until it has responded. */
  readonly node: string | null
  /** The largest term that the leader knows of. */
  readonly term: number
  /** When this node last had everything that the leader had, as far as it knows; null for never. */
  readonly lastCurrentMs: number | null
  /** Changes that were received since the start. */
  readonly received: number
  readonly failures: number
  readonly lastError: { readonly detail: string; readonly atMs: number } | null
}

/** What became of the changes of a page. */
export interface AppliedPage {
  readonly failed: readonly { readonly line: number; readonly detail: string }[]
}

export interface FollowOptions {
  readonly db: Database
  readonly leader: Pick<Kvist, 'url' | 'nodes'>
  /** Applies the lines of a page; `from` is the id of the node that sent it, `knows` what that knows of others. */
  readonly apply: (lines: string, from: string, knows: string) => Promise<AppliedPage>
  readonly now: () => number
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  readonly log: Pick<Log, 'info' | 'warn'>
  readonly onError: (error: unknown) => void
}

/** How long the leader waits for a change. It is also how long a broken connection can go unnoticed, and a bit more. */
const waitMs = 5000
const pageTimeoutMs = 30_000
/** A longer chain of followers is shown in part. */
const maxLeaders = 32
const saveEveryMs = 1000
const firstPauseMs = 50
const longestPauseMs = 2000

export async function startFollowing(options: FollowOptions): Promise<Follow> {
  const run = new FollowRun(options, await loadProgress(options.db, progressKey(options.leader.url)))
  const done = run.loop().catch(options.onError)
  return {
    status: () => run.status(),
    isCircular: () => run.state === 'circular',
    wasCurrent: run.wasCurrent.promise,
    leaders: () => run.leaders,
    isFilled: () => run.progress.isFilled,
    async drain(timeoutMs) {
      run.stopping.abort()
      await done
      await run.readToEnd(timeoutMs)
    },
    async stop() {
      run.stopping.abort()
      await done
    },
  }
}

function progressKey(url: string): string {
  return `from ${url}`
}

class FollowRun {
  private readonly options: FollowOptions
  readonly stopping = new AbortController()
  progress: typeof noProgress
  state: FollowState
  readonly wasCurrent = Promise.withResolvers<void>()
  private term = 0
  /** The ids of the nodes that this one follows, the nearest first. */
  leaders: readonly string[] = []
  private lastCurrentMs: number | null
  private received = 0
  private failures = 0
  private failuresInARow = 0
  private lastError: FollowerState['lastError'] = null
  private savedMs = Number.NEGATIVE_INFINITY
  private isUnsaved = false
  private isDraining = false

  constructor(options: FollowOptions, progress: typeof noProgress) {
    this.options = options
    this.progress = progress
    this.lastCurrentMs = progress.currentMs ?? null
    this.state = progress.isFilled ? 'receiving' : 'filling'
  }

  status(): FollowerState {
    const { state, term, lastCurrentMs, received, failures, lastError } = this
    const { node } = this.progress
    return { url: this.options.leader.url, state, node, term, lastCurrentMs, received, failures, lastError }
  }

  /** Runs until it is stopped. */
  async loop(): Promise<void> {
    const { signal } = this.stopping
    while (!signal.aborted) {
      try {
        await this.step(this.state === 'current' ? waitMs : 0, pageTimeoutMs, signal)
      } catch (error) {
        if (signal.aborted) break
        await this.failed(error)
      }
    }
    if (this.isUnsaved || this.state === 'current') await this.save().catch(() => {}) // the store may be closing: then it is read again
  }

  async readToEnd(timeoutMs: number): Promise<void> {
    this.isDraining = true
    const endMs = this.options.now() + timeoutMs
    for (;;) {
      const before = this.received
      const leftMs = Math.ceil(endMs - this.options.now())
      if (leftMs <= 0) throw new Error(`${this.options.leader.url} still has changes that this node lacks`)
      await this.step(0, leftMs, new AbortController().signal)
      if (this.state === 'current' && this.received === before) break
    }
    await this.save()
  }

  /** Reads a page and applies it. */
  private async step(patienceMs: number, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const { leader, db, now } = this.options
    const { cursor, isFilled } = this.progress
    const page = await leader.nodes.replica(cursor, db.nodeId, {
      fill: !isFilled,
      waitMs: patienceMs,
      signal,
      timeoutMs: timeoutMs + patienceMs,
      retries: 0,
    })
    this.leaders = [...new Set([page.node, ...page.leaders])].slice(0, maxLeaders)
    this.requireOther(page)
    this.requireSame(page.node)
    await this.apply(page)
    this.succeeded()
    this.term = Math.max(this.term, page.term)
    this.progress = {
      ...noProgress,
      cursor: page.next,
      isFilled: isFilled || page.at_end,
      node: page.node,
    }
    this.isUnsaved ||= page.next !== cursor
    if (page.at_end) {
      this.lastCurrentMs = now()
      this.wasCurrent.resolve()
    }
    this.state = page.at_end ? 'current' : isFilled ? 'receiving' : 'filling'
    if (this.isUnsaved && (!isFilled || now() - this.savedMs >= saveEveryMs || now() < this.savedMs))
      await this.save()
  }

  private async apply({ lines, node, knows }: ReplicaPage): Promise<void> {
    if (lines === '') return
    const { failed } = await this.options.apply(lines, node, knows)
    const [first] = failed
    if (first !== undefined) throw new Error(`a change of the leader cannot be applied here: ${first.detail}`)
    this.received += lines.split('\n').length - 1
  }

  private requireOther({ node, leaders }: ReplicaPage): void {
    const { db, leader } = this.options
    // A leader that was demoted names this node, which is being promoted.
    if (node !== db.nodeId && (this.isDraining || !leaders.includes(db.nodeId))) return
    if (this.state !== 'circular') {
      const what = node === db.nodeId ? 'is this node, or has a copy of its data folder' : 'follows this node'
      this.options.log.warn(`the leader ${what}: no node takes writes`, { leader: leader.url })
    }
    this.state = 'circular'
    throw new Error(
      node === db.nodeId
        ? `${leader.url} is this node, or has a copy of its data folder: a copy needs an id of its own (--new-node-id)`
        : `${leader.url} follows this node in turn: promote one of them`,
    )
  }

  private requireSame(node: string): void {
    const known = this.progress.node
    if (known === null || known === node) return
    const { log, leader } = this.options
    log.warn('the leader is another node than before: this node gets everything', {
      leader: leader.url,
      node,
    })
    this.progress = { ...noProgress, node }
    this.state = 'filling'
    throw new Error(`${leader.url} is another node than before`)
  }

  private succeeded(): void {
    if (this.failuresInARow > 0)
      this.options.log.info('the leader responds again', { leader: this.options.leader.url })
    this.failuresInARow = 0
  }

  private async save(): Promise<void> {
    this.savedMs = this.options.now()
    const current = this.lastCurrentMs === null ? {} : { currentMs: this.lastCurrentMs }
    await saveProgress(this.options.db, progressKey(this.options.leader.url), {
      ...this.progress,
      ...current,
    })
    this.isUnsaved = false
  }

  private async failed(error: unknown): Promise<void> {
    const { now, log, leader, sleep } = this.options
    const detail = error instanceof Error ? error.message : String(error)
    this.failures++
    this.failuresInARow++
    this.lastError = { detail, atMs: now() }
    const code = error instanceof Error && 'code' in error ? error.code : ''
    if (code === 'compacted' || code === 'invalid_cursor') {
      log.warn('the feed of the leader does not reach back to where this node is: it gets everything', {
        leader: leader.url,
      })
      this.progress = { ...noProgress, node: this.progress.node }
      this.state = 'filling'
      return
    }
    if (this.failuresInARow === 1)
      log.warn('the leader does not send changes', { leader: leader.url, detail })
    if (this.state !== 'circular') this.state = 'retrying'
    await sleep(
      Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(this.failuresInARow - 1, 20)),
      this.stopping.signal,
    )
  }
}
