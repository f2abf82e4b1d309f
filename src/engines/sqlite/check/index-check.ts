import { type Index, idOfEntries, indexOf } from '../../../core/indexes/definition.ts'
import { asDuplicate, entryOf, readEntry } from '../../../core/indexes/entries.ts'
import type { Settings } from '../../../core/settings.ts'
import { crcOfText } from '../table/row-checksum.ts'
import { Agreement } from './agreement.ts'
import type { Findings } from './findings.ts'
import type { StoredRow } from './stored-row.ts'
import { memberAt } from './stored-tables.ts'

/**
 * Compares the entries of indexes that are ready with the members that they are of, in constant memory. The first walk of the
 * members finds the indexes, as their settings and progress are not before all members; a second one adds up both sides.
 */
export class IndexCheck {
  private readonly defined = new Map<string, Index>()
  private readonly ready = new Set<string>()
  /** Members whose values are in pieces, so that their entries are not known, but by their keys. */
  private readonly large = new Set<string>()
  private readonly agreements = new Map<string, Agreement>()
  private byCollection = new Map<string, Index[]>()
  private hasTooManyLarge = false

  /** Takes over the settings of a collection. */
  noteSettings(collection: string, { indexes }: Settings): void {
    for (const definition of indexes) {
      const index = indexOf(collection, definition)
      this.defined.set(index.id, index)
    }
  }

  /** Takes over the progress of an index. */
  noteProgress(id: string, value: unknown): void {
    const isReady = typeof value === 'object' && value !== null && 'state' in value && value.state === 'ready'
    if (isReady) this.ready.add(id)
  }

  /** Takes over a member whose value is in pieces. */
  noteLarge(collection: string, key: string): void {
    if (this.large.size < maxLarge) this.large.add(JSON.stringify([collection, key]))
    else this.hasTooManyLarge = true
  }

  /** Whether there is something to be compared in a second walk. */
  begin(): boolean {
    const indexes = [...this.defined.values()].filter(({ id }) => this.ready.has(id))
    for (const index of indexes) this.agreements.set(index.id, new Agreement())
    this.byCollection = Map.groupBy(indexes, ({ of }) => of)
    return indexes.length > 0 && !this.hasTooManyLarge
  }

  /** Adds a row of the members. */
  add(collection: string, row: StoredRow): void {
    const indexes = this.byCollection.get(collection)
    if (indexes !== undefined) for (const index of indexes) this.addMember(index, row)
    const id = idOfEntries(collection)
    const index = id === null || !this.agreements.has(id) ? undefined : this.defined.get(id)
    if (index !== undefined) this.addEntry(index, row)
  }

  private addMember(index: Index, row: StoredRow): void {
    const key = row.text(memberAt.key)
    const isLarge = !row.isNull(memberAt.largeBytes)
    const value = row.isText(memberAt.value) ? row.text(memberAt.value) : noJson
    const entry = isLarge ? key : asDuplicate(entryOf(index, key, value), key).key
    this.agreements.get(index.id)!.add(crcOfText(entry), 1)
  }

  private addEntry(index: Index, row: StoredRow): void {
    const key = row.text(memberAt.key)
    const value = row.text(memberAt.value)
    const { memberKey } = readEntry(key, value, index.on.length)
    const isLarge = this.large.has(JSON.stringify([index.of, memberKey]))
    const entry = isLarge ? memberKey : asDuplicate({ key, value }, memberKey).key
    this.agreements.get(index.id)!.add(crcOfText(entry), -1)
  }

  report(findings: Findings): void {
    for (const [id, agreement] of this.agreements) {
      if (agreement.holds) continue
      const { of: collection, name } = this.defined.get(id)!
      findings.add({
        where: 'members',
        what: `the entries of index ${name} are not those of its members; kvist repair has them built anew`,
        collection,
      })
    }
  }
}

const maxLarge = 100_000
const noJson = new Uint8Array()
