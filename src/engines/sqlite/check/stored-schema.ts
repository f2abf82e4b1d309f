import { rowIds } from '../btree/page-check.ts'
import { isOfKvist, pageBytes } from '../btree/page-format.ts'
import { applicationId, schema } from '../table/schema.ts'
import type { StoredPages } from './stored-pages.ts'
import { StoredRow } from './stored-row.ts'
import { type StoredTableName, storedTableNames } from './stored-tables.ts'

/** Reads the header of `kvist.db`, and where its trees begin, from its first page. */

export interface StoredSchema {
  /** The format that the header states; null for a header that cannot be read. */
  readonly format: number | null
  /** The first page of each tree that the schema names. */
  readonly roots: Partial<Record<StoredTableName, number>>
  /** What is not as kvist makes it. */
  readonly faults: readonly string[]
  /** The tables that the file has besides kvist's. */
  readonly otherTables: readonly string[]
}

/** The header of page 1 follows that of the file. */
const headerBytes = 100
const versionAt = 60
const applicationIdAt = 68

export function readSchema(pages: StoredPages): StoredSchema {
  const page = Buffer.alloc(pageBytes)
  const unreadable = { format: null, roots: {}, otherTables: [] }
  if (!pages.read(1, page)) return { ...unreadable, faults: ['the file has no first page'] }
  const isWhole = page.toString('latin1', 0, 15) === 'SQLite format 3' && isOfKvist(page)
  if (!isWhole || page.readUInt32BE(applicationIdAt) !== applicationId)
    return { ...unreadable, faults: ["the file's header is not that of a file of kvist"] }
  const faults: string[] = []
  const roots: Partial<Record<StoredTableName, number>> = {}
  const otherTables: string[] = []
  const definitions = definitionsByName()
  for (const { name, root, sql } of readDefinitions(pages, page, faults)) {
    const known = definitions.get(name)
    if (known === undefined) otherTables.push(name)
    else if (known !== plain(sql)) faults.push(`the definition of ${name} is not what was written`)
    else if (root < 2 || root > pages.pageCount)
      faults.push(`${name} begins in a page that is not in the file`)
    else roots[name as StoredTableName] = root
  }
  for (const name of storedTableNames)
    if (roots[name] === undefined && faults.length === 0) faults.push(`the file has no table ${name}`)
  return { format: page.readUInt32BE(versionAt), roots, otherTables, faults }
}

interface Definition {
  readonly name: string
  readonly root: number
  readonly sql: string
}

/** Reads the rows of `sqlite_schema`, which begins in page 1 and may go on in pages below it. */
function readDefinitions(pages: StoredPages, first: Buffer, faults: string[]): Definition[] {
  const found: Definition[] = []
  const row = new StoredRow()
  const type = first[headerBytes]
  const cells = first.readUInt16BE(headerBytes + 3)
  if (type === rowIds.leafType) readCells(first, headerBytes, cells)
  else if (type === rowIds.interiorType) {
    const children = [first.readUInt32BE(headerBytes + 8)]
    for (let cell = 0; cell < cells && cell < maxCells; cell++)
      children.push(
        first.readUInt32BE(Math.min(first.readUInt16BE(headerBytes + 12 + cell * 2), pageBytes - 4)),
      )
    const page = Buffer.alloc(pageBytes)
    for (const child of children)
      if (child < 2 || !pages.read(child, page)) faults.push('a page of the schema cannot be read')
      else readCells(page, 0, page.readUInt16BE(3))
  } else faults.push('the first page is not what was written')

  function readCells(page: Buffer, base: number, count: number): void {
    for (let cell = 0; cell < count && cell < maxCells; cell++) {
      const isRead = row.read(pages, page, page.readUInt16BE(base + 8 + cell * 2), true, false)
      if (isRead && row.columns === 5 && row.isText(1) && row.isText(4))
        found.push({ name: row.text(1), root: row.number(3), sql: row.text(4) })
      else faults.push('a definition of a table is not what was written')
    }
  }
  return found
}

/** A schema with more tables is no schema of kvist's. */
const maxCells = 200

/** The statements that make the tables, by the table's name, without comments and spaces. */
function definitionsByName(): Map<string, string> {
  return new Map(
    schema
      .replace(/--.*$/gm, '')
      .split(';')
      .flatMap((statement) => {
        const name = /CREATE (?:TABLE|INDEX) (\w+)/.exec(statement)?.[1]
        return name === undefined ? [] : [[name, plain(statement)]]
      }),
  )
}

function plain(sql: string): string {
  return sql.replace(/--.*$/gm, '').replace(/[\s"]+/g, '')
}
