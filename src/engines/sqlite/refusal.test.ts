import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import {
  copyOf,
  dataOf,
  holdTables,
  killedCopy,
  logFiles,
  newFolder,
  openAt,
  withEngine,
} from '../../../test/support/engine.ts'
import { put, valuesOf, write } from '../../../test/support/engine-writes.ts'
import { tableFormat } from './table/schema.ts'
import { RefusedFile } from './table/table.ts'
import { headerAt, logFormat, segmentHeaderBytes } from './wal/log.ts'

/** A folder with members in the tables and more in the log, as a `kill -9` leaves it. */
async function filledFolder(): Promise<string> {
  const dir = newFolder()
  await withEngine(dir, (engine) =>
    write(
      engine,
      Array.from({ length: 300 }, (_, i) => put(`k${i}`, JSON.stringify('x'.repeat(50)))),
    ),
  )
  return withEngine(dir, async (engine) => {
    const held = holdTables(dir)
    await write(engine, [put('in the log')])
    const killed = killedCopy(dir)
    held.release()
    return killed
  })
}

/** Why a folder is refused: one line for the operator. Nothing in it may have changed. */
async function refusalOf(dir: string): Promise<string> {
  const before = dataOf(dir)
  const error = await openAt(dir).then(
    async (engine) => {
      await engine.close()
      return null
    },
    (reason: unknown) => reason,
  )
  if (!(error instanceof RefusedFile)) throw new Error(`not refused, but: ${error}`)
  expect(error.message).not.toContain('\n')
  expect(dataOf(dir)).toEqual(before)
  return error.message
}

function editDatabase(dir: string, ...statements: string[]): void {
  const db = new Database(join(dir, 'kvist.db'), { create: true, readwrite: true })
  for (const sql of statements) db.run(sql)
  db.close()
}

test('the folder that the others are made from opens', async () => {
  const dir = await filledFolder()
  expect(logFiles(dir)).toHaveLength(1)
  await withEngine(dir, async (engine) => expect(Object.keys(await valuesOf(engine))).toHaveLength(301))
})

test('tables of a newer format are refused', async () => {
  const dir = await filledFolder()
  editDatabase(dir, `PRAGMA user_version = ${tableFormat + 1}`)
  expect(await refusalOf(dir)).toMatch(
    /kvist\.db has format \d+; this kvist reads up to \d+: use kvist 0\.1\.0 or a newer one$/,
  )
  editDatabase(dir, `PRAGMA user_version = ${tableFormat}`)
  await withEngine(dir, async (engine) => expect(await engine.read('things', 'in the log')).not.toBeNull())
})

test('tables of an older format are refused', async () => {
  const dir = await filledFolder()
  editDatabase(dir, 'PRAGMA user_version = 1')
  expect(await refusalOf(dir)).toMatch(
    /kvist\.db has format 1; this kvist reads \d+: use the kvist that wrote it$/,
  )
})

/** Has a segment say that it is of another format, as a kvist that writes that one would. */
function setLogFormat(path: string, format: number): void {
  const bytes = readFileSync(path)
  bytes.writeUInt32LE(format, headerAt.format)
  bytes.writeUInt32LE(0, headerAt.crc)
  bytes.writeUInt32LE(Bun.hash.crc32(bytes.subarray(0, segmentHeaderBytes)), headerAt.crc)
  writeFileSync(path, bytes)
}

test('a log of an older format is refused', async () => {
  const dir = await filledFolder()
  setLogFormat(logFiles(dir)[0]!, 1)
  expect(await refusalOf(dir)).toMatch(
    /log-\d+ has format 1; this kvist reads \d+: use the kvist that wrote it$/,
  )
})

test('a log of a newer format is refused', async () => {
  const dir = await filledFolder()
  const [path] = logFiles(dir)
  const bytes = readFileSync(path!)
  setLogFormat(path!, logFormat + 1)
  expect(await refusalOf(dir)).toMatch(
    /log-\d+ has format \d+; this kvist reads up to \d+: use a newer kvist$/,
  )
  writeFileSync(path!, bytes)
  await withEngine(dir, async (engine) => expect(await engine.read('things', 'in the log')).not.toBeNull())
})

test.each([
  [
    "UPDATE meta SET value = '9.1.0-rc.1' WHERE name = 'needs_kvist'",
    /: use kvist 9\.1\.0-rc\.1 or a newer one$/,
  ],
  ["UPDATE meta SET value = 'x y' WHERE name = 'needs_kvist'", /: use a newer kvist$/],
  ["DELETE FROM meta WHERE name = 'needs_kvist'", /: use a newer kvist$/],
  ['DROP TABLE meta', /: use a newer kvist$/],
])('a newer format names the version that it needs, if it says one: %s', async (statement, line) => {
  const dir = await filledFolder()
  editDatabase(dir, statement, 'PRAGMA user_version = 4')
  expect(await refusalOf(dir)).toMatch(line)
})

test("another store's log is refused", async () => {
  const [dir, other] = [await filledFolder(), await filledFolder()]
  copyFileSync(logFiles(other)[0]!, logFiles(dir)[0]!)
  expect(await refusalOf(dir)).toMatch(/log-\d+ belongs to another store$/)
})

test('a log without its tables is refused, and nothing is made in their place', async () => {
  const dir = await filledFolder()
  const tables = readFileSync(join(dir, 'kvist.db'))
  for (const file of ['kvist.db', 'kvist.db-wal', 'kvist.db-shm']) rmSync(join(dir, file), { force: true })
  expect(await refusalOf(dir)).toMatch(
    /kvist\.db is missing, but there is a log: put it back, or save what the log has with kvist repair$/,
  )
  writeFileSync(join(dir, 'kvist.db'), tables)
  await withEngine(dir, async (engine) => expect(Object.keys(await valuesOf(engine))).toHaveLength(301))
})

test('an SQLite file of another program is refused, and stays byte for byte what it was', async () => {
  for (const statements of [
    ['CREATE TABLE mine (a)', 'INSERT INTO mine VALUES (1)'],
    ['PRAGMA user_version = 1'],
    ['PRAGMA application_id = 77', 'PRAGMA user_version = 1'],
  ]) {
    const dir = newFolder()
    mkdirSync(dir)
    editDatabase(dir, 'CREATE TABLE t (a)', 'DROP TABLE t', ...statements)
    expect(await refusalOf(dir)).toMatch(/kvist\.db is an SQLite file, but not one of kvist's$/)
  }
})

test('a file that is not an SQLite file is refused', async () => {
  for (const content of ['xy', 'not a database, but a letter\n', 'SQLite format 3', Buffer.alloc(8192, 1)]) {
    const dir = newFolder()
    mkdirSync(dir)
    writeFileSync(join(dir, 'kvist.db'), content)
    expect(await refusalOf(dir)).toMatch(/kvist\.db is damaged or not a kvist file: \S.*$/)
  }
  const dir = newFolder()
  mkdirSync(join(dir, 'kvist.db'), { recursive: true })
  await expect(openAt(dir)).rejects.toThrow(/^cannot open .*kvist\.db: \S.*$/)
})

test('damaged tables are refused', async () => {
  const whole = await filledFolder()
  const bytes = readFileSync(join(whole, 'kvist.db'))
  const pageBytes = bytes.readUInt16BE(16)
  for (const harm of [
    (path: string) => writeFileSync(path, Buffer.from(bytes).fill(0xff, 0, 100)),
    (path: string) => writeFileSync(path, Buffer.from(bytes).fill(0xff, 100, pageBytes)),
    // The page of `meta`, the first table that was made.
    (path: string) => writeFileSync(path, Buffer.from(bytes).fill(0xff, pageBytes, 2 * pageBytes)),
    (path: string) => truncateSync(path, pageBytes),
  ]) {
    const dir = copyOf(whole)
    harm(join(dir, 'kvist.db'))
    expect(await refusalOf(dir)).toMatch(/kvist\.db is damaged or not a kvist file: \S.*$/)
  }
})

test('tables whose schema is damaged are refused', async () => {
  const dir = await filledFolder()
  const path = join(dir, 'kvist.db')
  const bytes = readFileSync(path)
  const [at, last] = [bytes.indexOf('large_bytes'), bytes.lastIndexOf('large_bytes')]
  expect(at).toBeGreaterThan(0)
  for (let from = at; from !== -1 && from <= last; from = bytes.indexOf('large_bytes', from))
    bytes.write('large_bytez', from)
  writeFileSync(path, bytes)
  expect(await refusalOf(dir)).toMatch(/kvist\.db.*: no such column: large_bytes/)
})

test('tables that do not say how much of the log they have are refused', async () => {
  const dir = await filledFolder()
  editDatabase(dir, "DELETE FROM meta WHERE name = 'flushed_revision'")
  expect(await refusalOf(dir)).toMatch(
    /kvist\.db is damaged: its flushed_revision is missing; kvist check names .*$/,
  )
  const copy = await filledFolder()
  editDatabase(copy, 'DROP TABLE meta')
  expect(await refusalOf(copy)).toMatch(/^cannot open .*kvist\.db: no such table: meta$/)
})

test('damage that is met later fails that read, and neither the engine nor other reads', async () => {
  const dir = newFolder()
  await withEngine(dir, (engine) =>
    write(
      engine,
      Array.from({ length: 3000 }, (_, i) =>
        put(`k${String(i).padStart(4, '0')}`, JSON.stringify('x'.repeat(90))),
      ),
    ),
  )
  const path = join(dir, 'kvist.db')
  const bytes = readFileSync(path)
  const pageBytes = bytes.readUInt16BE(16)
  const page = Math.floor(bytes.indexOf('k1500') / pageBytes)
  writeFileSync(path, Buffer.from(bytes).fill(0xff, page * pageBytes, (page + 1) * pageBytes))
  await withEngine(
    dir,
    async (engine) => {
      const found = await Promise.allSettled(
        Array.from({ length: 3000 }, async (_, i) => engine.read('things', `k${String(i).padStart(4, '0')}`)),
      )
      const faults = found.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
      expect(faults.length).toBeGreaterThan(0)
      expect(faults.length).toBeLessThan(300)
      for (const fault of faults) expect(fault).toMatchObject({ name: 'KvistError', code: 'damaged' })
      await write(engine, [put('after')])
      expect(await engine.read('things', 'after')).not.toBeNull()
    },
    { pages: 'on' },
  )
})

test('a folder that another process has open is refused until that has ended', async () => {
  const dir = newFolder()
  const holder = Bun.spawn(
    [process.execPath, join(import.meta.dir, '../../../test/support/engine-holder.ts'), dir],
    {
      stdout: 'pipe',
      stderr: 'inherit',
    },
  )
  try {
    const { value } = await holder.stdout.getReader().read()
    expect(Buffer.from(value!).toString()).toBe('open\n')
    expect(await refusalOf(dir)).toMatch(/ is held by another kvist$/)
    expect(await refusalOf(dir)).toMatch(/ is held by another kvist$/)
  } finally {
    holder.kill('SIGKILL')
    await holder.exited
  }
  await withEngine(dir, async (engine) => expect(await valuesOf(engine)).toEqual({ held: '1' }))
})

test('a lock that cannot be taken for another reason says that', async () => {
  const dir = newFolder()
  mkdirSync(dir)
  writeFileSync(join(dir, 'lock'), Buffer.alloc(2000, 1))
  expect(await refusalOf(dir)).toMatch(/lock is damaged or not a kvist file: \S.*$/)
  rmSync(join(dir, 'lock'))
  mkdirSync(join(dir, 'lock'))
  expect(await refusalOf(dir)).toMatch(/^cannot open .*lock: \S.*$/)
})

test('a folder that this process has open is refused too', async () => {
  const dir = newFolder()
  await withEngine(dir, async (engine) => {
    expect(await refusalOf(dir)).toMatch(/ is held by another kvist$/)
    await write(engine, [put('a')])
  })
  await withEngine(dir, async (engine) => expect(await valuesOf(engine)).toEqual({ a: '1' }))
})

test('a clean stop leaves a data file that is whole by itself', async () => {
  const dir = newFolder()
  await withEngine(
    dir,
    async (engine) => {
      for (let i = 0; i < 200; i++) await write(engine, [put(`k${i}`)])
    },
    { segmentBytes: 4096 },
  )
  expect(openFiles().filter((path) => path.startsWith(dir))).toEqual([])
  const alone = newFolder()
  mkdirSync(alone)
  expect(logFiles(dir)).toEqual([])
  expect(dataOf(dir).size).toBe(1)
  for (const suffix of ['-wal', '-shm'])
    expect(await Bun.file(join(dir, `kvist.db${suffix}`)).exists()).toBe(false)
  copyFileSync(join(dir, 'kvist.db'), join(alone, 'kvist.db'))
  await withEngine(alone, async (engine) => expect(Object.keys(await valuesOf(engine))).toHaveLength(200))
})

/** The files that this process has open, where the system shows them. */
function openFiles(): string[] {
  const folder = '/proc/self/fd'
  if (!existsSync(folder)) return []
  return readdirSync(folder).flatMap((name) => {
    try {
      return [readlinkSync(join(folder, name))]
    } catch {
      return []
    }
  })
}
