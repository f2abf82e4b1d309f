import { expect, test } from 'bun:test'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { newFolder, withEngine } from '../../test/support/engine.ts'
import { put, write } from '../../test/support/engine-writes.ts'
import { manualTimers } from '../../test/support/manual-timers.ts'
import { formatTime } from '../core/time.ts'
import { backupName, listBackups, pruneBackups, removeParts } from './folder.ts'
import { startSchedule } from './schedule.ts'
import { takeBackup } from './take-backup.ts'
import { writeBackupFile } from './write-backup.ts'

const hourMs = 3_600_000
const beginMs = Date.UTC(2026, 10, 1)

/** A schedule with a clock of its own, whose backups are small files; `fails` makes them fail. */
function scheduled(folder: string, keep = 3) {
  const timers = manualTimers()
  const state = { nowMs: beginMs, fails: false, lines: [] as string[] }
  const schedule = startSchedule({
    folder,
    everyMs: hourMs,
    keep,
    async take(into) {
      if (state.fails) throw new Error('the disk is full')
      return { manifest: await backUpInto(into, state.nowMs), bytes: 10 }
    },
    now: () => state.nowMs,
    monotonicMs: () => state.nowMs,
    timers,
    log: {
      info: (line) => void state.lines.push(line),
      warn() {},
      error: (error) => void state.lines.push(String(error)),
    },
  })
  async function pass(ms: number): Promise<void> {
    state.nowMs += ms
    timers.pass(ms)
    const { successes, failures } = schedule.numbers
    // What is due has begun; it has ended when a number has changed and the next timer runs.
    for (let i = 0; i < 10_000 && timers.running() === 0; i++) await Bun.sleep(1)
    expect(schedule.numbers.successes + schedule.numbers.failures).toBeGreaterThanOrEqual(
      successes + failures,
    )
  }
  return { schedule, state, pass }
}

/** Takes a real backup, with a time of its own, so that it can be verified. */
function backUpInto(folder: string, takenAtMs: number) {
  return withEngine(newFolder(), async (engine) => {
    await write(engine, [put('a')])
    const backup = await takeBackup({ pin: engine.pin, now: () => takenAtMs, version: '1' })
    await writeBackupFile(join(folder, backupName(backup.manifest)), async (save) => {
      for (let chunk = await backup.next(); chunk !== null; chunk = await backup.next()) await save(chunk)
    })
    backup.stop()
    return backup.manifest
  })
}

function timesIn(folder: string): string[] {
  return listBackups(folder).map(({ takenAtMs }) => formatTime(takenAtMs).slice(11, 16))
}

test('a backup is taken at once, then every period, and the newest are kept', async () => {
  const folder = newFolder()
  const { schedule, pass } = scheduled(folder)
  await pass(0)
  for (let i = 0; i < 4; i++) await pass(hourMs)
  expect(timesIn(folder)).toEqual(['02:00', '03:00', '04:00'])
  expect(schedule.numbers).toMatchObject({ successes: 5, failures: 0, lastBytes: 10 })
  expect(schedule.numbers.lastSuccessMs).toBe(beginMs + 4 * hourMs)
  await schedule.stop()
})

test('a server that starts again waits until the newest backup is a period old', async () => {
  const folder = newFolder()
  mkdirSync(folder)
  await backUpInto(folder, beginMs - hourMs / 2)
  const { schedule, pass } = scheduled(folder)
  await pass(0)
  expect(timesIn(folder)).toEqual(['23:30'])
  await pass(hourMs / 2)
  expect(timesIn(folder)).toEqual(['23:30', '00:30'])
  await schedule.stop()
})

test('a failure is counted and logged, deletes nothing, and is tried again after five minutes', async () => {
  const folder = newFolder()
  const { schedule, state, pass } = scheduled(folder, 1)
  await pass(0)
  state.fails = true
  await pass(hourMs)
  expect(schedule.numbers).toMatchObject({ successes: 1, failures: 1 })
  expect(state.lines.at(-1)).toBe(`Error: the backup to ${folder} failed`)
  expect(timesIn(folder)).toEqual(['00:00'])
  state.fails = false
  await pass(4 * 60_000)
  expect(timesIn(folder)).toEqual(['00:00'])
  await pass(60_000)
  expect(timesIn(folder)).toEqual(['01:05'])
  await schedule.stop()
})

test('nothing is deleted when the newest backup is damaged, nor ever a foreign file', async () => {
  const folder = newFolder()
  mkdirSync(folder)
  for (let i = 0; i < 3; i++) await backUpInto(folder, beginMs + i * hourMs)
  const foreign = ['notes.txt', 'backup.kvist', 'backup-2020-01-01T00-00-00.000Z-1.kvist', 'store.kvist']
  for (const name of foreign) writeFileSync(join(folder, name), 'mine')
  const newest = join(folder, backupName({ taken_at: '2026-11-02T00:00:00.000Z', revision: 9 }))
  writeFileSync(newest, 'half a backup')
  await expect(pruneBackups(folder, 1)).rejects.toThrow('it is no backup of kvist')
  expect(listBackups(folder)).toHaveLength(4)
  await backUpInto(folder, beginMs + 48 * hourMs)
  expect(await pruneBackups(folder, 1)).toHaveLength(4)
  expect(timesIn(folder)).toEqual(['00:00'])
  for (const name of foreign) expect(readdirSync(folder)).toContain(name)
})

test('what a killed backup left is removed, and only that', () => {
  const folder = newFolder()
  mkdirSync(folder)
  const names = ['.backup-2026-11-01T00-00-00.000Z-0000000000000001.kvist.part', '.other.part', 'a.part']
  for (const name of names) writeFileSync(join(folder, name), '')
  removeParts(folder)
  expect(readdirSync(folder).toSorted()).toEqual(['.other.part', 'a.part'])
})
