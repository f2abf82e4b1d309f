import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { faultOf, newFolder, withEngine } from '../../test/support/engine.ts'
import { allMembers, feedOf, put, remove, write } from '../../test/support/engine-writes.ts'
import { random, seedOfRun } from '../../test/support/random.ts'
import type { Engine } from '../core/engine.ts'
import type { Value } from '../core/member.ts'
import type { SqliteEngine } from '../engines/sqlite/engine.ts'
import type { Manifest } from './format.ts'
import { readManifest, unpackTables, verifyBackup } from './read-backup.ts'
import { restoreBackup } from './restore.ts'
import { takeBackup } from './take-backup.ts'
import { writeBackupFile } from './write-backup.ts'

const takenAtMs = Date.UTC(2026, 10, 1, 3)

function newPath(): string {
  const folder = newFolder()
  mkdirSync(folder)
  return join(folder, 'store.kvist')
}

/** Takes a backup to a new file; `onChunk` runs between its chunks. */
async function backUp(
  engine: SqliteEngine,
  onChunk: () => Promise<void> = async () => {},
): Promise<{ path: string; manifest: Manifest }> {
  const backup = await takeBackup({ pin: engine.pin, now: () => takenAtMs, version: '1.2.3' })
  const path = newPath()
  try {
    await writeBackupFile(path, async (write) => {
      for (let chunk = await backup.next(); chunk !== null; chunk = await backup.next()) {
        await write(chunk)
        await onChunk()
      }
    })
  } finally {
    backup.stop()
  }
  return { path, manifest: backup.manifest }
}

function shown(value: Value): string {
  return typeof value === 'string' ? value : Buffer.from(value).toString('base64')
}

/** Everything of a store that can be compared; values as they are shown in a difference. */
async function stateOf(engine: Engine) {
  return {
    members: (await allMembers(engine)).map((member) => ({ ...member, value: shown(member.value) })),
    changes: (await feedOf(engine)).map((change) =>
      change.type === 'put'
        ? { ...change, member: { ...change.member, value: shown(change.member.value) } }
        : change,
    ),
    collections: [...(await engine.collections())].sort((a, b) => (a.name < b.name ? -1 : 1)),
    head: engine.head(),
    nodeId: engine.nodeId,
  }
}

async function restored(path: string): Promise<Awaited<ReturnType<typeof stateOf>>> {
  const folder = newFolder()
  await restoreBackup(path, folder)
  return withEngine(folder, stateOf)
}

/** Writes of all kinds, with something left of each. */
async function fill(engine: Engine, members = 300): Promise<void> {
  for (let i = 0; i < members; i++) {
    const value = i % 2 === 0 ? JSON.stringify({ text: 'é'.repeat(i % 40) }) : new Uint8Array((i % 7) * 900)
    await write(engine, [
      { ...put(`k${i}`, value), flags: i, expiresAtMs: i % 5 === 0 ? 1e12 + i : null },
      { ...put(`o${i}`), collection: `others${i % 3}` },
      remove(`k${(i * 3) % 40}`, i % 4 === 0 ? 'expire' : 'delete'),
      { ...put(`foreign${i % 20}`), origin: { clock: 3e15 + i, node: 'n1', createdAtMs: 5 } },
    ])
  }
}

test('a restored backup is the whole store of its moment, and what it says of itself is so', () =>
  withEngine(newFolder(), async (engine) => {
    await fill(engine)
    const before = await stateOf(engine)
    const { path, manifest } = await backUp(engine)
    await write(engine, [put('later')])
    expect(await restored(path)).toEqual(before)
    expect(manifest).toMatchObject({
      format: 1,
      kvist: '1.2.3',
      node_id: engine.nodeId,
      revision: Number(before.head),
      taken_at: '2026-11-01T03:00:00.000Z',
      members: before.collections.reduce((sum, { members }) => sum + members, 0),
      tombstones: before.changes.filter(({ type }) => type !== 'put').length,
      collections: before.collections,
      collection_count: before.collections.length,
    })
    expect(await readManifest(path)).toEqual(manifest)
    expect(await verifyBackup(path)).toEqual(manifest)
    expect(statSync(path).mode & 0o777).toBe(0o600)
  }))

test('an empty store is backed up too', () =>
  withEngine(newFolder(), async (engine) => {
    const { path } = await backUp(engine)
    expect((await restored(path)).members).toEqual([])
  }))

test('a backup under full load is the store at exactly its revision', () =>
  withEngine(
    newFolder(),
    async (engine) => {
      const r = random(seedOfRun())
      /** Every write of the store; the members at a revision are found from these. */
      const written: { key: string; value: Value | null; revision: number }[] = []
      let isRunning = true
      async function keepWriting(): Promise<void> {
        while (isRunning) {
          const key = `k${r.int(2000)}`
          const value = r.oneIn(20) ? new Uint8Array(r.int(100_000)) : JSON.stringify('x'.repeat(r.int(3000)))
          const isPut = !r.oneIn(4)
          const results = await write(engine, [isPut ? put(key, value) : remove(key)])
          for (const { revision } of results)
            if (revision !== null)
              written.push({ key, value: isPut ? value : null, revision: Number(revision) })
        }
      }
      const writers = Array.from({ length: 16 }, keepWriting)
      const reached = async (count: number) => {
        while (written.length < count) await Bun.sleep(1)
      }
      await reached(2000)
      try {
        for (let round = 0; round < 2; round++) {
          const { path, manifest } = await backUp(engine, () => reached(written.length + 200))
          const { members, head } = await restored(path)
          expect(head).toBe(String(manifest.revision))
          const model = new Map<string, { value: string; revision: number }>()
          for (const { key, value, revision } of written.toSorted((a, b) => a.revision - b.revision)) {
            if (revision > manifest.revision) break
            if (value === null) model.delete(key)
            else model.set(key, { value: shown(value), revision })
          }
          const found = members.map(({ key, value, revision }) => [key, { value, revision }] as const)
          expect(new Map(found.toSorted())).toEqual(new Map([...model].toSorted()))
        }
      } finally {
        isRunning = false
        await Promise.all(writers)
      }
    },
    { segmentBytes: 512 * 1024, pages: 'on' },
  ))

test('pages that hold deleted members are not in a backup', () =>
  withEngine(newFolder(), async (engine) => {
    const secret = 'the secret of a member that is gone'
    for (let i = 0; i < 200; i++)
      await write(engine, [put(`k${i}`, JSON.stringify(`${secret} ${i} ${'x'.repeat(800)}`))])
    await engine.snapshot(newPath())
    for (let i = 0; i < 200; i++) await write(engine, [remove(`k${i}`)])
    const { path } = await backUp(engine)
    const dbPath = newPath()
    await unpackTables(path, dbPath)
    const left = readFileSync(dbPath).toString('latin1').split(secret).length - 1
    const db = new Database(dbPath)
    const free = Number(db.query('PRAGMA freelist_count').values()[0]?.[0])
    db.close()
    expect(free).toBeGreaterThan(10)
    // Rows that share a page with others leave traces there until it is written anew.
    expect(left).toBeLessThan(20)
  }))

test('one backup is taken at a time, and the next one when it has ended, however it did', () =>
  withEngine(newFolder(), async (engine) => {
    await fill(engine, 20)
    const source = { pin: engine.pin, now: () => takenAtMs, version: '1' }
    const first = await takeBackup(source)
    expect((await faultOf(takeBackup(source))).code).toBe('busy')
    first.stop()
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      const second = await takeBackup(source).catch(() => null)
      second?.stop()
      if (second !== null) break
    }
  }))

test('an engine that closes during a backup ends it with an error, not with half a store', async () => {
  let backup: Awaited<ReturnType<typeof takeBackup>> | undefined
  await withEngine(newFolder(), async (engine) => {
    await fill(engine, 20)
    backup = await takeBackup({ pin: engine.pin, now: () => takenAtMs, version: '1' })
    await backup.next()
  })
  expect((await faultOf(backup!.next())).code).toBe('closing')
  backup!.stop()
})

test('every byte of a backup counts: one that is changed, or a cut anywhere, is refused before anything is written', () =>
  withEngine(newFolder(), async (engine) => {
    await fill(engine, 10)
    const { path } = await backUp(engine)
    const whole = readFileSync(path)
    const r = random(seedOfRun())
    const damagedPath = newPath()
    async function expectRefused(bytes: Uint8Array, what: string): Promise<void> {
      writeFileSync(damagedPath, bytes)
      const verified = await verifyBackup(damagedPath).catch((one: Error) => one)
      expect([what, verified instanceof Error ? verified.constructor.name : 'whole']).toEqual([
        what,
        'RefusedBackup',
      ])
      const folder = newFolder()
      const error = await restoreBackup(damagedPath, folder).catch((one: Error) => one)
      expect([what, error instanceof Error ? error.constructor.name : 'restored']).toEqual([
        what,
        'RefusedBackup',
      ])
      expect(existsSync(folder)).toBe(false)
    }
    const spots = [...Array(160).keys(), ...Array.from({ length: 160 }, (_, i) => whole.length - 1 - i)]
    for (let i = 0; i < 200; i++) spots.push(r.int(whole.length))
    for (const at of spots) {
      const bytes = Buffer.from(whole)
      bytes[at]! ^= 1 << r.int(8)
      await expectRefused(bytes, `byte ${at}`)
    }
    for (let i = 0; i < 60; i++) {
      const end = i < 20 ? i * 16 : r.int(whole.length)
      await expectRefused(whole.subarray(0, end), `the first ${end} bytes`)
    }
    await expectRefused(Buffer.concat([whole, Buffer.from('\n')]), 'something after its end')
    await expectRefused(Buffer.concat([whole, whole]), 'two of them')

    const pieces: Buffer[][] = []
    for (const value of ['1', '2']) {
      await write(engine, [put('changed', value)])
      pieces.push(piecesOf(readFileSync((await backUp(engine)).path)))
    }
    const [[start, head, part, tail], [, , otherPart]] = pieces as [Buffer[], Buffer[]]
    expect(otherPart).not.toEqual(part!)
    await expectRefused(Buffer.concat([start!, head!, otherPart!, tail!]), 'a part of another backup')
  }))

/** The beginning of a backup, and its frames. */
function piecesOf(bytes: Buffer): Buffer[] {
  const [startBytes, headerBytes] = [16, 48]
  const pieces = [bytes.subarray(0, startBytes)]
  for (let at = startBytes; at < bytes.length; ) {
    const end = at + headerBytes + bytes.readUInt32LE(at + 4)
    pieces.push(bytes.subarray(at, end))
    at = end
  }
  return pieces
}

test('a backup is restored into a missing or empty folder alone', () =>
  withEngine(newFolder(), async (engine) => {
    await fill(engine, 10)
    const { path } = await backUp(engine)
    const taken = newFolder()
    mkdirSync(taken)
    writeFileSync(join(taken, 'precious'), 'mine')
    await expect(restoreBackup(path, taken)).rejects.toThrow('is not empty')
    expect(readdirSync(taken)).toEqual(['precious'])
    await expect(restoreBackup(path, path)).rejects.toThrow('is no folder')
    const empty = newFolder()
    mkdirSync(join(empty, '.restoring'), { recursive: true })
    writeFileSync(join(empty, '.restoring', 'kvist.db'), 'of a restore that was killed')
    await restoreBackup(path, empty)
    expect(readdirSync(empty).filter((name) => name !== 'lock')).toEqual(['kvist.db'])
    await expect(restoreBackup(path, empty)).rejects.toThrow('is not empty')
  }))

test('a restored store is another history: the old log does not fit into it', () =>
  withEngine(newFolder(), async (engine) => {
    await fill(engine, 10)
    const { path, manifest } = await backUp(engine)
    const folder = newFolder()
    await restoreBackup(path, folder)
    const db = new Database(join(folder, 'kvist.db'), { readonly: true })
    const storeId = db.query("SELECT value FROM meta WHERE name = 'store_id'").values()[0]?.[0]
    db.close()
    expect(storeId).not.toBe(manifest.store_id)
  }))

for (const [what, bytes, line] of [
  ['empty file', '', 'it is no backup of kvist: it is empty or very short'],
  ['NDJSON export', '{"key":"a","value":1}\n{"key":"b","value":2}\n', 'it is no backup of kvist'],
  [
    'backup of a later format',
    `kvist backup 2\n\0${'x'.repeat(100)}`,
    'it is a backup of format 2, which this version',
  ],
] as const) {
  test(`an ${what} is refused with a line that says what it is`, async () => {
    const path = newPath()
    writeFileSync(path, bytes)
    await expect(verifyBackup(path)).rejects.toThrow(`${path}: ${line}`)
    await expect(readManifest(path)).rejects.toThrow(line)
  })
}
