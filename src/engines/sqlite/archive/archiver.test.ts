import { expect, test } from 'bun:test'
import {
  appendFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import {
  type ArchivedStore,
  archivedStore,
  openArchived,
  takeBase,
  timelineOf,
  withArchived,
  withRestored,
  writeAt,
} from '../../../../test/support/archived-store.ts'
import { killedCopy, newFolder, until } from '../../../../test/support/engine.ts'
import { collection, noonMs, put, remove, valuesOf } from '../../../../test/support/engine-writes.ts'
import { random, seedOfRun } from '../../../../test/support/random.ts'
import type { Point } from '../../../core/archive.ts'
import type { SqliteEngine } from '../engine.ts'
import { listPartFiles, pruneParts } from './archive-files.ts'
import { routeTo } from './timeline.ts'
import { latestVersion } from './versions.ts'

const archiveWriter = join(import.meta.dir, '../../../../test/support/archive-writer.ts')

/** Puts members one by one, a second apart; their values are their numbers. */
async function putMany(store: ArchivedStore, engine: SqliteEngine, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) {
    store.nowMs += 1000
    await writeAt(store, engine, [put(`k${i % 10}`, JSON.stringify(`${i} ${'x'.repeat(300)}`))])
  }
}

function kept({ data }: ArchivedStore): string[] {
  return readdirSync(data).filter((name) => name.startsWith('unarchived-'))
}

function refusal(store: ArchivedStore, point: Point): string {
  try {
    routeTo(timelineOf(store), point)
  } catch (error) {
    return (error as Error).message
  }
  return 'not refused'
}

test('a killed server goes on with its archive at the next start, without a gap', async () => {
  const store = archivedStore(noonMs)
  const archive = newFolder()
  let killed = ''
  await withArchived(store, async (engine) => {
    await takeBase(store, engine)
    await putMany(store, engine, 0, 60)
    await engine.archive!.sync()
    await putMany(store, engine, 60, 70)
    killed = killedCopy(store.data)
    cpSync(store.archive, archive, { recursive: true })
  })
  const again = { ...store, data: killed, archive }
  // It was killed in the middle of a write, too.
  for (const { path } of listPartFiles(archive).slice(-1))
    appendFileSync(path, readFileSync(path).subarray(0, 300))
  await withArchived(again, (engine) => putMany(again, engine, 70, 80))
  for (const revision of [1, 59, 65, 70, 75, 80]) {
    await withRestored(timelineOf(again), routeTo(timelineOf(again), { revision }), async (engine) => {
      expect(engine.head()).toBe(String(revision))
      const { [`k${(revision - 1) % 10}`]: newest } = await valuesOf(engine)
      expect(String(newest)).toContain(`"${revision - 1} `)
    })
  }
  expect(kept(again)).toEqual([])
})

test('while its folder is gone the log waits in the data folder, and nothing is missing afterwards', async () => {
  const store = archivedStore(noonMs)
  const lines: string[] = []
  const warn = (line: string) => void (line.includes('was open to') || lines.push(line))
  const engine = await openArchived(store, { warn })
  await takeBase(store, engine)
  await putMany(store, engine, 0, 20)
  await engine.archive!.sync()
  renameSync(store.archive, `${store.archive}-gone`)
  await putMany(store, engine, 20, 200)
  await until(() => kept(store).length > 0, 'segments wait')
  expect(await engine.archive!.sync()).toBeNull()
  expect(engine.archive!.numbers()).toMatchObject({ isFailing: true, droppedRevisions: 0 })
  expect(engine.archive!.numbers().waitingBytes).toBeGreaterThan(1000)
  expect(lines).toEqual([expect.stringContaining(`the archive ${store.archive} cannot be written: `)])
  // A restart does not lose them either.
  await engine.close()
  renameSync(`${store.archive}-gone`, store.archive)
  await withArchived(store, async (next) => {
    await next.archive!.sync()
    expect(next.archive!.numbers()).toMatchObject({
      isFailing: false,
      waitingSegments: 0,
      archivedRevision: 200,
    })
  })
  await until(() => kept(store).length === 0, 'nothing waits')
  await withRestored(timelineOf(store), routeTo(timelineOf(store), { revision: 123 }), async (restored) => {
    expect(restored.head()).toBe('123')
  })
})

test('beyond the limit the oldest segments are dropped, and the archive says what it lacks', async () => {
  const store = archivedStore(noonMs)
  const lines: string[] = []
  let gaps = 0
  const archive = { maxWaitingBytes: 40_000 }
  const options = { warn: (line: string) => lines.push(line), archive }
  await withArchived(
    store,
    async (engine) => {
      engine.archive!.onGap(() => gaps++)
      await takeBase(store, engine)
      await putMany(store, engine, 0, 20)
      await engine.archive!.sync()
      renameSync(store.archive, `${store.archive}-gone`)
      await putMany(store, engine, 20, 400)
      await until(() => engine.archive!.numbers().droppedRevisions > 0, 'segments are dropped')
      expect(engine.archive!.numbers().waitingBytes).toBeLessThan(80_000)
      renameSync(`${store.archive}-gone`, store.archive)
      expect(await engine.archive!.sync()).not.toBeNull()
      expect(gaps).toBe(1)
      expect(lines.at(-1)).toBe(`the archive ${store.archive} is written again`)
      await takeBase(store, engine)
      await putMany(store, engine, 400, 410)
    },
    options,
  )
  const dropped = lines.filter((line) => line.includes('are dropped, and missing from the archive'))
  expect(dropped.length).toBeGreaterThan(0)
  expect(refusal(store, { revision: 20 })).toBe('not refused')
  expect(refusal(store, { revision: 300 })).toMatch(/^the archive has a gap: it lacks revisions \d+ to \d+$/)
  expect(refusal(store, { timeMs: noonMs + 100_000 })).toMatch(
    /^the archive has a gap: it lacks revisions \d+ to \d+$/,
  )
  expect(refusal(store, { revision: 405 })).toBe('not refused')
  // The part after the gap has no times of what is missing.
  expect(
    timelineOf(store).parts.every((part) => part.firstTimeMs - noonMs >= part.firstRevision * 1000),
  ).toBe(true)
})

test('a part in the middle of a file of parts, or anywhere else, that is damaged is named', async () => {
  const store = archivedStore(noonMs)
  await withArchived(store, async (engine) => {
    await takeBase(store, engine)
    for (let i = 0; i < 6; i++) {
      await putMany(store, engine, i * 5, i * 5 + 5)
      await engine.archive!.sync()
    }
  })
  const before = latestVersion(routeTo(timelineOf(store), { revision: 30 }), { collection, key: 'k9' })
  for (const { path } of listPartFiles(store.archive)) {
    const whole = readFileSync(path)
    for (let at = 0; at < whole.length; at += 41) {
      const damaged = Buffer.from(whole)
      damaged[at]! ^= 0x10
      writeFileSync(path, damaged)
      let found: unknown
      try {
        found = latestVersion(routeTo(timelineOf(store), { revision: 30 }), { collection, key: 'k9' })
      } catch (error) {
        expect((error as Error).message).toMatch(/damaged at byte|is after the newest|format|another store/)
        continue
      }
      expect(found).toEqual(before)
    }
    writeFileSync(path, whole)
  }
})

test('points that the archive does not have are refused with what it has', async () => {
  const store = archivedStore(noonMs)
  await withArchived(store, async (engine) => {
    await putMany(store, engine, 0, 3)
    await takeBase(store, engine)
    await putMany(store, engine, 3, 6)
    store.nowMs += 1000
    await writeAt(store, engine, [put('a'), put('b'), put('c')])
  })
  const has = 'it has revision 3, 2026-06-01T12:00:03.000Z, to revision 9, 2026-06-01T12:00:07.000Z'
  expect(refusal(store, { revision: 2 })).toBe(
    `revision 2 is before the oldest base backup of the archive: ${has}`,
  )
  expect(refusal(store, { revision: 10 })).toBe(`revision 10 is after the newest in the archive: ${has}`)
  expect(refusal(store, { timeMs: noonMs + 2000 })).toBe(
    `2026-06-01T12:00:02.000Z is before the oldest base backup of the archive: ${has}`,
  )
  expect(refusal(store, { timeMs: noonMs + 7001 })).toBe(
    `2026-06-01T12:00:07.001Z is after the newest change in the archive: ${has}`,
  )
  for (const revision of [7, 8]) {
    expect(refusal(store, { revision })).toBe(
      `revision ${revision} is within a batch, revisions 7 to 9, which was done as a whole: name 6 or 9`,
    )
  }
  expect(routeTo(timelineOf(store), { timeMs: noonMs + 6999 }).revision).toBe(6)
  expect(refusal({ ...store, bases: [] }, { revision: 5 })).toBe(`${store.archive} has no base backup`)
})

test('an archive is of one store, and not of an older copy of it', async () => {
  const store = archivedStore(noonMs)
  const copy = { ...store, data: newFolder() }
  await withArchived(store, (engine) => putMany(store, engine, 0, 5))
  cpSync(store.data, copy.data, { recursive: true })
  await withArchived(store, (engine) => putMany(store, engine, 5, 9))
  expect(await openArchived(copy).catch((error) => error.message)).toBe(
    `${store.archive} has changes up to revision 9, and the store ends with 5: it is an older copy of the archived one; name another folder, or restore the store from the archive`,
  )
  const other = { ...archivedStore(noonMs), archive: store.archive }
  expect(await openArchived(other).catch((error) => error.message)).toBe(
    `${store.archive} is the archive of another store: name another folder`,
  )
})

test('many parts of a file become one, and temporary files of a crash are removed', async () => {
  const store = archivedStore(noonMs)
  await withArchived(store, async (engine) => {
    await takeBase(store, engine)
    for (let i = 0; i < 20; i++) {
      await putMany(store, engine, i, i + 1)
      await engine.archive!.sync()
    }
  })
  expect(timelineOf(store).parts.length).toBeGreaterThan(10)
  const left = `${listPartFiles(store.archive)[0]!.path}.new`
  writeFileSync(left, 'half a part')
  await withArchived(store, async (engine) => {
    await engine.archive!.sync()
    await putMany(store, engine, 20, 21)
  })
  expect(existsSync(left)).toBe(false)
  expect(timelineOf(store).parts.length).toBe(2)
  expect(
    latestVersion(routeTo(timelineOf(store), { revision: 7 }), { collection, key: 'k6' })?.revision,
  ).toBe(7)
})

test('what a renewal, an expiry and a delete made of a member is found in order', async () => {
  const store = archivedStore(noonMs)
  await withArchived(store, async (engine) => {
    await takeBase(store, engine)
    await writeAt(store, engine, [put('s', '"a"', noonMs + 60_000)])
    store.nowMs += 30_000
    const renewal = {
      op: 'renew',
      collection,
      key: 's',
      ifRevision: 1,
      expiresAtMs: noonMs + 90_000,
    } as const
    await engine.commit({ checks: [], writes: [renewal], nowMs: store.nowMs })
    store.nowMs += 70_000
    await writeAt(store, engine, [
      { ...remove('s', 'expire'), ifRevision: 1, ifExpiresAtMs: noonMs + 90_000 },
    ])
  })
  const at = (timeMs: number) =>
    latestVersion(routeTo(timelineOf(store), { timeMs: noonMs + timeMs }), { collection, key: 's' })
  expect(at(29_999)).toMatchObject({ type: 'put', revision: 1, member: { expiresAtMs: noonMs + 60_000 } })
  expect(at(30_000)).toMatchObject({
    type: 'renew',
    revision: 2,
    member: { revision: 1, expiresAtMs: noonMs + 90_000 },
  })
  expect(at(100_000)).toMatchObject({ type: 'expire', revision: 3, member: null })
})

test('files that no base needs are removed, and what is after the oldest base stays', async () => {
  const store = archivedStore(noonMs)
  for (let start = 0; start < 4; start++) {
    await withArchived(store, async (engine) => {
      await takeBase(store, engine)
      await putMany(store, engine, start * 10, start * 10 + 10)
    })
  }
  expect(listPartFiles(store.archive).length).toBe(4)
  // Without the newer bases, as one that is damaged and moved away, the older ones lead as far.
  expect(refusal({ ...store, bases: store.bases.slice(0, 1) }, { revision: 40 })).toBe('not refused')
  const left = { ...store, bases: store.bases.slice(2) }
  // Twice, as after a removal that was killed.
  expect([pruneParts(store.archive, 20), pruneParts(store.archive, 20)]).toEqual([2, 0])
  expect(refusal(left, { revision: 19 })).toContain('is before the oldest base backup')
  for (const revision of [20, 25, 40]) expect(refusal(left, { revision })).toBe('not refused')
  expect(pruneParts(store.archive, 1000)).toBe(1)
  await withArchived(store, (engine) => putMany(store, engine, 40, 45))
  expect(refusal({ ...store, bases: store.bases.slice(3) }, { revision: 45 })).toBe('not refused')
})

test('a server that is killed again and again leaves no gap', async () => {
  const chance = random(seedOfRun())
  const store = archivedStore(Date.now())
  await withArchived(store, async (engine) => {
    await takeBase(store, engine)
  })
  let acknowledged = 0
  for (let round = 0; round < 4; round++) {
    const writer = Bun.spawn([process.execPath, archiveWriter, store.data, store.archive], { stdout: 'pipe' })
    for await (const text of writer.stdout.pipeThrough(new TextDecoderStream())) {
      const last = text.trim().split('\n').at(-1)!
      if (Number(last) < acknowledged + 40 + chance.int(200)) continue
      acknowledged = Number(last)
      writer.kill(9)
      break
    }
    await writer.exited
  }
  const head = await withArchived(store, async (engine) => {
    await engine.archive!.sync()
    return Number(engine.head())
  })
  expect(head).toBeGreaterThanOrEqual(acknowledged)
  const timeline = timelineOf(store)
  for (let revision = 1; revision <= head; revision += 1 + chance.int(20)) {
    const found = latestVersion(routeTo(timeline, { revision }), { collection, key: `k${revision % 10}` })
    expect(String(found?.member?.value)).toStartWith(`"${revision} `)
  }
})
