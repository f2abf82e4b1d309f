import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { lockForReading } from '../lock.ts'
import { type Counts, RefusedFile, type RevisionRange } from '../table/table.ts'
import { syncPath } from '../wal/log-files.ts'
import { recordClock } from '../wal/record.ts'
import { checkFolder, formatOf, inSlices, isStoreFolder } from './check-folder.ts'
import type { LostMember, RepairReport } from './repair-report.ts'
import { RepairedStore, rangesText } from './repaired-store.ts'
import { everyRecord, salvageLog, storeOfLog } from './salvage-log.ts'
import { salvageTables } from './salvage-tables.ts'
import { openPages } from './stored-pages.ts'
import { collectionAt, metaAt, type StoredTableName } from './stored-tables.ts'

/** Saves what can be read of a damaged data folder into a new one (docs/design/check.md). */

export interface RepairOptions {
  readonly onProgress?: (pages: number, totalPages: number, members: number) => void
}

/** The most lost or uncertain members that are listed. */
const maxListed = 100_000

/**
 * Where the last revision is not known for certain, the new store goes on so many revisions later: more than a server's log can
 * have held beyond what was found. So no revision is assigned twice.
 */
const skippedRevisions = 2 ** 24

/**
 * Builds the folder `target`, which must be missing or empty, from what can be read of `dir`, which is not changed. Throws RefusedFile
 * for a folder that is in use, has no store or another format. The new folder appears only when it is complete and checked.
 */
export async function repairFolder(
  dir: string,
  target: string,
  options: RepairOptions = {},
): Promise<RepairReport> {
  if (!isStoreFolder(dir)) throw new RefusedFile(`${dir} has no store: neither kvist.db nor a log`)
  if (existsSync(target) && readdirSync(target).length > 0)
    throw new RefusedFile(`${target} is not empty: name a new folder`)
  if (`${resolve(target)}/`.startsWith(`${resolve(dir)}/`))
    throw new RefusedFile(`${target} is in ${dir}: name a folder elsewhere`)
  const lock = lockForReading(dir)
  const part = `${resolve(target)}.part`
  rmSync(part, { recursive: true, force: true })
  mkdirSync(part, { recursive: true, mode: 0o700 })
  try {
    const report = await new Repair(dir, join(part, 'kvist.db')).run(options)
    const { isWhole, findings } = await checkFolder(part)
    if (!isWhole) throw new Error(`the repaired store is not whole: ${JSON.stringify(findings[0])}`)
    syncPath(part)
    renameSync(part, target)
    syncPath(dirname(resolve(target)))
    return report
  } catch (error) {
    rmSync(part, { recursive: true, force: true })
    throw error
  } finally {
    lock.release()
  }
}

/** What the tables say of themselves. */
interface StoredState {
  readonly meta: Map<string, string | number>
  readonly counts: Map<string, Counts>
  /** Tables that were not read completely. */
  damaged: ReadonlySet<StoredTableName>
  members: number
}

class Repair {
  private readonly dir: string
  private readonly store: RepairedStore
  private readonly notes: string[] = []
  private readonly lost: LostMember[] = []
  private readonly uncertain: LostMember[] = []
  private leftOut = 0
  private clock = 0
  private readonly state: StoredState = { meta: new Map(), counts: new Map(), damaged: new Set(), members: 0 }

  constructor(dir: string, target: string) {
    this.dir = dir
    this.store = new RepairedStore(target)
  }

  async run(options: RepairOptions): Promise<RepairReport> {
    try {
      return await this.repair(options)
    } catch (error) {
      this.store.close()
      throw error
    }
  }

  private async repair(options: RepairOptions): Promise<RepairReport> {
    const { store, dir, state } = this
    const hasTables = existsSync(join(dir, 'kvist.db'))
    if (hasTables) await this.readTables(options)
    else this.notes.push(`${join(dir, 'kvist.db')} is missing: only what the log has is saved`)
    const storeId = this.metaText('store_id') ?? storeOfLog(dir)
    const isFeedWhole = hasTables && !state.damaged.has('feed')
    const areExpiriesWhole = hasTables && !state.damaged.has('expiries')
    store.takePossible({ isFeedWhole, areExpiriesWhole }, (member) => this.list(this.uncertain, member))
    const incomplete: LostMember[] = []
    store.dropIncomplete((member) => incomplete.push(member))
    store.noteMissing()
    let fromLog = store.missing
    if (fromLog > 0) everyRecord(dir, storeId, (chunk, at) => store.fillFrom(chunk, at))
    fromLog -= store.stillMissing
    const unnamed = this.unnamed()
    const before = store.newest()
    const flushed = this.metaNumber('flushed_revision')
    const known = this.knownLost()
    const log = salvageLog(dir, storeId, flushed ?? before.revision, known, (chunk, at) => {
      store.applyRecord(chunk, at)
      this.clock = Math.max(this.clock, recordClock(chunk, at))
    })
    for (const { file, what } of log.faults) this.notes.push(`${file}: ${what}`)
    const lostTombstone = this.listLost(incomplete)
    const isLogWhole = log.lost.length === 0 && log.faults.length === 0
    const isEndKnown = flushed !== null && isLogWhole
    const seen = Math.max(flushed ?? 0, before.revision, log.highest, known.at(-1)?.last ?? 0)
    const revision = isEndKnown ? seen : seen + skippedRevisions
    if (!isEndKnown)
      this.notes.push(`the last revision is not known for certain: the new store goes on from ${revision}`)
    const mayLackTombstones = !isLogWhole || !isFeedWhole
    const forgotten = Math.max(
      this.metaNumber('forgotten_revision') ?? 0,
      mayLackTombstones ? revision : lostTombstone,
    )
    const newestClock = Math.max(this.metaNumber('clock') ?? 0, this.clock, store.newest().clock)
    const hasForgotten = mayLackTombstones || lostTombstone > 0
    const held = store.finish({
      node_id: this.metaText('node_id'),
      flushed_revision: revision,
      clock: newestClock,
      forgotten_revision: forgotten,
      forgotten_clock: hasForgotten ? newestClock : this.metaNumber('forgotten_clock'),
      lost_revisions: rangesText([...known, ...log.lost]),
    })
    if (hasForgotten)
      this.notes.push('readers of the feed begin again: deletes that they have not seen may be lost')
    return {
      ...held,
      revision,
      lost: this.lost,
      uncertain: this.uncertain,
      leftOut: this.leftOut,
      unnamed,
      lostRevisions: log.lost,
      fromLog,
      notes: this.notes,
    }
  }

  private async readTables({ onProgress = () => {} }: RepairOptions): Promise<void> {
    const { store, state } = this
    const path = join(this.dir, 'kvist.db')
    const pages = openPages(path)
    try {
      formatOf(path, pages)
      const job = salvageTables(pages, {
        row: (name, row, trust) => {
          if (name === 'members') state.members++
          if (name === 'meta') {
            const key = row.text(metaAt.name)
            const value = row.value(metaAt.value) as string | number
            // Of several states of a number the largest is the newest.
            if (trust === 'certain' || !state.meta.has(key) || Number(value) > Number(state.meta.get(key)))
              state.meta.set(key, value)
          } else if (name === 'collections') {
            if (trust !== 'certain') return
            const [members, bytes] = [row.number(collectionAt.members), row.number(collectionAt.bytes)]
            state.counts.set(row.text(collectionAt.name), { members, bytes })
          } else store.addRow(name, row, trust)
        },
        fault: (name, page, what) => this.notes.push(`page ${page} of ${name}: ${what}`),
      })
      const { damaged } = await inSlices(job, (done) => onProgress(done, pages.pageCount, state.members))
      state.damaged = damaged
    } finally {
      pages.close()
    }
  }

  /** Lists what is lost. Returns the highest revision of a lost tombstone, 0 for none. */
  private listLost(incomplete: readonly LostMember[]): number {
    const why = new Map(incomplete.map(({ revision, what }) => [revision, what]))
    let tombstone = 0
    for (const { cause, ...member } of this.store.lost()) {
      if (cause === null) this.list(this.lost, { ...member, what: why.get(member.revision) ?? member.what })
      else tombstone = Math.max(tombstone, member.revision)
      why.delete(member.revision)
    }
    return tombstone
  }

  private list(to: LostMember[], member: LostMember): void {
    if (this.lost.length + this.uncertain.length < maxListed) to.push(member)
    else this.leftOut++
  }

  /** Members that a collection counts, and neither the tables nor the feed have. */
  private unnamed(): { collection: string; members: number }[] {
    const { counts } = this.state
    const there = this.store.counts()
    return [...counts].flatMap(([collection, { members }]) => {
      const missing = members - (there.get(collection) ?? 0)
      return missing > 0 ? [{ collection, members: missing }] : []
    })
  }

  private knownLost(): RevisionRange[] {
    const text = this.metaText('lost_revisions')
    return text === null ? [] : (JSON.parse(text) as RevisionRange[])
  }

  private metaText(name: string): string | null {
    const value = this.state.meta.get(name)
    return typeof value === 'string' ? value : null
  }

  private metaNumber(name: string): number | null {
    const value = this.state.meta.get(name)
    return typeof value === 'number' ? value : null
  }
}
