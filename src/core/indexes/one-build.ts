import type { Engine, FeedCursor } from '../engine.ts'
import { keyAfter } from '../keys.ts'
import { nextTick } from '../next-tick.ts'
import { settingsCollection } from '../settings.ts'
import type { SharedStore } from '../shared-store.ts'
import { StaleView } from '../stale-view.ts'
import type { Timers } from '../timers.ts'
import { type EntryAdder, entryAdder, pendingEntry } from './add-entries.ts'
import { clearEntries, type DropOptions, dropEntries, nearOf } from './drop-entries.ts'
import { EntryBatch } from './entry-batch.ts'
import type { IndexView } from './index-view.ts'
import type { Pauses } from './pauses.ts'
import {
  type IndexProgress,
  type IndexRegistry,
  type IndexStatus,
  indexesCollection,
  nearSettings,
  notBegun,
  progressPut,
} from './registry.ts'
import type { WrittenKeys } from './written-keys.ts'

/** Of a page: to read them and compute their entries holds the thread for 2 ms. */
const pageMembers = 512
/** The entries that are put into the order of the index together at first, and what that doubles up to: some 12 MB. */
const firstBatch = 2048
const largestBatch = 65_536
/** The entries of such a batch that one commit has: it holds the thread, and the writers of its group, for a millisecond. */
const entriesOfCommit = 256
/** Progress is stored this often. */
const saveEveryMs = 500
/**
 * While clients write, the build rests so many times as long as its work holds the thread, so it has a sixth of it. To commit entries
 * holds it as long as to read their members and compute them, which is what is measured (docs/design/indexes.md).
 */
const restFactor = 5
/** The longest rest for each member that is read, or whose entry is committed: 28 s for a million, however busy the machine is. */
const maxRestMsPerMember = 0.014
/** Rests are so many times as long while the engine throttles writers: what is left of its room is theirs. */
const throttledRests = 4
/** A page holds the thread no longer; if it seems to, the clock was set. */
const maxHeldMs = 500
/** The pause before a build begins anew. */
const anewMs = 200

/** What happens to an index; the server logs it. */
export interface IndexEvent {
  readonly type: 'building' | 'ready' | 'failed' | 'dropped'
  /** The collection; null of an index that is known no more. */
  readonly collection: string | null
  readonly name: string | null
  readonly examined: number
  readonly failure: string | null
}

export interface IndexBuilderOptions extends DropOptions {
  readonly engine: DropOptions['engine'] & Pick<Engine, 'read' | 'readMany' | 'stats'>
  readonly registry: Pick<IndexRegistry, 'of' | 'all' | 'stored'>
  readonly view: IndexView
  readonly written: WrittenKeys
  readonly makeRoom: () => Promise<void>
  readonly now: () => number
  readonly timers: Timers
  readonly onError: (error: unknown) => void
  readonly onEvent: (event: IndexEvent) => void
}

export interface BuildOptions extends IndexBuilderOptions {
  /** The name of this server among those that write to the store; null where it is the only one. */
  readonly builder: string | null
}

/** What the checks of the progress are computed from. */
interface Revisions {
  /** Null where no progress is stored. */
  progress: number | null
  settings: number | null
}

/** One build of an index. */
export class Build {
  private readonly options: BuildOptions
  private readonly index: IndexStatus
  private readonly pauses: Pauses
  /** All that was written later has its entry. */
  private readonly knownSince: FeedCursor
  private progress: IndexProgress = notBegun
  private revisions: Revisions = { progress: null, settings: null }
  private savedMs: number
  private readonly adder: EntryAdder
  /** The commits of the store at the last rest, and those of the progress since. */
  private total: number
  private saves = 0
  private throttledSeconds = 0

  constructor(options: BuildOptions, index: IndexStatus, pauses: Pauses, knownSince: FeedCursor) {
    this.knownSince = knownSince
    this.options = options
    this.index = index
    this.adder = entryAdder(options, index)
    this.pauses = pauses
    this.savedMs = options.now()
    this.total = options.engine.stats().commits
  }

  /** Builds until the index is ready, has failed, or is not the same any more. */
  async run(): Promise<void> {
    this.revisions = await this.readRevisions()
    if (!this.isKnown()) return
    this.report('building')
    let isBegun = this.revisions.progress !== null && (await this.resume())
    do {
      if (!isBegun && !(await this.begin())) return
      if (!(await this.addAll())) return
      if (await this.finish()) return
      // A failover may have taken entries back.
      isBegun = false
      await this.pauses.pause(anewMs)
    } while (this.isKnown() && !this.pauses.isStopped())
  }

  /** Goes on with a build that was begun; returns false if that has to begin anew. */
  private async resume(): Promise<boolean> {
    const { builder } = this.options
    if (builder === null) this.progress = this.index
    else if (this.index.generation === null) return false
    else return this.save({ ...this.index, builder })
    return true
  }

  /** Deletes entries of a former life, and stores the first progress. Returns false if the index is not the same any more. */
  private async begin(): Promise<boolean> {
    const { options, index, pauses } = this
    const { shared } = options.engine
    if (shared !== null) return this.beginShared(shared)
    await dropEntries(
      options,
      index.entries,
      nearOf(index),
      this.knownSince,
      () => pauses.isStopped() || !this.isKnown(),
    )
    return !pauses.isStopped() && (await this.save(notBegun))
  }

  /**
   * Where other servers write to the store, the first progress comes first, so that one of them builds. After the lines
   * are raised no server writes without entries.
   */
  private async beginShared(shared: SharedStore): Promise<boolean> {
    const { options, index, pauses } = this
    const claimed = { ...notBegun, builder: options.builder }
    if (!(await this.save(claimed))) return false
    const generation = this.revisions.progress!
    options.view.adopt(generation)
    const raise = (view: number) => shared.beginIndex({ id: index.id, generation }, view)
    if (!(await this.withView(generation, raise))) return false
    const goesOn = async () => !pauses.isStopped() && this.isKnown() && (await this.saveInTime())
    return (await clearEntries(options, index, goesOn)) && this.save({ ...claimed, generation })
  }

  /** Returns false if this server's view of the indexes was too old; it is refreshed then. */
  private async withView(least: number, run: (view: number) => Promise<unknown>): Promise<boolean> {
    const { view } = this.options
    try {
      // It is smaller while the settings are read again after a setback.
      if (view.number() < least) throw new StaleView(least)
      await run(view.number())
      return true
    } catch (error) {
      if (!(error instanceof StaleView)) throw error
      await view.refresh(error)
      return false
    }
  }

  /** Gives all members that are left their entries; returns false if the build does not go on. */
  private async addAll(): Promise<boolean> {
    const { options, index } = this
    if (options.engine.shared !== null || index.unique) return this.addPages()
    const written = options.written.watch(index.of)
    try {
      // All that was written before, and not noted, is done by then.
      if (!(await this.save(this.progress))) return false
      // Progress is stored after each batch: a server that is restarted again and again comes to the end too.
      for (let size = firstBatch; ; size = Math.min(2 * size, largestBatch)) {
        if (!(await this.addBatch(size, written))) return false
        if (this.progress.position === null) return true
      }
    } finally {
      options.written.stop()
    }
  }

  /** Whether the build goes on. */
  private async goesOn(): Promise<boolean> {
    if (!this.isKnown()) return false
    if (!this.pauses.isStopped()) return true
    // The server stops: the next one goes on from here.
    await this.save(this.progress)
    return false
  }

  private async readPage(position: string | null) {
    const { engine, now } = this.options
    const askedMs = now()
    const range = { collection: this.index.of, from: position, to: null, order: 'asc' } as const
    const scanning = engine.scan({ ...range, limit: pageMembers, keysOnly: false })
    const { members, next } = await scanning
    // An engine that is elsewhere does not hold the thread.
    return { members, next, startMs: scanning instanceof Promise ? now() : askedMs }
  }

  /**
   * Reads the members of many pages and commits their entries in the order of the index. What is `written` from here on may have
   * changed when its entry is committed. Returns false if the build does not go on.
   */
  private async addBatch(maxSize: number, written: Set<string>): Promise<boolean> {
    const batch = new EntryBatch(maxSize)
    let { position } = this.progress
    let heldMs = 0
    do {
      if (!(await this.goesOn())) return false
      const { members, next, startMs } = await this.readPage(position)
      batch.add(members.map((member) => pendingEntry(this.index, member)))
      const ownMs = within(this.options.now() - startMs, 1, maxHeldMs)
      heldMs += ownMs
      position = next
      await this.rest(startMs, ownMs, members.length)
    } while (position !== null && !batch.isFull())
    const { size } = batch
    const done = { ...this.progress, position, examined: this.progress.examined + size }
    while (batch.size > 0) {
      if (!(await this.goesOn())) return false
      const startMs = this.options.now()
      const entries = batch.take(entriesOfCommit)
      await this.adder.addUnwritten(entries, written)
      // To commit them holds the thread as long as to read them, at another time.
      await this.rest(startMs, (heldMs * entries.length) / size, entries.length)
    }
    this.progress = done
    if (position === null) return true
    // When the progress is stored, so is all that was written before: the next page is read after that.
    written.clear()
    return this.save(done)
  }

  /** As `addAll`, page by page and with a check of each member. */
  private async addPages(): Promise<boolean> {
    for (;;) {
      if (!(await this.goesOn())) return false
      const { position, examined } = this.progress
      const { members, next, startMs } = await this.readPage(position)
      const adding = this.adder.add(members)
      const heldMs = this.options.now() - startMs
      const duplicates = await adding
      if (duplicates.length > 0) {
        await this.fail(duplicates)
        return false
      }
      this.progress = { ...this.progress, position: next, examined: examined + members.length }
      if (next === null) return true
      if (!(await this.saveInTime())) return false
      await this.rest(startMs, 2 * within(heldMs, 1, maxHeldMs), 2 * members.length)
    }
  }

  private isKnown(): boolean {
    return this.options.registry
      .of(this.index.of)
      .some(({ id, state }) => id === this.index.id && state === 'building')
  }

  private async readRevisions(): Promise<Revisions> {
    const { engine } = this.options
    const { id, of } = this.index
    const settings = await engine.read(settingsCollection, of)
    // By a scan: it is near the settings, where a read by key need not find it.
    const range = { collection: indexesCollection, from: id, to: keyAfter(id), order: 'asc' } as const
    const [progress] = (await engine.scan({ ...range, limit: 1, keysOnly: true })).members
    return { progress: progress?.revision ?? null, settings: settings?.revision ?? null }
  }

  /** Stores the progress; returns false if the index is not the one any more that is built. */
  private async save(progress: IndexProgress): Promise<boolean> {
    const { id, of } = this.index
    const near = nearSettings(of)
    for (;;) {
      const { progress: revision, settings } = this.revisions
      const checks = [
        { collection: indexesCollection, key: id, revision, near },
        { collection: settingsCollection, key: of, revision: settings },
      ]
      const written = await this.options.commit(checks, [progressPut(this.index, progress)])
      if (written !== null) {
        this.revisions = { progress: written[0]!.revision, settings }
        this.progress = progress
        this.savedMs = this.options.now()
        this.saves++
        return true
      }
      const current = await this.readRevisions()
      // Other settings were changed: had the index been removed, its progress would have been, too.
      if (revision === null || current.progress !== revision) return false
      this.revisions = current
    }
  }

  /** Stores the progress if that is due; returns as `save` does. */
  private async saveInTime(): Promise<boolean> {
    const sinceMs = this.options.now() - this.savedMs
    return (sinceMs >= 0 && sinceMs <= saveEveryMs) || this.save(this.progress)
  }

  /** Returns false if the index has to be built anew. */
  private async finish(): Promise<boolean> {
    const { shared } = this.options.engine
    if (shared !== null && !(await this.finishShared(shared))) return !this.isKnown()
    const progress = { ...this.progress, state: 'ready', position: null } as const
    if (await this.save(progress)) this.report('ready')
    return true
  }

  /** Returns false if a failover may have taken entries back, or the index is not the same any more. */
  private async finishShared(shared: SharedStore): Promise<boolean> {
    const life = { id: this.index.id, generation: this.progress.generation! }
    let isWhole = false
    const finish = async (view: number) => {
      isWhole = await shared.finishIndex(life, view)
    }
    while (!(await this.withView(life.generation, finish))) if (!this.isKnown()) return false
    return isWhole
  }

  private async fail(duplicates: readonly string[]): Promise<void> {
    const failure = `members have the same values: ${duplicates.join(', ')}`
    if (!(await this.save({ ...this.progress, state: 'failed', position: null, failure }))) return
    this.report('failed')
    // Where others write to the store, they are deleted as those of unknown indexes are.
    if (this.options.builder !== null) return
    await dropEntries(
      this.options,
      this.index.entries,
      nearOf(this.index),
      this.options.engine.head(),
      this.pauses.isStopped,
    )
  }

  private report(type: IndexEvent['type']): void {
    const { of: collection, name } = this.index
    const { examined, failure } = this.progress
    this.options.onEvent({ type, collection, name, examined, failure })
  }

  /** Whether the engine has held commits up since the last call, because they come faster than it can store them for good. */
  private isThrottled(): boolean {
    const { throttle } = this.options.engine.stats().waitSeconds
    const before = this.throttledSeconds
    this.throttledSeconds = throttle?.sum ?? 0
    return this.throttledSeconds > before
  }

  /** Lets others work, and rests while clients write. Waiting for the commit was rest, too. */
  private async rest(startMs: number, heldMs: number, members: number): Promise<void> {
    const { engine, now } = this.options
    const { commits } = engine.stats()
    const byOthers = commits - this.total - this.adder.takeCommits() - this.saves
    this.total = commits
    this.saves = 0
    // One may be of a job of kvist's own.
    if (byOthers <= 1) return nextTick()
    const rested = within(now() - startMs - heldMs, 0, maxHeldMs)
    const restMs = Math.min(heldMs * restFactor, members * maxRestMsPerMember)
    const leftMs = (this.isThrottled() ? throttledRests * restMs : restMs) - rested
    if (leftMs < 1) return nextTick()
    await this.pauses.pause(leftMs)
  }
}

/** The clock may have been set in between. */
function within(ms: number, least: number, most: number): number {
  return Math.min(Math.max(ms, least), most)
}
