import type { Engine, FeedCursor } from '../engine.ts'
import { KvistError } from '../errors.ts'
import { keyAfter } from '../keys.ts'
import { nextTick } from '../next-tick.ts'
import { settingsCollection } from '../settings.ts'
import type { Timers } from '../timers.ts'
import { type EntryAdder, entryAdder } from './add-entries.ts'
import { idOfEntries } from './definition.ts'
import { type DropOptions, dropEntries, dropOrphans, forgetUnknown, nearOf } from './drop-entries.ts'
import {
  type IndexProgress,
  type IndexRegistry,
  type IndexStatus,
  indexesCollection,
  nearSettings,
  notBegun,
  progressPut,
} from './registry.ts'

/**
 * Builds indexes in the background, one after the other, while members are written:
 *
 *     clear      the entries of a former index with the same definition are deleted
 *     begin      its first progress is stored. Commits are done in the order of their calls, so all that had no entries, because the
 *                index was not known yet, are done by then
 *     scan       the members are read in key order, by page, and get their entries. Each is committed with a check that the
 *                member has not changed since; where it has, the write gate has given it its entry already
 *     finish     the index is `ready` with its last commit
 *
 * Its progress is stored with a check of the last one: who removes an index from the settings deletes its progress in the same
 * commit (indexed-commits.ts), so a build of a removed index ends, and one that was removed and added again begins anew.
 * After a crash a build goes on where it was.
 *
 * Entries of indexes that no settings name are deleted before.
 */
export interface IndexBuilder {
  /** Works as far as there is something to do; called whenever indexes or their states have changed. */
  wake(): void
  /** Waits for the page under way and starts no other. */
  stop(): Promise<void>
}

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
  readonly makeRoom: () => Promise<void>
  readonly now: () => number
  readonly timers: Timers
  readonly onError: (error: unknown) => void
  readonly onEvent: (event: IndexEvent) => void
}

const dropped: IndexEvent = { type: 'dropped', collection: null, name: null, examined: 0, failure: null }

/** Of a page: to read them and compute their entries holds the thread for 2 ms. */
const pageMembers = 512
/** Progress is stored this often. */
const saveEveryMs = 500
/**
 * While clients write, the build rests so many times as long as a page has held the thread before its commit. The commit takes the thread
 * half as long again and more, so the build has a quarter of it at most, and does a million members in 50 s if no other program needs the processor.
 */
const restFactor = 12
/** A page holds the thread no longer; if it seems to, the clock was set. */
const maxHeldMs = 500
/** After an error, such as a full disk. */
const retryMs = 5000

/**
 * Returns a builder that has begun to work. Before that it deletes the progress of indexes that no settings name any more:
 * their entries are not kept from now on.
 */
export async function startIndexBuilder(options: IndexBuilderOptions): Promise<IndexBuilder> {
  const { registry, onError } = options
  await forgetUnknown(options)
  const pauses = pausesOf(options.timers)
  const { isStopped } = pauses
  const knownSince = new Map<string, FeedCursor>()
  let isWanted = false
  let running: Promise<void> | null = null

  async function work(): Promise<void> {
    while (isWanted && !isStopped()) {
      isWanted = false
      await dropOrphans(options, isStopped, () => options.onEvent(dropped))
      for (;;) {
        const next = registry.all().find(({ state }) => state === 'building')
        if (next === undefined || isStopped()) break
        await new Build(options, next, pauses, knownSince.get(next.id)!).run()
      }
    }
  }

  async function workOn(): Promise<void> {
    // Whoever wakes it is in the middle of a commit.
    await nextTick()
    while (isWanted && !isStopped()) {
      try {
        await work()
      } catch (error) {
        if (isStopped() || (error instanceof KvistError && error.code === 'closing')) return
        onError(error)
        isWanted = true
        await pauses.pause(retryMs)
      }
    }
  }

  /** Notes since when indexes are known, those that come and go included: it is told of every change. */
  function noteKnown(): void {
    const indexes = registry.all()
    const ids = new Set(indexes.map(({ id }) => id))
    for (const id of knownSince.keys()) if (!ids.has(id)) knownSince.delete(id)
    for (const id of ids) if (!knownSince.has(id)) knownSince.set(id, options.engine.head())
  }

  function wake(): void {
    noteKnown()
    isWanted = true
    if (isStopped()) return
    running ??= workOn().finally(() => {
      running = null
      if (isWanted && !isStopped()) wake()
    })
  }

  if (
    registry.all().length > 0 ||
    (await options.engine.collections()).some(({ name }) => idOfEntries(name) !== null)
  )
    wake()
  return {
    wake,
    async stop() {
      pauses.stop()
      await running
    },
  }
}

/** Pauses that end when the builder is stopped. */
interface Pauses {
  pause(ms: number): Promise<void>
  isStopped(): boolean
  stop(): void
}

function pausesOf(timers: Timers): Pauses {
  let isStopped = false
  let end = () => {}
  return {
    pause: (ms) =>
      new Promise((resolve) => {
        if (isStopped) return resolve()
        const cancel = timers.after(ms, resolve)
        end = () => {
          cancel()
          resolve()
        }
      }),
    isStopped: () => isStopped,
    stop() {
      isStopped = true
      end()
    },
  }
}

/** What the checks of the progress are computed from. */
interface Revisions {
  /** Null where no progress is stored. */
  progress: number | null
  settings: number | null
}

/** One build of an index. */
class Build {
  private readonly options: IndexBuilderOptions
  private readonly index: IndexStatus
  private readonly pauses: Pauses
  /** All that was written later has its entry. */
  private readonly knownSince: FeedCursor
  private progress: IndexProgress = notBegun
  private revisions: Revisions = { progress: null, settings: null }
  private savedMs: number
  private readonly adder: EntryAdder
  /** The commits of the store at the last rest. */
  private total: number

  constructor(options: IndexBuilderOptions, index: IndexStatus, pauses: Pauses, knownSince: FeedCursor) {
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
    if (this.revisions.progress === null) {
      await dropEntries(
        this.options,
        this.index.entries,
        nearOf(this.index),
        this.knownSince,
        () => this.pauses.isStopped() || !this.isKnown(),
      )
      if (this.pauses.isStopped() || !(await this.save(notBegun))) return
    } else this.progress = this.index
    for (;;) {
      if (!this.isKnown()) return
      // The server stops: the next one goes on from here.
      if (this.pauses.isStopped()) return void (await this.save(this.progress))
      const { now } = this.options
      const startMs = now()
      const { position, examined } = this.progress
      const range = { collection: this.index.of, from: position, to: null, order: 'asc' } as const
      const { members, next } = await this.options.engine.scan({
        ...range,
        limit: pageMembers,
        keysOnly: false,
      })
      const adding = this.adder.add(members)
      const heldMs = now() - startMs
      const duplicates = await adding
      if (duplicates.length > 0) return this.fail(duplicates)
      this.progress = { ...this.progress, position: next, examined: examined + members.length }
      if (next === null) return this.finish()
      if (now() - this.savedMs > saveEveryMs && !(await this.save(this.progress))) return
      await this.rest(startMs, heldMs)
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
  private async save(progress: IndexProgress, durability?: 'relaxed'): Promise<boolean> {
    const { id, of } = this.index
    const near = nearSettings(of)
    for (;;) {
      const { progress: revision, settings } = this.revisions
      const checks = [
        { collection: indexesCollection, key: id, revision, near },
        { collection: settingsCollection, key: of, revision: settings },
      ]
      const written = await this.options.commit(checks, [progressPut(this.index, progress)], durability)
      if (written !== null) {
        this.revisions = { progress: written[0]!.revision, settings }
        this.progress = progress
        this.savedMs = this.options.now()
        return true
      }
      const current = await this.readRevisions()
      // Other settings were changed: had the index been removed, its progress would have been, too.
      if (revision === null || current.progress !== revision) return false
      this.revisions = current
    }
  }

  private async finish(): Promise<void> {
    const progress = { ...this.progress, state: 'ready', position: null } as const
    if (await this.save(progress)) this.report('ready')
  }

  private async fail(duplicates: readonly string[]): Promise<void> {
    const failure = `members have the same values: ${duplicates.join(', ')}`
    if (!(await this.save({ ...this.progress, state: 'failed', position: null, failure }))) return
    this.report('failed')
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

  /** Lets others work, and rests while clients write. Waiting for the commit was rest, too. */
  private async rest(startMs: number, heldMs: number): Promise<void> {
    const { engine, now } = this.options
    const { commits } = engine.stats()
    const byOthers = commits - this.total - this.adder.takeCommits()
    this.total = commits
    // One may be that of the progress.
    if (byOthers <= 1) return nextTick()
    const held = within(heldMs, 1, maxHeldMs)
    const rested = within(now() - startMs - held, 0, maxHeldMs)
    const leftMs = held * restFactor - rested
    if (leftMs < 1) return nextTick()
    await this.pauses.pause(leftMs)
  }
}

/** The clock may have been set in between. */
function within(ms: number, least: number, most: number): number {
  return Math.min(Math.max(ms, least), most)
}
