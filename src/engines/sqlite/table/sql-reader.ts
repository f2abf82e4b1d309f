import type { SQLQueryBindings, Statement } from 'bun:sqlite'
import type { ExpiringRef } from '../../../core/engine.ts'
import { isVersion, type RemovalCause } from '../../../core/member.ts'
import type { ExistingVersion } from '../wal/record.ts'
import { tombstoneOrigin } from '../wal/tombstone-node.ts'
import { damagedMember, damagedStore } from './damage.ts'
import { headOfRow, type MemberRow, memberColumns, memberOfRow, verifyMemberRow } from './member-row.ts'
import {
  crcOfText,
  expiryChecksum,
  feedBlockChecksum,
  metaChecksum,
  tombstoneChecksum,
} from './row-checksum.ts'
import { openReadConnection, type ReadConnection } from './sql-connection.ts'
import {
  existingTombstone,
  type FeedRow,
  type Joined,
  type ReadTombstone,
  type ReadValue,
  SqlFeedCursor,
  SqlMemberCursor,
  valueOfRow,
} from './sql-cursors.ts'
import { partReader, pieceReader, valueReader } from './sql-values.ts'
import type { TableRange, TableReader } from './table-reader.ts'

/** `memberColumns` of a table joined as `m`. */
const joinedColumns = memberColumns.replaceAll(/(?<=^|,\s+)\w/g, 'm.$&')

const oneMember = `SELECT ${memberColumns} FROM members WHERE collection = ? AND key = ?`
const oneTombstone = `SELECT node, revision, cause, clock, checksum FROM tombstones WHERE collection = ? AND key = ?`
const feedRows = `SELECT f.revision AS feedRevision, f.collection, f.key AS feedKey, f.cause,
    f.checksum AS feedChecksum, ${joinedColumns}
  FROM feed f LEFT JOIN members m ON f.cause IS NULL AND m.collection = f.collection AND m.key = f.key
  WHERE f.revision > ? AND f.revision < ?`
const blocksOfCollection = `SELECT block, changes, checksum FROM feed_blocks
  WHERE collection = ? AND block >= ? ORDER BY block LIMIT ?`
const oldestTombstones = `SELECT collection, key FROM feed WHERE cause IS NOT NULL ORDER BY revision LIMIT 1`
const dueExpiries = `SELECT e.expires_at AS dueMs, e.collection AS dueCollection, e.key AS dueKey,
    e.checksum AS dueChecksum, ${joinedColumns}
  FROM (SELECT * FROM expiries WHERE expires_at <= ? ORDER BY expires_at, collection, key LIMIT ? OFFSET ?) e
  LEFT JOIN members m USING (collection, key) ORDER BY e.expires_at, e.collection, e.key`
const firstExpiry = 'SELECT expires_at AS dueMs FROM expiries ORDER BY expires_at LIMIT 1'
const numberInMeta = 'SELECT value, checksum FROM meta WHERE name = ?'
const fileBytes = 'SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size'

type NeighbourRow = MemberRow & { readonly collection: string }

function neighbour(side: '<' | '>', order: 'ASC' | 'DESC'): string {
  return `SELECT collection, ${memberColumns} FROM members WHERE (collection, key) ${side} (?, ?)
    ORDER BY collection ${order}, key ${order} LIMIT 1`
}

interface TombstoneRow {
  readonly node: string | null
  readonly revision: number
  readonly cause: RemovalCause
  readonly clock: number
  readonly checksum: number
}

interface ExpiryRow {
  readonly dueMs: number
  readonly dueCollection: string
  readonly dueKey: string
  readonly dueChecksum: number
}

/** Reads the tables by SQL. */
export function openReader(path: string, mapped: number): TableReader {
  const connection = openReadConnection(path, mapped)
  const { prepare, begin } = connection
  const members = prepare<MemberRow, [string, string]>(oneMember)
  const before = prepare<NeighbourRow, [string, string]>(neighbour('<', 'DESC'))
  const after = prepare<NeighbourRow, [string, string]>(neighbour('>', 'ASC'))
  const readPieces = pieceReader(connection)
  const readValue = valueReader(readPieces)
  const readPart = partReader(readPieces)
  const readTombstone = tombstoneReader(connection)
  const scanStatement = statementsBySql(connection)
  const expiring = prepare<Joined<ExpiryRow>, [number, number, number]>(dueExpiries)
  const first = prepare<{ dueMs: number }, []>(firstExpiry)
  /** The first expiry in the tables as the read transaction sees them; null when it was not read yet. */
  let firstExpiryMs: number | null = null
  const bytes = prepare<{ bytes: number }, []>(fileBytes)

  function verifiedRow(collection: string, key: string): MemberRow | null {
    begin()
    const row = members.get(collection, key)
    if (row === null) return null
    verifyMemberRow(collection, row)
    // SQLite may have found another one where a page is damaged.
    if (row.key !== key) throw damagedMember(collection, key, 'its position has another row')
    return row
  }

  return {
    read(collection, key) {
      const row = verifiedRow(collection, key)
      return row === null ? null : memberOfRow(row, valueOfRow(readValue, collection, row))
    },
    readHead(collection, key) {
      const row = verifiedRow(collection, key)
      return row === null ? null : headOfRow(row)
    },
    value: readValue,
    part(collection, key, version, from, to) {
      const row = verifiedRow(collection, key)
      return row === null || !isVersion(row, version) ? null : readPart(collection, row, from, to)
    },
    verifyAbsence(collection, key) {
      begin()
      for (const neighbour of [before.get(collection, key), after.get(collection, key)])
        if (neighbour !== null) verifyMemberRow(neighbour.collection, neighbour)
    },
    existing(collection, key) {
      const row = verifiedRow(collection, key)
      return row === null ? null : existingOf(row)
    },
    tombstone: readTombstone,
    origin(collection, key) {
      const row = verifiedRow(collection, key)
      if (row !== null)
        return { clock: row.clock, node: row.node ?? '', revision: row.revision, isTombstone: false }
      const tombstone = readTombstone(collection, key)
      if (tombstone === null) return null
      const { clock, node, revision } = tombstone
      return { clock, node, revision, isTombstone: true }
    },
    scan(range) {
      begin()
      const bounds = [range.from, range.to].filter((bound) => bound !== null)
      const rows = scanStatement<MemberRow>(scanSql(range)).iterate(range.collection, ...bounds)
      return new SqlMemberCursor(range, rows, readValue)
    },
    ...feedReader(connection, scanStatement, readValue, readTombstone),
    expiring(atMs, limit, skip) {
      begin()
      firstExpiryMs ??= first.get()?.dueMs ?? Number.POSITIVE_INFINITY
      return atMs < firstExpiryMs ? [] : expiring.all(atMs, limit, skip).map(expiringRef)
    },
    bytes() {
      begin()
      return bytes.get()!.bytes
    },
    release() {
      firstExpiryMs = null
      connection.release()
    },
    close: connection.close,
  }
}

type FeedReader = Pick<
  TableReader,
  'feed' | 'feedBlocks' | 'forgotten' | 'forgottenClock' | 'oldestTombstone'
>

function feedReader(
  { prepare, begin }: ReadConnection,
  scanStatement: StatementsBySql,
  readValue: ReadValue,
  readTombstone: ReadTombstone,
): FeedReader {
  const feedBlocks = prepare<{ block: number; changes: number; checksum: number }, [string, number, number]>(
    blocksOfCollection,
  )
  const metaNumber = prepare<{ value: number; checksum: number }, [string]>(numberInMeta)
  const oldest = prepare<{ collection: string; key: string }, []>(oldestTombstones)

  function readMetaNumber(name: string): number | null {
    begin()
    const row = metaNumber.get(name)
    if (row !== null && metaChecksum(name, row.value) !== row.checksum)
      throw damagedStore(`the checksum of ${name} does not match`)
    return row?.value ?? null
  }

  function forgotten(): number {
    const revision = readMetaNumber('forgotten_revision')
    if (revision === null) throw damagedStore('forgotten_revision is missing')
    return revision
  }

  function oldestTombstone(): number | null {
    begin()
    const ref = oldest.get()
    return ref === null ? null : existingTombstone(readTombstone, ref.collection, ref.key).removedClock
  }

  return {
    feed(after, before, collection) {
      begin()
      const sql = `${feedRows} ${collection === undefined ? '' : 'AND f.collection = ?'} ORDER BY f.revision`
      const statement = scanStatement<Joined<FeedRow>>(sql)
      const rows =
        collection === undefined
          ? statement.iterate(after, before)
          : statement.iterate(after, before, collection)
      return new SqlFeedCursor(rows, readValue, readTombstone)
    },
    feedBlocks(collection, from, limit) {
      begin()
      return feedBlocks.all(collection, from, limit).map(({ block, changes, checksum }) => {
        if (feedBlockChecksum(collection, block, changes) !== checksum)
          throw damagedStore(`the checksum of block ${block} of the feed of ${collection} does not match`)
        return block
      })
    },
    forgotten,
    forgottenClock() {
      const clock = readMetaNumber('forgotten_clock')
      if (clock !== null) return clock
      // Earlier versions of kvist did not note it. The oldest tombstone that is left is younger than all before it.
      return forgotten() === 0 ? 0 : (oldestTombstone() ?? Number.MAX_SAFE_INTEGER)
    },
    oldestTombstone,
  }
}

type StatementsBySql = <Row>(sql: string) => Statement<Row, SQLQueryBindings[]>

/** Caches statements by SQL text: each combination of bounds and order has its own plain scan of the primary key. */
function statementsBySql({ prepare }: ReadConnection): StatementsBySql {
  const prepared = new Map<string, Statement<unknown, SQLQueryBindings[]>>()
  return <Row>(sql: string): Statement<Row, SQLQueryBindings[]> => {
    let statement = prepared.get(sql)
    if (statement === undefined) {
      statement = prepare<unknown, SQLQueryBindings[]>(sql)
      prepared.set(sql, statement)
    }
    return statement as Statement<Row, SQLQueryBindings[]>
  }
}

function scanSql({ from, to, order }: TableRange): string {
  return `SELECT ${memberColumns} FROM members WHERE collection = ?
    ${from === null ? '' : 'AND key >= ?'} ${to === null ? '' : 'AND key < ?'} ORDER BY key ${order}`
}

function existingOf({
  key,
  value,
  revision,
  createdAtMs,
  expiresAtMs,
  largeBytes,
}: MemberRow): ExistingVersion {
  const valueBytes = largeBytes ?? (typeof value === 'string' ? Buffer.byteLength(value) : value.length)
  return { revision, createdAtMs, expiresAtMs, bytes: Buffer.byteLength(key) + valueBytes }
}

function tombstoneReader({ prepare, begin }: ReadConnection): ReadTombstone {
  const tombstones = prepare<TombstoneRow, [string, string]>(oneTombstone)
  return (collection, key) => {
    begin()
    const row = tombstones.get(collection, key)
    if (row === null) return null
    const { node, revision, cause, clock, checksum } = row
    const texts = crcOfText(node ?? '', crcOfText(key, crcOfText(collection)))
    const [collectionBytes, keyBytes] = [Buffer.byteLength(collection), Buffer.byteLength(key)]
    if (tombstoneChecksum(texts, collectionBytes, keyBytes, revision, cause, clock) !== checksum)
      throw damagedMember(collection, key, 'the checksum of its tombstone does not match')
    return { key, revision, cause, ...tombstoneOrigin(node ?? '', clock), removedClock: clock }
  }
}

function expiringRef(row: Joined<ExpiryRow>): ExpiringRef {
  const { dueMs, dueCollection: collection, dueKey: key } = row
  const texts = crcOfText(key, crcOfText(collection))
  if (expiryChecksum(texts, Buffer.byteLength(String(collection)), dueMs) !== row.dueChecksum)
    throw damagedMember(collection, key, 'the checksum of its expiry does not match')
  if (row.revision === null) throw damagedMember(collection, key, 'it is to expire, but it is missing')
  verifyMemberRow(collection, row)
  if (row.key !== key || row.expiresAtMs !== dueMs)
    throw damagedMember(collection, key, 'it is to expire at another time')
  return { collection, key, revision: row.revision, expiresAtMs: dueMs }
}
