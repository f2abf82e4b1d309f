import { KvistError } from '../../../core/errors.ts'
import { defaultPageMembers } from '../../../core/limits.ts'
import { jsonContentType, type Member } from '../../../core/member.ts'
import type { StoredJson } from '../../../core/member-visitor.ts'
import type { MemberRowCursor, TableRange, TableReader } from '../table/table-reader.ts'
import { mapFile } from './mapped-file.ts'
import type { PageReader } from './pages.ts'
import { notVisited } from './row-reader.ts'

/**
 * Guards direct reads of the tables' file, which are correct only while no process but kvist changes that file. The
 * option `--sqlite-pages` selects whether they are used.
 */

/** Indexes of 32-bit numbers in SQLite's wal-index, the -shm file (https://www.sqlite.org/walformat.html). */
const commitsAt = 2
const backfillAt = 32

/**
 * Checks, after each read, two numbers that SQLite shares between processes in the -shm file: the count of committed
 * transactions, and whether a checkpoint has begun to write the file. If another program interfered, the result is
 * discarded and SQLite reads the row. After a foreign commit the pages are not read again until the next start, after a
 * foreign checkpoint until the flusher's next one.
 */
export function guardedPages(path: string, pages: PageReader, warn: (line: string) => void): PageReader {
  const file = mapFile(`${path}-shm`)
  const bytes = file?.windows().windows[0]
  if (file === null || bytes === undefined) {
    file?.close()
    return pages
  }
  const head = new Uint32Array(bytes.buffer, bytes.byteOffset, backfillAt + 1)
  let expected = head[commitsAt]!
  /** The number of commits that a job under way may have made already. */
  let ahead = 0
  let isForeign = false
  /** What the flusher's checkpoint moved of a log that was not truncated yet, in frames. */
  let moved = 0

  function isUntouched(): boolean {
    const more = (head[commitsAt]! - expected) >>> 0
    if (more > ahead) noteForeign()
    return more <= ahead && (head[backfillAt]! === 0 || head[backfillAt]! === moved)
  }

  function noteForeign(): void {
    if (isForeign) return
    isForeign = true
    pages.pause()
    warn(`another program wrote to ${path}: until the next start SQLite reads it alone, which is slower`)
  }

  function guarded<T>(read: T | undefined): T | undefined {
    if (read === undefined || isUntouched()) return read
    pages.pause()
    return undefined
  }

  return {
    read: (collection, key, slot) => guarded(pages.read(collection, key, slot)),
    existing: (collection, key, slot) => guarded(pages.existing(collection, key, slot)),
    visit(ref, slot, visitor) {
      const bytes = pages.visit(ref, slot, visitor)
      if (bytes === notVisited || isUntouched()) return bytes
      pages.pause()
      visitor.undo()
      return notVisited
    },
    prefetch: pages.prefetch,
    scan: (range, use) => guarded(pages.scan(range, use)),
    visitRange: (range, use) => guarded(pages.visitRange(range, use)),
    damageIn(name, from, to) {
      const damage = pages.damageIn(name, from, to)
      return damage === null || guarded(true) === undefined ? null : damage
    },
    pause: pages.pause,
    resume(isMoved = false) {
      moved = isMoved ? head[backfillAt]! : 0
      if (!isForeign) pages.resume(isMoved)
    },
    jobBegins() {
      ahead = 1
    },
    jobEnded(commits) {
      ahead = 0
      const more = (head[commitsAt]! - expected) >>> 0
      if (commits === null ? more > 1 : more !== commits) noteForeign()
      expected = head[commitsAt]!
      // The log was begun anew.
      if (commits !== 0) moved = 0
    },
    close() {
      pages.close()
      file.close()
    },
  }
}

/** Returns a page reader that leaves every read to SQLite. */
export function noPages(): PageReader {
  return {
    read: () => undefined,
    visit: () => notVisited,
    existing: () => undefined,
    prefetch() {},
    scan: () => undefined,
    visitRange: () => undefined,
    damageIn: () => null,
    pause() {},
    resume() {},
    jobBegins() {},
    jobEnded() {},
    close() {},
  }
}

/**
 * Compares each read with SQLite's result; `onDifference` receives a line when they differ, or when only SQLite finds the
 * row damaged.
 */
export function checkedPages(
  pages: PageReader,
  reader: TableReader,
  onDifference: (line: string) => void,
): PageReader {
  function check<T>(what: string, read: T | undefined, readAgain: () => T): T | undefined {
    if (read === undefined) return read
    let stored: unknown
    try {
      stored = readAgain()
    } catch (error) {
      if (!(error instanceof KvistError)) throw error
      stored = error.message
    }
    if (!Bun.deepEquals(read, stored))
      onDifference(`${what} differs: the pages have ${inspect(read)}, SQLite has ${inspect(stored)}`)
    return read
  }
  function scan<Result>(range: TableRange, use: (rows: MemberRowCursor) => Result): Result | undefined {
    const [from, to] = [range.from ?? 'the start', range.to ?? 'the end']
    return check(`the range from ${from} to ${to} of ${range.collection}`, pages.scan(range, use), () => {
      const rows = reader.scan(range)
      try {
        return use(rows)
      } finally {
        rows.close()
      }
    })
  }
  return {
    ...pages,
    read: (collection, key, slot) =>
      check(`${key} in ${collection}`, pages.read(collection, key, slot), () => reader.read(collection, key)),
    visit(ref, slot, visitor) {
      let seen: unknown
      const bytes = pages.visit(ref, slot, {
        stored(row) {
          seen = shownOfStored(row)
          visitor.stored(row)
        },
        undo: () => visitor.undo(),
        member: (member, i) => visitor.member(member, i),
      })
      const { collection, key } = ref
      if (seen !== undefined)
        check(`${key} in ${collection}`, seen, () => shownOf(reader.read(collection, key)))
      return bytes
    },
    existing: (collection, key, slot) =>
      check(`${key} in ${collection}`, pages.existing(collection, key, slot), () =>
        reader.existing(collection, key),
      ),
    scan,
    visitRange(range, use) {
      scan(range, shownMembers)
      return pages.visitRange(range, use)
    },
  }
}

/** The first members of a range, as many as a page has by default. */
function shownMembers(rows: MemberRowCursor): Member[] {
  const members: Member[] = []
  while (members.length < defaultPageMembers && rows.next()) members.push(rows.member(false))
  return members
}

/** What a visitor is shown of a member. */
function shownOf(member: Member | null): unknown {
  if (member === null || member.contentType !== jsonContentType || member.expiresAtMs !== null) return member
  const { key, value, revision, createdAtMs, clock, flags } = member
  return { key, value, revision, createdAtMs, clock, flags }
}

function shownOfStored(row: StoredJson): unknown {
  const { bytes, keyAt, keyEnd, valueAt, valueEnd, revision, createdAtMs, clock, flags } = row
  const key = bytes.toString('utf8', keyAt, keyEnd)
  return { key, value: bytes.toString('utf8', valueAt, valueEnd), revision, createdAtMs, clock, flags }
}

function inspect(value: unknown): string {
  return Bun.inspect(value, { compact: true }).slice(0, 500)
}
