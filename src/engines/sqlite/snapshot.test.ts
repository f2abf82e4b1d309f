import { expect, test } from 'bun:test'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { copyOf, faultOf, newFolder, withEngine } from '../../../test/support/engine.ts'
import { allMembers, feedOf, put, remove, write } from '../../../test/support/engine-writes.ts'
import type { Engine } from '../../core/engine.ts'
import type { SqliteEngine } from './engine.ts'

/** Copies of a running store. */

/** The folder of a store that begins with this snapshot. */
function folderOf(snapshotPath: string): string {
  const dir = newFolder()
  mkdirSync(dir)
  copyFileSync(snapshotPath, join(dir, 'kvist.db'))
  return dir
}

/** Writes of all kinds, with something left of each. */
async function fill(engine: Engine, round: number): Promise<void> {
  for (let i = 0; i < 30; i++) {
    const value = i % 2 === 0 ? JSON.stringify({ round, text: 'é'.repeat(i * 10) }) : new Uint8Array(i * 20)
    await write(engine, [
      { ...put(`k${i}`, value), flags: i, expiresAtMs: i % 5 === 0 ? 1e12 + i : null },
      put(`r${round}-${i}`, String(i)),
      remove(`k${(i * 3) % 40}`, i % 4 === 0 ? 'expire' : 'delete'),
      { ...put(`foreign${i}`), origin: { clock: 3e15 + round * 100 + i, node: 'n1', createdAtMs: 5 } },
      { ...remove(`gone${i}`), origin: { clock: 3e15 + round * 100 + i, node: 'n2' } },
    ])
  }
}

async function stateOf(engine: Engine) {
  return {
    members: await allMembers(engine),
    changes: await feedOf(engine),
    collections: await engine.collections(),
    head: engine.head(),
  }
}

async function snapshotOf(engine: SqliteEngine): Promise<string> {
  const path = join(newFolder(), 'snapshot')
  mkdirSync(join(path, '..'))
  await engine.snapshot(path)
  return path
}

for (const [what, isReopened] of [
  ['of what is in the log and in the tables', false],
  ['of a store that was opened again', true],
] as const) {
  test(`a snapshot ${what} is the whole store, and a store of its own`, async () => {
    const dir = newFolder()
    await withEngine(dir, async (engine) => {
      await fill(engine, 0)
      await fill(engine, 1)
    })
    await withEngine(isReopened ? dir : copyOf(dir), async (engine) => {
      if (!isReopened) await fill(engine, 2)
      const before = await stateOf(engine)
      const path = await snapshotOf(engine)
      await write(engine, [put('after the snapshot')])
      await withEngine(folderOf(path), async (copy) => {
        expect(await stateOf(copy)).toEqual(before)
        expect(copy.nodeId).toBe(engine.nodeId)
        expect(before.members.some(({ node }) => node === 'n1')).toBe(true)
        expect(
          before.changes.some((change) => change.type === 'delete' && change.tombstone.node === 'n2'),
        ).toBe(true)
        const [written] = await write(copy, [put('in the copy')])
        expect(String(written?.revision)).toBe(String(Number(before.head) + 1))
        expect(await engine.read('things', 'in the copy')).toBeNull()
      })
    })
  })
}

test('a snapshot of an empty store is one', () =>
  withEngine(newFolder(), async (engine) => {
    await withEngine(folderOf(await snapshotOf(engine)), async (copy) => {
      expect(await allMembers(copy)).toEqual([])
      await write(copy, [put('a')])
    })
  }))

test('a snapshot comes to an end while others write, and has whole commits only', () =>
  withEngine(newFolder(), async (engine) => {
    let running = true
    let generation = 0
    async function keepWriting(own: string): Promise<void> {
      while (running) {
        const value = String(++generation)
        await write(engine, [put('x', value), put('y', value), put(own, value)])
      }
    }
    const writers: Promise<void>[] = []
    for (const own of ['a', 'b', 'c', 'd']) {
      writers.push(keepWriting(own))
      // Out of step, so that some are always waiting while others are written.
      await new Promise((resolve) => setImmediate(resolve))
    }
    for (let round = 0; round < 3; round++) {
      while (generation < 20 * (round + 1)) await new Promise((resolve) => setImmediate(resolve))
      const least = (await engine.read('things', 'x'))!.revision
      await withEngine(folderOf(await snapshotOf(engine)), async (copy) => {
        const x = (await copy.read('things', 'x'))!
        expect(x.revision).toBeGreaterThanOrEqual(least)
        expect(await copy.read('things', 'y')).toMatchObject({ value: x.value, revision: x.revision + 1 })
      })
    }
    running = false
    await Promise.all(writers)
  }))

test('a snapshot that cannot be written says so, and harms nothing', () =>
  withEngine(newFolder(), async (engine) => {
    await write(engine, [put('a')])
    expect((await faultOf(engine.snapshot(join(newFolder(), 'snapshot')))).code).toBe('storage_failed')
    await write(engine, [put('b')])
    expect(await allMembers(engine)).toHaveLength(2)
  }))

test('a snapshot takes the place of no other file', () =>
  withEngine(newFolder(), async (engine) => {
    const path = join(newFolder(), 'taken')
    mkdirSync(join(path, '..'))
    writeFileSync(path, 'precious')
    expect((await faultOf(engine.snapshot(path))).code).toBe('storage_failed')
    expect(readFileSync(path, 'utf8')).toBe('precious')
  }))

test('an engine that is closed takes no snapshot', async () => {
  const engine = await withEngine(newFolder(), async (engine) => engine)
  expect((await faultOf(engine.snapshot(join(newFolder(), 'late')))).code).toBe('closing')
})

test('a cursor past the head is refused: the store is older than the one that made it', () =>
  withEngine(newFolder(), async (engine) => {
    for (let i = 0; i < 10; i++) await write(engine, [put(`k${i}`)])
    await write(engine, [remove('k1')])
    const path = await snapshotOf(engine)
    await write(engine, [put('lost')])
    await withEngine(folderOf(path), async (copy) => {
      const compacted = { code: 'compacted', extra: { oldest: '0' } }
      const refused = async (cursor: string) => faultOf((async () => copy.changes(cursor, 10))())
      expect(await refused(engine.head())).toMatchObject(compacted)
      expect((await copy.changes(copy.head(), 10)).changes).toEqual([])
      // Also one that began at the beginning of the store that is no more.
      await engine.forget(Number.MAX_SAFE_INTEGER, 10)
      const page = await engine.changes('', 1)
      expect(page.next).toMatch(/^1-12$/)
      expect(await refused(page.next)).toMatchObject(compacted)
    })
  }))
