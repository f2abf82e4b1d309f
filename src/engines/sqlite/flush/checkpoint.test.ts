import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { newFolder } from '../../../../test/support/engine.ts'
import { openForWriting } from '../table/table.ts'
import { movePages, settle } from './checkpoint.ts'

const rows = 8000

/** Tables with rows in the file, and a commit in the log that changed and added some. */
function tablesWithLog(): { readonly path: string; readonly db: Database; readonly before: Buffer } {
  const dir = newFolder()
  mkdirSync(dir, { recursive: true })
  const path = join(dir, 'kvist.db')
  const db = openForWriting(path)
  writeRows(db, 1)
  db.run('PRAGMA wal_checkpoint(TRUNCATE)')
  const before = readFileSync(path)
  writeRows(db, 2)
  return { path, db, before }
}

function writeRows(db: Database, version: number): void {
  db.run('BEGIN')
  for (let i = 0; i < rows * version; i++)
    db.run('INSERT OR REPLACE INTO tombstones VALUES (?, ?, NULL, ?, ?, ?, 0)', [
      'c',
      `k${i}`,
      version,
      'delete',
      version,
    ])
  db.run('COMMIT')
}

/** The newest version of all rows, and what SQLite finds wrong. */
function stateOf(path: string): unknown {
  using db = new Database(path)
  const [versions] = db.query('SELECT count(*), min(revision) FROM tombstones').values()
  return [versions, db.query('PRAGMA integrity_check').values()]
}

const whole = [[2 * rows, 2], [['ok']]]
const once = { isRepeated: false, keptBytes: 0 }
const logBytes = (path: string) => statSync(`${path}-wal`).size

test('moved pages are in the file, and in the log too until the file is synced', () => {
  const { path, db, before } = tablesWithLog()
  const bytes = logBytes(path)
  expect(movePages(db)).toBe(true)
  expect(logBytes(path)).toBe(bytes)

  const folders = { moved: newFolder(), lost: newFolder() }
  for (const dir of Object.values(folders)) mkdirSync(dir, { recursive: true })
  // The file alone, and what a power cut leaves that took all of the moved pages.
  copyFileSync(path, join(folders.moved, 'kvist.db'))
  writeFileSync(join(folders.lost, 'kvist.db'), before)
  copyFileSync(`${path}-wal`, join(folders.lost, 'kvist.db-wal'))
  for (const dir of Object.values(folders)) expect(stateOf(join(dir, 'kvist.db'))).toEqual(whole)
  db.close()
})

test('settling pauses after each part and truncates the log', () => {
  const { path, db } = tablesWithLog()
  movePages(db)
  const fd = openSync(path, 'r+')
  let pauses = 0
  expect(settle(db, { ...once, fd }, () => pauses++)).toBe(false)
  expect(pauses).toBe(Math.ceil(statSync(path).size / (512 * 1024)))
  expect(logBytes(path)).toBe(0)
  db.close()
  closeSync(fd)
  expect(stateOf(path)).toEqual(whole)
})

test('a log that is kept has its length, and the next commit is written over it; one that is too long is truncated', () => {
  const { path, db } = tablesWithLog()
  const bytes = logBytes(path)
  movePages(db)
  const fd = openSync(path, 'r+')
  expect(settle(db, { ...once, fd, keptBytes: bytes }, () => {})).toBe(true)
  expect(logBytes(path)).toBe(bytes)
  writeRows(db, 2)
  expect(logBytes(path)).toBe(bytes)
  movePages(db)
  expect(settle(db, { ...once, fd, keptBytes: bytes - 1 }, () => {})).toBe(false)
  expect(logBytes(path)).toBe(0)
  db.close()
  closeSync(fd)
  expect(stateOf(path)).toEqual(whole)
})

test('settling once more writes what the system dropped after a failed sync', () => {
  const { path, db, before } = tablesWithLog()
  movePages(db)
  writeFileSync(path, before, { flag: 'r+' })
  const fd = openSync(path, 'r+')
  settle(db, { fd, isRepeated: true, keptBytes: 0 }, () => {})
  db.close()
  closeSync(fd)
  expect(stateOf(path)).toEqual(whole)
})

test('pages that a reader of an older state keeps are moved by settling', () => {
  const { path, db } = tablesWithLog()
  using reader = new Database(path)
  reader.run('BEGIN')
  reader.query('SELECT count(*) FROM tombstones').values()
  writeRows(db, 2)
  expect(movePages(db)).toBe(false)
  reader.run('COMMIT')
  const fd = openSync(path, 'r+')
  settle(db, { ...once, fd }, () => {})
  expect(logBytes(path)).toBe(0)
  db.close()
  closeSync(fd)
  expect(stateOf(path)).toEqual(whole)
})
