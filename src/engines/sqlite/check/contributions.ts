import { expiryChecksum, feedBlockChecksum, feedChecksum, pieceChecksum } from '../table/row-checksum.ts'
import { blockRevisions, pieceBytes } from '../table/schema.ts'
import type { StoreFinding } from './findings.ts'
import type { StoredRow } from './stored-row.ts'
import {
  blockAt,
  expiryAt,
  feedAt,
  memberAt,
  namesCrc,
  pieceAt,
  pieceOf,
  type StoredTableName,
  storedTables,
  tombstoneAt,
} from './stored-tables.ts'

/** What the rows of each table say of the rows of others, as checksums that cancel where the tables agree (agreement.ts). */

export type AgreementName = 'feed' | 'expiries' | 'pieces' | 'blocks' | 'tombstones'
export type Emit = (about: AgreementName, sign: 1 | -1, checksum: number, finding: () => StoreFinding) => void

/** What of each table is compared with other tables. */
export const walkedFor: Partial<Record<StoredTableName, readonly AgreementName[]>> = {
  members: ['feed', 'expiries', 'pieces'],
  tombstones: ['feed'],
  feed: ['feed', 'blocks', 'tombstones'],
  feed_blocks: ['blocks'],
  feed_tombstones: ['tombstones'],
  expiries: ['expiries'],
  value_pieces: ['pieces'],
}

interface Contributions {
  row(row: StoredRow): void
  /** Call it after the last row. */
  end(): void
}

/** What the rows of a table say of other tables' rows: 1 for what is there, -1 for what should be. */
export function contributionsOf(name: StoredTableName, emit: Emit): Contributions {
  const row = rowContributions[name]
  if (name === 'feed') return feedContributions(emit)
  return { row: (one) => row?.(one, emit), end() {} }
}

const rowContributions: Partial<Record<StoredTableName, (row: StoredRow, emit: Emit) => void>> = {
  members: memberContributions,
  tombstones(row, emit) {
    const crc = namesCrc(row, tombstoneAt.collection)
    const revision = row.number(tombstoneAt.revision)
    const checksum = feedChecksum(
      crc,
      row.length(tombstoneAt.collection),
      revision,
      row.text(tombstoneAt.cause),
    )
    emit('feed', -1, checksum, () => ({
      where: 'feed',
      what: 'the feed does not name its tombstone',
      ...storedTables.tombstones.name(row),
    }))
  },
  expiries(row, emit) {
    emit('expiries', 1, row.number(expiryAt.checksum), () => ({
      where: 'expiries',
      what: 'the table of expiries has a time that it does not expire at',
      ...storedTables.expiries.name(row),
    }))
  },
  feed_blocks(row, emit) {
    const block = row.number(blockAt.block)
    emit('blocks', 1, row.number(blockAt.checksum), () => ({
      where: 'feed_blocks',
      what: `block ${block} counts ${row.number(blockAt.changes)} changes, which the feed does not have`,
      ...storedTables.feed_blocks.name(row),
    }))
  },
  feed_tombstones(row, emit) {
    const revision = row.number(0)
    emit('tombstones', 1, pieceChecksum(0, revision, 0), () => ({
      where: 'feed_tombstones',
      what: 'the index names a tombstone that the feed does not have',
      revision,
    }))
  },
  value_pieces(row, emit) {
    const { revision, piece } = pieceOf(row.rowId)
    emit('pieces', 1, pieceChecksum(row.length(pieceAt.bytes), revision, piece), () => ({
      where: 'value_pieces',
      what: `piece ${piece} belongs to no member`,
      revision,
    }))
  },
}

function memberContributions(row: StoredRow, emit: Emit): void {
  const crc = namesCrc(row, memberAt.collection)
  const collectionBytes = row.length(memberAt.collection)
  const revision = row.number(memberAt.revision)
  const about = (where: string, what: string) => () => ({ where, what, ...storedTables.members.name(row) })
  emit(
    'feed',
    -1,
    feedChecksum(crc, collectionBytes, revision, null),
    about('feed', 'the feed does not name it'),
  )
  const expiresAtMs = row.numberOrNull(memberAt.expiresAt)
  if (expiresAtMs !== null)
    emit(
      'expiries',
      -1,
      expiryChecksum(crc, collectionBytes, expiresAtMs),
      about('expiries', 'the table of expiries does not have the time at which it expires'),
    )
  const largeBytes = row.numberOrNull(memberAt.largeBytes) ?? 0
  for (let piece = 0, left = largeBytes; left > 0; piece++, left -= pieceBytes)
    emit(
      'pieces',
      -1,
      pieceChecksum(Math.min(left, pieceBytes), revision, piece),
      about('value_pieces', `piece ${piece} of its value is missing`),
    )
}

/** The feed itself, what its blocks count, and the index of its tombstones. */
function feedContributions(emit: Emit): Contributions {
  let block = -1
  let changes = new Map<string, number>()
  function endBlock(): void {
    for (const [collection, count] of changes)
      emit('blocks', -1, feedBlockChecksum(collection, block, count), () => ({
        where: 'feed_blocks',
        what: `block ${block} does not count its ${count} changes`,
        collection,
      }))
    changes = new Map()
  }
  return {
    row(row) {
      const own = Math.floor(row.rowId / blockRevisions)
      if (own !== block) endBlock()
      block = own
      const collection = row.text(feedAt.collection)
      changes.set(collection, (changes.get(collection) ?? 0) + 1)
      const isTombstone = !row.isNull(feedAt.cause)
      emit('feed', 1, row.number(feedAt.checksum), () => ({
        where: isTombstone ? 'tombstones' : 'members',
        what: `the feed names ${isTombstone ? 'its tombstone' : 'it'}, but that is missing`,
        ...storedTables.feed.name(row),
      }))
      if (!isTombstone) return
      const revision = row.rowId
      emit('tombstones', -1, pieceChecksum(0, revision, 0), () => ({
        where: 'feed_tombstones',
        what: 'the index does not have a tombstone of the feed',
        revision,
      }))
    },
    end: endBlock,
  }
}
