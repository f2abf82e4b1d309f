import type { FeedCursor } from '../engine.ts'
import { KvistError } from '../errors.ts'
import { nextTick } from '../next-tick.ts'
import { randomName } from '../origin.ts'
import { idOfEntries } from './definition.ts'
import { dropOrphans, forgetUnknown } from './drop-entries.ts'
import { Build, type IndexBuilderOptions, type IndexEvent } from './one-build.ts'
import { otherBuilders } from './other-builders.ts'
import { pausesOf } from './pauses.ts'

/**
 * Builds indexes in the background, one after the other, while members are written:
 *
 *     clear      the entries of a former index with the same definition are deleted
 *     begin      its first progress is stored. Commits are done in the order of their calls, so all that had no entries, because the
 *                index was not known yet, are done by then
 *     scan       the members are read in key order, by page; the entries of many pages are committed in the order of the index. Of a
 *                member that may have been written since it was read, with a check that it has not changed; where it has, the
 *                write gate has given it its entry already. Of a unique index, and where other servers write to the store, page
 *                by page with checks of all
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

const dropped: IndexEvent = { type: 'dropped', collection: null, name: null, examined: 0, failure: null }

/** After an error, such as a full disk. */
const retryMs = 5000
const builderNameLength = 10

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
  const builder = options.engine.shared === null ? null : randomName(builderNameLength)
  const builders = otherBuilders(builder, options, () => wake())
  let isWanted = false
  let running: Promise<void> | null = null

  async function work(): Promise<void> {
    while (isWanted && !isStopped()) {
      isWanted = false
      await dropOrphans(options, isStopped, () => options.onEvent(dropped))
      for (;;) {
        const next = registry.all().find((one) => one.state === 'building' && !builders.isBusy(one))
        if (next === undefined || isStopped()) break
        await new Build({ ...options, builder }, next, pauses, knownSince.get(next.id)!).run()
      }
      builders.wakeLater(registry.all())
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
    builders.note(indexes)
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
      builders.stop()
      await running
    },
  }
}
