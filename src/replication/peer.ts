import { stampToMs } from '../core/clock.ts'
import type { Database } from '../core/database.ts'
import type { FeedCursor, VersionRef } from '../core/engine.ts'
import { entryLine, type SentChange } from '../core/entry-lines.ts'
import { KvistError } from '../core/errors.ts'
import type { FeedPage } from '../core/feed/pages.ts'
import type { Log } from '../telemetry/log.ts'
import type { CommitSignal } from './commit-signal.ts'
import { formatKnowledge, type Knowledge } from './knowledge.ts'
import { positionBefore, wholeStore } from './positions.ts'
import { loadProgress, noProgress, saveProgress } from './progress.ts'
import { type SelectionRules, selectEntries } from './selection.ts'

/**
 * Sends the changes of this store to one target, in their order: reads a page of the feed after the cursor, sends it, and
 * moves the cursor when the target has stored it. A page that fails is sent again, whole; the target ignores what it has.
 * So nothing is kept in memory but one page, whatever the target misses, and a new target begins at the beginning.
 */
export interface Peer {
  status(): PeerStatus
  /** Whether the target of this node id has had a version. */
  hasSent(node: string, version: VersionRef): boolean
  stop(): Promise<void>
}

/**
 * `filling`: the target gets everything for the first time. `sending`: it gets what it missed. `current`: it has all.
 * `retrying`: the last attempt failed, and the next one is waited for.
 */
export type PeerState = 'filling' | 'sending' | 'current' | 'retrying'

export interface PeerStatus {
  readonly url: string
  readonly state: PeerState
  readonly node: string | null
  /** Changes that the target lacks; null while that is not known: until it had everything since the start. */
  readonly lagChanges: number | null
  /** The age of the oldest change that the target lacks, in seconds. */
  readonly lagSeconds: number
  /** Entries that the target has stored, or had already, since the start. */
  readonly sent: number
  /** Those of them that the target lacked. */
  readonly applied: number
  readonly failures: number
  /** The last failure, also if later attempts succeeded; null for none. */
  readonly lastError: { readonly detail: string; readonly atMs: number } | null
  readonly lastSuccessMs: number | null
  /** How often the target had less than it had had before, since the start. */
  readonly setbacks: number
}

/** What a target says to a batch. */
export interface Received {
  readonly node: string
  readonly applied: number
  readonly failed: readonly { readonly line: number; readonly code: string; readonly detail: string }[]
  /** How far the target had come before, by what it has noted; null for nothing, missing if it notes nothing. */
  readonly position?: FeedCursor | null
}

/** Where the target is to be with a batch, and where it is taken to be before; null for wherever. */
export interface SentPosition {
  readonly to: FeedCursor
  readonly after: FeedCursor | null
}

export interface Target {
  readonly url: string
  /** Rejects if the batch was not handled. `knows` is what this node knows of others; null to say nothing of that. */
  send(lines: string, signal: AbortSignal, knows: string | null, position?: SentPosition): Promise<Received>
  /**
   * Returns the entries without members that the target has nothing of and may have deleted, and forgotten since. Used where the
   * target gets everything again: they would come back to life. Missing: all are sent.
   */
  readonly withoutForgotten?: (entries: readonly SentChange[]) => Promise<readonly SentChange[]>
}

export interface PeerOptions {
  readonly db: Database
  readonly target: Target
  readonly rules: SelectionRules
  readonly signal: CommitSignal
  readonly now: () => number
  /** Waits; rejects or resolves early when the peer is stopped. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  readonly log: Pick<Log, 'info' | 'warn'>
  readonly onError: (error: unknown) => void
  /** What this node knows of others, which is sent along with everything; missing if it keeps nothing of that. */
  readonly knowledge?: Pick<Knowledge, 'text'>
  /** Returns those of the entries that the target gets; all if left out. */
  readonly filter?: (entries: readonly SentChange[]) => Promise<readonly SentChange[]>
  /** Called when the target has everything for the first time. */
  readonly onFilled?: (status: PeerStatus) => void
}

const batchChanges = 500
/** What is written in this time goes together. */
const batchMs = 20
/** Progress is stored at most this often. What was sent since is sent again after a crash, and ignored by the target. */
const saveEveryMs = 1000
/** A target that gets nothing for so long is asked who it is: another may be at its address by now, and lack everything. */
export const checkEveryMs = 10_000
const firstPauseMs = 100
const longestPauseMs = 30_000

export function startPeer(options: PeerOptions): Peer {
  const { target, now } = options
  const stopping = new AbortController()
  const run = new PeerRun(options, stopping.signal)
  const done = run.loop().catch(options.onError)
  return {
    status: () => run.status(now()),
    hasSent: (node, version) => run.hasSent(node, version),
    async stop() {
      stopping.abort(new KvistError('closing', `the mirror to ${target.url} is stopping`))
      await done
    },
  }
}

interface Pause {
  readonly hasEnded: Promise<void>
  end(): void
}

class PeerRun {
  private readonly options: PeerOptions
  private readonly stopped: AbortSignal
  private progress = noProgress
  private state: PeerState = 'sending'
  /** The count of the commit signal up to which the target has everything; null while it is not known. */
  private countSent: number | null = null
  /** The stamp of the oldest change that is being sent; null for none. */
  private oldestUnsentMs: number | null = null
  private sent = 0
  private applied = 0
  private setbacks = 0
  private failures = 0
  /** Failures since the last success. */
  private failuresInARow = 0
  private lastError: PeerStatus['lastError'] = null
  private lastSuccessMs: number | null = null
  private savedMs = Number.NEGATIVE_INFINITY
  private isUnsaved = false
  private hasSaveFailed = false
  /** The target is to be asked who it is, though there is nothing to send. */
  private isCheckDue = true
  private untilCheck: Pause | null = null

  constructor(options: PeerOptions, stopped: AbortSignal) {
    this.options = options
    this.stopped = stopped
  }

  status(nowMs: number): PeerStatus {
    const { target, signal } = this.options
    const isCurrent = this.state === 'current'
    return {
      url: target.url,
      state: this.state,
      node: this.progress.node,
      lagChanges: this.countSent === null ? null : Math.max(0, signal.count() - this.countSent),
      lagSeconds:
        isCurrent || this.oldestUnsentMs === null ? 0 : Math.max(0, nowMs - this.oldestUnsentMs) / 1000,
      sent: this.sent,
      applied: this.applied,
      failures: this.failures,
      lastError: this.lastError,
      lastSuccessMs: this.lastSuccessMs,
      setbacks: this.setbacks,
    }
  }

  hasSent(node: string, version: VersionRef): boolean {
    const { node: targetNode, cursor } = this.progress
    return targetNode === node && cursor !== '' && this.options.db.hasSeen(cursor, version)
  }

  /** Runs until it is stopped. */
  async loop(): Promise<void> {
    const { db, target } = this.options
    this.progress = await loadProgress(db, target.url)
    this.state = this.progress.isFilled ? 'sending' : 'filling'
    while (!this.stopped.aborted) {
      try {
        await this.step()
      } catch (error) {
        if (this.stopped.aborted) break
        await this.failed(error)
      }
    }
    if (this.isUnsaved) await this.save().catch(() => {}) // the store may be closing: then it is sent again
  }

  /** Sends one page, or waits for the next commit if there is none. */
  private async step(): Promise<void> {
    const { db, signal } = this.options
    const next = signal.next()
    const count = signal.count()
    const known = this.known()
    const page = await db.changes(wholeStore, this.progress.cursor, batchChanges)
    if (!(await this.send(page, known))) return
    const isFilled = this.progress.isFilled || page.atEnd
    const wasFilled = this.progress.isFilled
    this.progress = { ...this.progress, cursor: page.next, isFilled }
    if (isFilled && this.progress.isRefill !== undefined) this.endRefill()
    if (page.atEnd) this.countSent = count
    else if (this.countSent !== null) this.countSent = Math.min(count, this.countSent + page.events.length)
    if (this.isUnsaved && (page.atEnd || this.options.now() - this.savedMs >= saveEveryMs))
      await this.maySave()
    this.state = isFilled ? 'sending' : 'filling'
    if (isFilled && !wasFilled) this.options.onFilled?.(this.status(this.options.now()))
    if (page.atEnd) {
      this.state = 'current'
      this.oldestUnsentMs = null
      await this.whileCurrent(next)
    }
    // A request for a few changes costs as much as one for hundreds.
    if (page.events.length < batchChanges / 2) await this.options.sleep(batchMs, this.stopped)
  }

  private endRefill(): void {
    const { isRefill: _, ...progress } = this.progress
    this.progress = progress
  }

  /** Waits for the next commit, the stop, or the time to check the target. */
  private async whileCurrent(next: Promise<void>): Promise<void> {
    // A signal that was aborted before has no more events.
    if (this.stopped.aborted) return
    this.untilCheck ??= this.startPause()
    await Promise.race([next, this.untilCheck.hasEnded])
  }

  /** Commits that are not for the target do not put the check off, so the pause goes on over them. */
  private startPause(): Pause {
    const pausing = new AbortController()
    const stop = () => pausing.abort()
    this.stopped.addEventListener('abort', stop, { once: true })
    const hasEnded = this.options.sleep(checkEveryMs, pausing.signal).then(() => {
      this.stopped.removeEventListener('abort', stop)
      if (pausing.signal.aborted) return
      this.isCheckDue = true
      this.untilCheck = null
    })
    return { hasEnded, end: stop }
  }

  /** A target that gets only some collections has not seen all that this node wrote before. */
  private known(): string | null {
    const { knowledge, rules } = this.options
    return knowledge === undefined || rules.only.length > 0 ? null : knowledge.text()
  }

  /** Sends a page, and returns false if the target is not where it was taken to be: then the page is another one. */
  private async send({ events, atEnd, next }: FeedPage, known: string | null): Promise<boolean> {
    const knows = known === null ? null : formatKnowledge(known, atEnd && this.options.rules.isBridge)
    const { db, rules, target } = this.options
    const { isFilled, isRefill, node: targetNode, noted } = this.progress
    const filter = this.options.filter ?? (isRefill === true ? target.withoutForgotten : undefined)
    const changes = events.map(({ change }) => change)
    const selected = await selectEntries(db, changes, rules, { isFilling: !isFilled, targetNode })
    const entries = filter === undefined || selected.length === 0 ? selected : await filter(selected)
    const first = entries[0]
    // After a failure too: the target may still be away.
    if (first === undefined && !this.isCheckDue && this.failuresInARow === 0) return true
    if (first !== undefined) this.oldestUnsentMs = changedMs(first)
    const lines = entries.map((entry) => entryLine(entry, db.nodeId)).join('')
    // What is not for the target moves no position there: the note would be a change, and two nodes would go on for ever.
    const to = first === undefined && noted !== null ? noted : next
    const received = await target.send(lines, this.stopped, knows, { to, after: noted })
    const { node, applied, failed, position } = received
    this.applied += applied
    this.requireNode(node)
    this.requireAll(entries, failed)
    this.succeeded(entries.length, node)
    if (position !== undefined && noted !== null && position !== noted) {
      await this.found(position)
      return false
    }
    this.progress = { ...this.progress, noted: position === undefined ? null : to }
    return true
  }

  /**
   * Takes over a position of the target that is not the one it was taken to have. One before it is that of an older copy, put
   * back: what the target has lost is sent again. One after it is what this node itself does not know of any more, after a
   * crash: what the target has is sent once more, which does nothing.
   */
  private async found(position: FeedCursor | null): Promise<void> {
    const { db, log, target } = this.options
    const { cursor, node } = this.progress
    const whereabouts = position === null ? 'unknown' : await positionBefore(db, position, cursor)
    if (whereabouts === 'not before') {
      this.progress = { ...this.progress, noted: null }
      return
    }
    this.setbacks++
    this.isUnsaved = true
    this.state = 'filling'
    this.countSent = null
    log.warn('the target has less than it had: it gets what it has lost', {
      target: target.url,
      lost: whereabouts === 'before' ? 'what it got lately' : 'perhaps everything',
    })
    this.progress =
      whereabouts === 'before'
        ? { cursor: position!, isFilled: false, node, noted: position }
        : { ...noProgress, node }
  }

  private requireNode(node: string): void {
    const { db, target, log } = this.options
    if (node === db.nodeId) {
      throw new Error(
        `${target.url} is this node, or has a copy of its data folder: a copy needs an id of its own (--new-node-id)`,
      )
    }
    const known = this.progress.node
    if (known === null || known === node) return
    log.warn('the target is another node than before: it gets everything', { target: target.url, node })
    this.progress = { ...noProgress, node }
    throw new Error(`${target.url} is another node than before`)
  }

  private requireAll(entries: readonly SentChange[], [first, ...others]: Received['failed']): void {
    if (first === undefined) return
    const entry = entries[first.line - 1]
    const { collection, key } = entry === undefined ? { collection: '?', key: '?' } : refOf(entry)
    const more = others.length === 0 ? '' : `, and ${others.length} others`
    throw new Error(`the target refuses ${collection}/${key}${more}: ${first.detail}`)
  }

  private succeeded(count: number, node: string): void {
    const { now, log, target } = this.options
    this.isCheckDue = false
    this.untilCheck?.end()
    this.untilCheck = null
    if (this.failuresInARow > 0) log.info('the target takes changes again', { target: target.url })
    this.failuresInARow = 0
    this.sent += count
    this.lastSuccessMs = now()
    this.isUnsaved ||= count > 0 || this.progress.node !== node
    this.progress = { ...this.progress, node }
  }

  private async maySave(): Promise<void> {
    const { now, log, target } = this.options
    // With every page it would be one more commit for each, and one more change for each other target.
    if (now() - this.savedMs < saveEveryMs) return
    try {
      await this.save()
      this.hasSaveFailed = false
    } catch (error) {
      if (error instanceof KvistError && error.code === 'closing') throw error
      // A full disk here is no failure of the target, and must not keep it from getting what there is.
      if (!this.hasSaveFailed)
        log.warn('how far the target has come cannot be stored: after a restart it gets some changes again', {
          target: target.url,
          detail: error instanceof Error ? error.message : String(error),
        })
      this.hasSaveFailed = true
    }
  }

  private async save(): Promise<void> {
    this.savedMs = this.options.now()
    await saveProgress(this.options.db, this.options.target.url, this.progress)
    this.isUnsaved = false
  }

  private async failed(error: unknown): Promise<void> {
    const { now, log, target, sleep } = this.options
    const detail = error instanceof Error ? error.message : String(error)
    this.failures++
    this.failuresInARow++
    this.lastError = { detail, atMs: now() }
    if (error instanceof KvistError && (error.code === 'compacted' || error.code === 'invalid_cursor')) {
      log.warn('the feed does not reach back to where the target is: it gets everything', {
        target: target.url,
      })
      const { node, isFilled, isRefill } = this.progress
      this.progress = { ...noProgress, node, ...(isFilled || isRefill === true ? { isRefill: true } : {}) }
      this.state = 'filling'
      return
    }
    if (this.failuresInARow === 1)
      log.warn('the target does not take changes', { target: target.url, detail })
    this.state = 'retrying'
    const longestMs = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(this.failuresInARow - 1, 20))
    // Jitter: targets that came back are not met by all nodes at the same moment.
    await sleep(longestMs * (0.5 + Math.random() / 2), this.stopped)
  }
}

function refOf({ change }: SentChange): { collection: string; key: string } {
  const { key } = change.type === 'put' ? change.member : change.tombstone
  return { collection: change.collection, key }
}

function changedMs({ change }: SentChange): number {
  return stampToMs(change.type === 'put' ? change.member.clock : change.tombstone.removedClock)
}
