import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Commit, Write } from '../../src/core/engine.ts'
import { replay } from '../../src/engines/sqlite/archive/replay.ts'
import type { ArchiveOptions } from '../../src/engines/sqlite/archive/store-archive.ts'
import type { ArchivePath, Base, Timeline } from '../../src/engines/sqlite/archive/timeline.ts'
import { readTimeline } from '../../src/engines/sqlite/archive/timeline.ts'
import { openSqlite, type SqliteEngine, type SqliteOptions } from '../../src/engines/sqlite/engine.ts'
import { newFolder, withEngine } from './engine.ts'
import { write } from './engine-writes.ts'
import type { Random } from './random.ts'

/** A store with an archive in short, whose bases are snapshots of its tables. */

export interface ArchivedStore {
  readonly data: string
  readonly archive: string
  readonly bases: Base[]
  /** The time that commits get; a test moves it. */
  nowMs: number
}

export function archivedStore(startMs: number): ArchivedStore {
  return { data: newFolder(), archive: newFolder(), bases: [], nowMs: startMs }
}

type Options = Partial<Omit<SqliteOptions, 'archive'>> & { readonly archive?: Partial<ArchiveOptions> }

/** Opens the store with its archive, which is written on request alone: on rotation and by `sync`. */
export function optionsOf(store: ArchivedStore, { archive, ...options }: Options = {}): SqliteOptions {
  return {
    dir: store.data,
    durability: 'full',
    onCommit() {},
    segmentBytes: 16_384,
    ...options,
    archive: { dir: store.archive, everyMs: 3_600_000, now: () => store.nowMs, ...archive },
  }
}

export function openArchived(store: ArchivedStore, options: Options = {}): Promise<SqliteEngine> {
  return openSqlite(optionsOf(store, options))
}

/** Opens the store, works on it, and closes it. */
export async function withArchived<Result>(
  store: ArchivedStore,
  work: (engine: SqliteEngine) => Promise<Result>,
  options: Options = {},
): Promise<Result> {
  const engine = await openArchived(store, options)
  try {
    return await work(engine)
  } finally {
    await engine.close()
  }
}

/** Writes at the time of the store. */
export function writeAt(
  store: ArchivedStore,
  engine: SqliteEngine,
  writes: readonly Write[],
  options: Partial<Commit> = {},
): ReturnType<typeof write> {
  return write(engine, writes, { nowMs: store.nowMs, ...options })
}

/** Takes a base. */
export async function takeBase(store: ArchivedStore, engine: SqliteEngine): Promise<Base> {
  const folder = newFolder()
  mkdirSync(folder)
  const path = join(folder, 'base')
  const revision = Number(engine.head())
  await engine.snapshot(path)
  const base = { path, revision, takenAtMs: store.nowMs }
  store.bases.push(base)
  return base
}

export function timelineOf({ archive, bases }: ArchivedStore): Timeline {
  return readTimeline(archive, bases)
}

/** Restores the store of a route into a new folder, and opens it there. */
export async function withRestored<Result>(
  { storeId }: Timeline,
  route: ArchivePath,
  work: (engine: SqliteEngine) => Promise<Result>,
): Promise<Result> {
  const dir = newFolder()
  mkdirSync(dir)
  copyFileSync(route.base.path, join(dir, 'kvist.db'))
  replay(join(dir, 'kvist.db'), storeId, route)
  return withEngine(dir, work)
}

/** Waits a random while of the store's time, from none to some seconds. */
export function waitRandomly(store: ArchivedStore, random: Random): void {
  if (!random.oneIn(4)) store.nowMs += random.int(3000)
}
