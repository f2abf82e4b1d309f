import { indexesCollection } from '../../../core/indexes/registry.ts'
import { parseSettings, settingsCollection } from '../../../core/settings.ts'
import type { Counts, Meta } from '../table/table.ts'
import { Agreement } from './agreement.ts'
import { type AgreementName, contributionsOf, type Emit, walkedFor } from './contributions.ts'
import type { Findings, StoreFinding } from './findings.ts'
import { IndexCheck } from './index-check.ts'
import type { StoredPages } from './stored-pages.ts'
import type { StoredRow } from './stored-row.ts'
import { readSchema } from './stored-schema.ts'
import {
  collectionAt,
  memberAt,
  metaAt,
  namesCrc,
  type StoredTableName,
  storedTableNames,
  storedTables,
  tombstoneAt,
} from './stored-tables.ts'
import { PageSet, readFreePages, TreeWalk } from './tree-walk.ts'

/**
 * Checks `kvist.db`: the structure of every page, the checksum of every row, and that the tables agree with each other. Memory
 * is bounded: sets of rows are compared by sums (agreement.ts), and where those differ, a second walk names the rows.
 */

/** What the tables hold, as far as it could be read. */
export interface TablesReport {
  readonly meta: Partial<Meta>
  readonly members: number
  readonly tombstones: number
  readonly valueBytes: number
}

/** The most rows that a second walk keeps to find those that only one table has. */
const maxSuspects = 200_000

export class TableCheck {
  private readonly pages: StoredPages
  private readonly findings: Findings
  private readonly agreements: Record<AgreementName, Agreement> = {
    feed: new Agreement(),
    expiries: new Agreement(),
    pieces: new Agreement(),
    blocks: new Agreement(),
    tombstones: new Agreement(),
  }
  private readonly counts = new Map<string, Counts>()
  private readonly stated = new Map<string, Counts>()
  private readonly meta = new Map<string, string | number>()
  private readonly tombstoneNames = new NameFilter()
  /** Members that may have a tombstone too. */
  private readonly doubled = new Set<string>()
  private readonly indexes = new IndexCheck()
  private tombstones = 0
  private newest = 0

  constructor(pages: StoredPages, findings: Findings) {
    this.pages = pages
    this.findings = findings
  }

  get members(): number {
    let sum = 0
    for (const { members } of this.counts.values()) sum += members
    return sum
  }

  /** Does the work; yields after each page. */
  *run(): Generator<void, TablesReport> {
    const { pages, findings } = this
    const { roots, faults, otherTables } = readSchema(pages)
    for (const what of faults) findings.add({ where: 'kvist.db', what })
    for (const name of otherTables)
      findings.add({ where: 'kvist.db', what: `it has a table ${name}, which is not kvist's` })
    const seen = new PageSet(pages.pageCount)
    seen.add(1)
    const freeFault = readFreePages(pages, seen)
    if (freeFault !== null) findings.add({ where: 'kvist.db', what: freeFault })
    for (const name of checkOrder) {
      const root = roots[name]
      if (root !== undefined) yield* this.walk(name, root, seen)
    }
    this.compareCounts()
    this.checkMeta()
    if (faults.length === 0) {
      this.reportUnused(seen)
      yield* this.nameDifferences(roots)
      yield* this.checkIndexes(roots.members)
    }
    return {
      meta: metaOf(this.meta),
      members: this.members,
      tombstones: this.tombstones,
      valueBytes: [...this.counts.values()].reduce((sum, { bytes }) => sum + bytes, 0),
    }
  }

  private *walk(name: StoredTableName, root: number, seen: PageSet): Generator<void> {
    const { findings } = this
    const emit: Emit = (about, sign, checksum) => this.agreements[about].add(checksum, sign)
    const contribute = contributionsOf(name, emit)
    const walk = new TreeWalk(this.pages, seen, name, {
      row: (row, isValid) => {
        if (isValid) {
          contribute.row(row)
          this.note(name, row)
        } else {
          findings.add({
            where: name,
            what: 'the checksum of its row does not match',
            ...damagedName(name, row),
          })
        }
      },
      fault: (page, what) => findings.add({ where: name, page, what }),
    })
    yield* walk.walk(root)
    contribute.end()
  }

  /** Takes from a row what is not compared by sums. */
  private note(name: StoredTableName, row: StoredRow): void {
    if (name === 'members') this.noteMember(row)
    else if (name === 'tombstones') {
      this.tombstones++
      this.tombstoneNames.add(namesCrc(row, tombstoneAt.collection))
    } else if (name === 'feed') this.newest = Math.max(this.newest, row.rowId)
    else if (name === 'collections')
      this.stated.set(row.text(collectionAt.name), {
        members: row.number(collectionAt.members),
        bytes: row.number(collectionAt.bytes),
      })
    else if (name === 'meta') this.meta.set(row.text(metaAt.name), row.value(metaAt.value) as string | number)
  }

  private noteMember(row: StoredRow): void {
    const collection = this.collectionOf(row)
    let own = this.counts.get(collection)
    if (own === undefined) {
      own = { members: 0, bytes: 0 }
      this.counts.set(collection, own)
    }
    own.members++
    own.bytes +=
      row.length(memberAt.key) + (row.numberOrNull(memberAt.largeBytes) ?? row.length(memberAt.value))
    if (this.tombstoneNames.mayHave(namesCrc(row, memberAt.collection)) && this.doubled.size < maxSuspects)
      this.doubled.add(JSON.stringify([collection, row.text(memberAt.key)]))
    if (!row.isNull(memberAt.largeBytes)) this.indexes.noteLarge(collection, row.text(memberAt.key))
    if (collection.startsWith('_')) this.checkOwn(collection, row)
  }

  /** Walks the members again, where indexes have to be compared with them. Damaged members would only be named twice. */
  private *checkIndexes(root: number | undefined): Generator<void> {
    if (root === undefined || this.findings.count > 0 || !this.indexes.begin()) return
    const walk = new TreeWalk(this.pages, new PageSet(this.pages.pageCount), 'members', {
      row: (row) => this.indexes.add(this.collectionOf(row), row),
      fault() {},
    })
    yield* walk.walk(root)
    this.indexes.report(this.findings)
  }

  /** Consecutive rows mostly share a collection. */
  private lastCollection = ''
  private lastBytes = Buffer.alloc(0)
  private collectionOf(row: StoredRow): string {
    const bytes = row.bytesOf(memberAt.collection)
    if (bytes.equals(this.lastBytes)) return this.lastCollection
    this.lastBytes = Buffer.from(bytes)
    this.lastCollection = bytes.toString('utf8')
    return this.lastCollection
  }

  /** Members of kvist's own collections have to be what the start reads: settings, and JSON in any case. */
  private checkOwn(collection: string, row: StoredRow): void {
    if (!row.isText(memberAt.value) || !row.isNull(memberAt.largeBytes)) return
    try {
      const value: unknown = JSON.parse(row.text(memberAt.value))
      if (collection === settingsCollection)
        this.indexes.noteSettings(row.text(memberAt.key), parseSettings(value))
      else if (collection === indexesCollection) this.indexes.noteProgress(row.text(memberAt.key), value)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      const key = row.text(memberAt.key)
      this.findings.add({
        where: 'members',
        what: `it is not what kvist writes there: ${why}`,
        collection,
        key,
      })
    }
  }

  private compareCounts(): void {
    for (const collection of new Set([...this.counts.keys(), ...this.stated.keys()])) {
      const { members, bytes } = this.counts.get(collection) ?? { members: 0, bytes: 0 }
      const stated = this.stated.get(collection) ?? { members: 0, bytes: 0 }
      if (members === stated.members && bytes === stated.bytes) continue
      const what = `${stated.members} members with ${stated.bytes} bytes are counted, and ${members} with ${bytes} bytes are there`
      this.findings.add({ where: 'collections', what, collection })
    }
  }

  private checkMeta(): void {
    for (const name of ['store_id', 'node_id', 'flushed_revision', 'clock', 'forgotten_revision'])
      if (!this.meta.has(name)) this.findings.add({ where: 'meta', what: `${name} is missing` })
    const flushed = this.meta.get('flushed_revision')
    if (typeof flushed === 'number' && this.newest > flushed)
      this.findings.add({
        where: 'feed',
        what: `it goes to revision ${this.newest}, and the tables to ${flushed}`,
      })
  }

  private reportUnused(seen: PageSet): void {
    let unused = 0
    for (let page = 2; page <= this.pages.pageCount; page++) if (!seen.has(page)) unused++
    if (unused > 0) this.findings.add({ where: 'kvist.db', what: `${unused} pages belong to no table` })
  }

  /** Walks the tables whose rows do not agree again, and names the rows that only one of the two has. */
  private *nameDifferences(roots: Partial<Record<StoredTableName, number>>): Generator<void> {
    const suspects = new Map<string, { net: number; finding: StoreFinding }>()
    const emit: Emit = (about, sign, checksum, finding) => {
      if (!this.agreements[about].isSuspect(checksum) || suspects.size >= maxSuspects) return
      const made = finding()
      const name = `${about} ${checksum} ${made.collection ?? ''} ${made.key ?? ''} ${made.revision ?? ''}`
      const known = suspects.get(name)
      if (known === undefined) suspects.set(name, { net: sign, finding: made })
      else {
        known.net += sign
        known.finding = made
        if (known.net === 0) suspects.delete(name)
      }
    }
    const failed = new Set(
      Object.entries(this.agreements).flatMap(([name, { holds }]) => (holds ? [] : [name])),
    )
    for (const [name, about] of Object.entries(walkedFor) as [StoredTableName, readonly AgreementName[]][]) {
      const root = roots[name]
      const isDoubled = name === 'tombstones' && this.doubled.size > 0
      if (root === undefined || !(isDoubled || about.some((one) => failed.has(one)))) continue
      const contribute = contributionsOf(name, emit)
      const walk = new TreeWalk(this.pages, new PageSet(this.pages.pageCount), name, {
        row: (row, isValid) => {
          if (!isValid) return
          contribute.row(row)
          if (isDoubled) this.reportDoubled(row)
        },
        fault() {},
      })
      yield* walk.walk(root)
      contribute.end()
    }
    for (const { finding } of suspects.values()) this.findings.addConsequence(finding)
    if (failed.size > 0 && suspects.size === 0)
      this.findings.add({ where: 'kvist.db', what: `its tables do not agree (${[...failed].join(', ')})` })
  }

  private reportDoubled(row: StoredRow): void {
    const [collection, key] = [row.text(tombstoneAt.collection), row.text(tombstoneAt.key)]
    if (!this.doubled.has(JSON.stringify([collection, key]))) return
    this.findings.add({ where: 'tombstones', what: 'it is there, and has a tombstone too', collection, key })
  }
}

/** Tombstones before members, so that a member is known to have a tombstone too. */
const checkOrder: readonly StoredTableName[] = [
  'meta',
  'collections',
  'tombstones',
  ...storedTableNames.filter((name) => !['meta', 'collections', 'tombstones'].includes(name)),
]

/** What can be said of a row whose checksum does not match; its texts may be anything. */
function damagedName(name: StoredTableName, row: StoredRow) {
  if (row.columns !== storedTables[name].columns) return {}
  return storedTables[name].name(row)
}

/** A set of names by their CRC: it may have names that were not added. */
class NameFilter {
  private readonly bits = new Uint8Array(2 ** 20)

  add(crc: number): void {
    this.bits[(crc >>> 3) % this.bits.length]! |= 1 << (crc & 7)
  }

  mayHave(crc: number): boolean {
    return (this.bits[(crc >>> 3) % this.bits.length]! & (1 << (crc & 7))) !== 0
  }
}

function metaOf(meta: ReadonlyMap<string, string | number>): Partial<Meta> {
  const text = (name: string) => {
    const value = meta.get(name)
    return typeof value === 'string' ? value : undefined
  }
  const number = (name: string) => {
    const value = meta.get(name)
    return typeof value === 'number' ? value : undefined
  }
  const [storeId, nodeId, lost] = [text('store_id'), text('node_id'), text('lost_revisions')]
  const [flushedRevision, clock] = [number('flushed_revision'), number('clock')]
  return {
    ...(storeId !== undefined && { storeId }),
    ...(nodeId !== undefined && { nodeId }),
    ...(flushedRevision !== undefined && { flushedRevision }),
    ...(clock !== undefined && { clock }),
    lostRevisions: lost === undefined ? [] : JSON.parse(lost),
  }
}
