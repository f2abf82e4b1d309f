import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { appendFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  copyOf,
  killedCopy,
  logFiles,
  newFolder,
  openAt,
  withEngine,
} from '../../../../test/support/engine.ts'
import { collection, noonMs, put, remove, write } from '../../../../test/support/engine-writes.ts'
import { type Random, random, seedOfRun } from '../../../../test/support/random.ts'
import { lockForReading } from '../lock.ts'
import { crcOfText, expiryChecksum, feedChecksum, tombstoneChecksum } from '../table/row-checksum.ts'
import { checkFolder } from './check-folder.ts'

const pageBytes = 8192
const members = 400

/** A folder with all kinds of rows in its tables, and writes in its log that these do not have. */
let made: Promise<string> | null = null
async function storeFolder(): Promise<string> {
  made ??= makeStore()
  return copyOf(await made)
}

async function makeStore(): Promise<string> {
  const dir = newFolder()
  await withEngine(dir, async (engine) => {
    for (let from = 0; from < members; from += 50)
      await write(
        engine,
        Array.from({ length: 50 }, (_, i) => putNumber(from + i)),
      )
    await write(
      engine,
      Array.from({ length: 45 }, (_, i) => remove(`key-${i * 9}`, i % 2 === 0 ? 'delete' : 'expire')),
    )
  })
  const engine = await openAt(dir, { segmentBytes: 1024 * 1024 })
  for (let i = 0; i < 40; i++) await write(engine, [put(`logged-${i}`, `"${i}"`)])
  const copy = killedCopy(dir)
  await engine.close()
  return copy
}

function putNumber(i: number) {
  const value =
    i % 40 === 0 ? new Uint8Array(3000 + i * 400).fill(i) : `{"n": ${i}, "x": "${'x'.repeat(i % 300)}"}`
  return put(`key-${i}`, value, i % 7 === 0 ? noonMs * 2 + i : null)
}

function editDatabase(dir: string, ...statements: string[]): void {
  const db = new Database(join(dir, 'kvist.db'), { readwrite: true })
  for (const statement of statements) db.run(statement)
  db.close()
}

function patch(path: string, edit: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path)
  edit(bytes)
  writeFileSync(path, bytes)
}

async function findingsOf(dir: string): Promise<string[]> {
  const { findings } = await checkFolder(dir)
  return findings.map(
    ({ where, collection, key, what }) => `${where} ${collection ?? '-'} ${key ?? '-'}: ${what}`,
  )
}

describe('a whole folder', () => {
  test('is whole, and the report says what it holds; nothing in it changes', async () => {
    const dir = await storeFolder()
    const before = contentsOf(dir)
    const report = await checkFolder(dir)
    expect(report).toMatchObject({
      isWhole: true,
      findings: [],
      format: 3,
      members: members - 45,
      tombstones: 45,
      logRecords: 40,
      revision: members + 45 + 40,
    })
    expect(report.notes).toEqual([])
    expect(contentsOf(dir)).toEqual(before)
  })

  test('with pages in the write-ahead log of SQLite is whole, and those are read', async () => {
    const dir = await storeFolder()
    const db = new Database(join(dir, 'kvist.db'), { readwrite: true })
    db.run('PRAGMA wal_autocheckpoint = 0')
    db.run("DELETE FROM members WHERE key = 'key-1'")
    const copy = killedCopy(dir)
    db.close()
    expect(await findingsOf(copy)).toContain('members things key-1: the feed names it, but that is missing')
    // A frame with another byte, or a torn end, was never committed.
    const wal = join(copy, 'kvist.db-wal')
    patch(wal, (b) => flip(b, b.length - 100))
    expect(await findingsOf(copy)).toEqual([])
    patch(wal, (b) => flip(b, b.length - 100))
    expect(await findingsOf(copy)).not.toEqual([])
    truncateSync(wal, readFileSync(wal).length - 100)
    expect(await findingsOf(copy)).toEqual([])
  })
})

function contentsOf(dir: string): string {
  return Bun.spawnSync([
    'sh',
    '-c',
    'cd "$0" && ls -l --time-style=full-iso && cat *| cksum',
    dir,
  ]).stdout.toString()
}

/** What is done to a folder, and a finding that names it. */
const damages: readonly [name: string, damage: (dir: string) => void, finding: RegExp][] = [
  [
    'a value with another byte',
    (dir) => patch(join(dir, 'kvist.db'), (b) => flip(b, b.indexOf('{"n": 137,') + 7)),
    /^members things key-137: the checksum of its row does not match$/,
  ],
  [
    'a member that is missing',
    (dir) => editDatabase(dir, "DELETE FROM members WHERE key = 'key-137'"),
    /^members things key-137: the feed names it, but that is missing$/,
  ],
  [
    'a member that the feed does not name',
    (dir) => editDatabase(dir, "DELETE FROM feed WHERE key = 'key-137'"),
    /^feed things key-137: the feed does not name it$/,
  ],
  [
    'a tombstone that is missing',
    (dir) => editDatabase(dir, "DELETE FROM tombstones WHERE key = 'key-9'"),
    /^tombstones things key-9: the feed names its tombstone, but that is missing$/,
  ],
  [
    'an expiry that is missing',
    (dir) => editDatabase(dir, "DELETE FROM expiries WHERE key = 'key-7'"),
    /^expiries things key-7: the table of expiries does not have the time at which it expires$/,
  ],
  [
    'an expiry of nothing',
    (dir) => editDatabase(dir, `INSERT INTO expiries VALUES (5, 'things', 'key-1', ${expiryOf('key-1', 5)})`),
    /^expiries things key-1: the table of expiries has a time that it does not expire at$/,
  ],
  [
    'a piece of a value that is missing',
    (dir) => editDatabase(dir, 'DELETE FROM value_pieces WHERE id = (SELECT max(id) FROM value_pieces)'),
    /^value_pieces things key-\d+: piece \d of its value is missing$/,
  ],
  [
    'a piece with another byte',
    (dir) =>
      editDatabase(
        dir,
        'UPDATE value_pieces SET bytes = zeroblob(5) WHERE id = (SELECT min(id) FROM value_pieces)',
      ),
    /^value_pieces - -: the checksum of its row does not match$/,
  ],
  [
    'a count that is wrong',
    (dir) => editDatabase(dir, 'UPDATE collections SET members = members + 1'),
    /^collections things -: the checksum of its row does not match$/,
  ],
  [
    'a block of the feed that is missing',
    (dir) => editDatabase(dir, 'DELETE FROM feed_blocks'),
    /^feed_blocks things -: block 0 does not count its \d+ changes$/,
  ],
  [
    'a store id that is another one',
    (dir) => editDatabase(dir, "UPDATE meta SET value = 'x' WHERE name = 'store_id'"),
    /^meta - -: store_id is missing$/,
  ],
  [
    'a member that has a tombstone too',
    (dir) =>
      editDatabase(
        dir,
        "INSERT INTO tombstones SELECT collection, 'key-1', node, revision, cause, clock, checksum FROM tombstones LIMIT 1",
      ),
    /^tombstones things key-1: the checksum of its row does not match$/,
  ],
  [
    'an entry of an index with another byte',
    (dir) => patch(join(dir, 'kvist.db'), (b) => flip(b, rootOf(dir, 'feed_tombstones') + pageBytes - 1)),
    /^feed_tombstones - -: /,
  ],
  [
    'a table of somebody else',
    (dir) => editDatabase(dir, 'CREATE TABLE notes (x)'),
    /^kvist\.db - -: it has a table notes, which is not kvist's$/,
  ],
  [
    'a page of zeros',
    (dir) =>
      patch(join(dir, 'kvist.db'), (b) =>
        b.fill(0, pageOf(b, '{"n": 137,'), pageOf(b, '{"n": 137,') + pageBytes),
      ),
    /^members things key-137: the feed names it, but that is missing$/,
  ],
  [
    'a header of another program',
    (dir) => patch(join(dir, 'kvist.db'), (b) => b.fill(0, 0, 100)),
    /^kvist\.db - -: the file's header is not that of a file of kvist$/,
  ],
  [
    'a file that is cut off',
    (dir) => truncateSync(join(dir, 'kvist.db'), readFileSync(join(dir, 'kvist.db')).length - 3 * pageBytes),
    /: the file ends before it$|: the list of free pages leads nowhere$/,
  ],
  [
    'no kvist.db',
    (dir) => rmSync(join(dir, 'kvist.db')),
    /^kvist\.db - -: the file is missing, but there is a log$/,
  ],
  [
    'a frame of the log with another byte',
    (dir) => patch(logFiles(dir)[0]!, (b) => flip(b, b.indexOf('logged-7') + 1)),
    /^log-\d+ - -: it is damaged at byte \d+ \(log-\d+:\d+\): a frame cannot be read; whole frames follow up to revision 485$/,
  ],
  [
    'a header of a segment with another byte',
    (dir) => patch(logFiles(dir)[0]!, (b) => flip(b, 20)),
    /^log-\d+ - -: it is damaged at byte 0 .*: its header cannot be read/,
  ],
]

function expiryOf(key: string, expiresAtMs: number): number {
  return expiryChecksum(crcOfText(key, crcOfText(collection)), collection.length, expiresAtMs)
}

function rootOf(dir: string, name: string): number {
  const db = new Database(join(dir, 'kvist.db'), { readonly: true })
  const page = Number(db.query('SELECT rootpage FROM sqlite_schema WHERE name = ?').values(name)[0]?.[0])
  db.close()
  return (page - 1) * pageBytes
}

function flip(bytes: Buffer, at: number): void {
  bytes[at]! ^= 1
}

function pageOf(bytes: Buffer, text: string): number {
  const at = bytes.indexOf(text)
  return at - (at % pageBytes)
}

describe('damage', () => {
  test('of settings that are whole, but none, is found', async () => {
    const dir = await storeFolder()
    await withEngine(dir, (engine) =>
      write(engine, [{ ...put('things', '{"processes": 7}'), collection: '_settings' }]),
    )
    expect(await findingsOf(dir)).toEqual([
      expect.stringMatching(/^members _settings things: it is not what kvist writes there: /),
    ])
  })

  test('that gives a member a tombstone too is found', async () => {
    const dir = await storeFolder()
    const [crc, clock] = [crcOfText('key-1', crcOfText(collection)), 77]
    const tombstone = tombstoneChecksum(crc, collection.length, 5, 9000, 'delete', clock)
    const feed = feedChecksum(crc, collection.length, 9000, 'delete')
    editDatabase(
      dir,
      `INSERT INTO tombstones VALUES ('things', 'key-1', NULL, 9000, 'delete', ${clock}, ${tombstone})`,
      `INSERT INTO feed VALUES (9000, 'things', 'key-1', 'delete', ${feed})`,
    )
    expect(await findingsOf(dir)).toContain('tombstones things key-1: it is there, and has a tombstone too')
  })

  test.each(damages)('%s is found and named', async (_, damage, finding) => {
    const dir = await storeFolder()
    damage(dir)
    const report = await checkFolder(dir)
    expect(report.isWhole).toBe(false)
    expect((await findingsOf(dir)).filter((line) => finding.test(line))).not.toEqual([])
  })

  test('of any byte that matters to a reader is found, and of others nothing is said', async () => {
    const r = random(seedOfRun())
    const dir = await storeFolder()
    const path = join(dir, 'kvist.db')
    const whole = readFileSync(path)
    const seen = { found: 0, harmless: 0 }
    for (let round = 0; round < 40; round++) {
      const bytes = Buffer.from(whole)
      const at = damageSomewhere(bytes, r)
      writeFileSync(path, bytes)
      const { isWhole } = await checkFolder(dir)
      if (!isWhole) seen.found++
      else {
        seen.harmless++
        expect([at, integrityOf(path)]).toEqual([at, 'ok'])
      }
    }
    console.log(seen)
    expect(seen.found).toBeGreaterThan(10)
  })
})

function damageSomewhere(bytes: Buffer, r: Random): string {
  const at = r.int(bytes.length)
  const length = r.pick([1, 1, 1, 64, 512, pageBytes])
  for (let i = at; i < Math.min(at + length, bytes.length); i++)
    bytes[i] = length === 1 ? bytes[i]! ^ (1 << r.int(8)) : r.int(256)
  return `${length} bytes at ${at}`
}

function integrityOf(path: string): string {
  const db = new Database(path, { readonly: true })
  try {
    return String(db.query('PRAGMA integrity_check(1)').values()[0]?.[0])
  } finally {
    db.close()
  }
}

describe('what is refused', () => {
  test('a folder that a server has open', async () => {
    const dir = await storeFolder()
    await withEngine(dir, async () => {
      await expect(checkFolder(dir)).rejects.toThrow(/is held by another kvist$/)
    })
    expect((await checkFolder(dir)).isWhole).toBe(true)
  })

  test('a server, while a folder is read', async () => {
    const dir = await storeFolder()
    const [lock, another] = [lockForReading(dir), lockForReading(dir)]
    await expect(openAt(dir)).rejects.toThrow(/is held by another kvist$/)
    another.release()
    lock.release()
    await withEngine(dir, async () => {})
  })

  test('a folder without a store', async () => {
    const dir = await storeFolder()
    rmSync(join(dir, 'kvist.db'))
    for (const path of logFiles(dir)) rmSync(path)
    await expect(checkFolder(dir)).rejects.toThrow(/has no store: neither kvist\.db nor a log$/)
  })

  test('another format', async () => {
    const dir = await storeFolder()
    editDatabase(dir, 'PRAGMA user_version = 4')
    await expect(checkFolder(dir)).rejects.toThrow(
      /has format 4; this kvist reads up to 3: use a newer kvist$/,
    )
  })
})

test('foreign files, and those of an accepted damage, are notes', async () => {
  const dir = await storeFolder()
  appendFileSync(join(dir, 'notes.txt'), 'x')
  appendFileSync(join(dir, 'damaged-00000001'), 'x')
  const { isWhole, notes } = await checkFolder(dir)
  expect(isWhole).toBe(true)
  expect(notes.join('\n')).toMatch(/damaged-00000001 was cut off .*\n.*notes\.txt is not kvist's$/)
})
