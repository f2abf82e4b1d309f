import type { Member } from '../../../core/member.ts'
import type { TableReader } from '../table/table-reader.ts'
import type { ExistingVersion } from '../wal/record.ts'
import { mapFile } from './mapped-file.ts'
import type { PageReader } from './pages.ts'

/**
 * Guards reads of pages of the tables' file without SQLite, which are correct only while no process but the flusher's
 * changes that file. How they are read is the option `--sqlite-pages`.
 */

/** Which numbers of 32 bits, in the head of SQLite's wal-index, the -shm file (https://www.sqlite.org/walformat.html). */
const commitsAt = 2
const backfillAt = 32

/**
 * Looks, after each read, at what SQLite writes for all processes to the -shm file: how many transactions were committed, and
 * whether a checkpoint has begun to move some into the file. After a commit by another program, the pages are not read
 * again until the next start; after a checkpoint by one, until the flusher's next. What was read is discarded then, and read with
 * SQLite.
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
  /** Commits that a job under way may have made already. */
  let ahead = 0
  let isForeign = false

  function isUntouched(): boolean {
    const more = (head[commitsAt]! - expected) >>> 0
    if (more > ahead) noteForeign()
    return more <= ahead && head[backfillAt]! === 0
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
    prefetch: pages.prefetch,
    damageIn(name, from, to) {
      const damage = pages.damageIn(name, from, to)
      return damage === null || guarded(true) === undefined ? null : damage
    },
    pause: pages.pause,
    resume() {
      if (!isForeign) pages.resume()
    },
    jobBegins() {
      ahead = 1
    },
    jobEnded(commits) {
      ahead = 0
      const more = (head[commitsAt]! - expected) >>> 0
      if (commits === null ? more > 1 : more !== commits) noteForeign()
      expected = head[commitsAt]!
    },
    close() {
      pages.close()
      file.close()
    },
  }
}

/** Leaves everything to SQLite. */
export function noPages(): PageReader {
  return {
    read: () => undefined,
    existing: () => undefined,
    prefetch() {},
    damageIn: () => null,
    pause() {},
    resume() {},
    jobBegins() {},
    jobEnded() {},
    close() {},
  }
}

/** Asks SQLite as well; `onDifference` gets a line when it says something else. */
export function checkedPages(
  pages: PageReader,
  reader: TableReader,
  onDifference: (line: string) => void,
): PageReader {
  function check(what: string, read: Member | ExistingVersion | null | undefined, stored: unknown): void {
    if (read !== undefined && !Bun.deepEquals(read, stored))
      onDifference(`${what} differs: the pages say ${inspect(read)}, SQLite says ${inspect(stored)}`)
  }
  return {
    ...pages,
    read(collection, key, slot) {
      const read = pages.read(collection, key, slot)
      if (read !== undefined) check(`${key} in ${collection}`, read, reader.read(collection, key))
      return read
    },
    existing(collection, key, slot) {
      const read = pages.existing(collection, key, slot)
      if (read !== undefined) check(`${key} in ${collection}`, read, reader.existing(collection, key))
      return read
    },
  }
}

function inspect(value: unknown): string {
  return Bun.inspect(value, { compact: true }).slice(0, 500)
}
