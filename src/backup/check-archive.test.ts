import { expect, test } from 'bun:test'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import {
  archivedStore,
  openArchived,
  takeBase,
  withArchived,
  writeAt,
} from '../../test/support/archived-store.ts'
import { noonMs, put } from '../../test/support/engine-writes.ts'
import { listPartFiles } from '../engines/sqlite/archive/archive-files.ts'
import { checkArchive } from './check-archive.ts'

test('an archive is whole, and of a damaged one the files are named', async () => {
  const store = archivedStore(noonMs)
  await withArchived(store, async (engine) => {
    await takeBase(store, engine)
    for (let i = 0; i < 60; i++) await writeAt(store, engine, [put(`k${i}`, JSON.stringify('x'.repeat(900)))])
  })
  const shares: number[] = []
  const whole = await checkArchive(store.archive, (share) => shares.push(share))
  expect(whole).toMatchObject({ revision: 60, findings: [], notes: [] })
  expect(shares.at(-1)).toBe(1)
  const logFindings = async () =>
    (await checkArchive(store.archive)).findings.filter(({ where }) => where.startsWith('log-'))
  expect(await logFindings()).toEqual([])

  const { path } = listPartFiles(store.archive).at(-1)!
  const bytes = readFileSync(path)
  writeFileSync(path, Buffer.from(bytes).fill(1, bytes.length - 8))
  expect(await logFindings()).toEqual([
    { where: basename(path), what: expect.stringMatching(/cannot be read|damaged/) },
  ])
  writeFileSync(path, Buffer.from(bytes).fill(0, 0, 8))
  expect(await logFindings()).toEqual([{ where: basename(path), what: 'no part can be read at byte 0' }])
  writeFileSync(path, bytes)

  writeFileSync(join(store.archive, 'backup-2026-11-28T16-45-00.000Z-0000000000000001.kvist'), 'half')
  const { findings } = await checkArchive(store.archive)
  expect(findings.map(({ where }) => where)).toContain(
    'backup-2026-11-28T16-45-00.000Z-0000000000000001.kvist',
  )
  rmSync(join(store.archive, 'archive.json'))
  await expect(checkArchive(store.archive)).rejects.toThrow(/is not an archive: it has no archive\.json$/)
})

test('revisions that an archive lacks are a note', async () => {
  const store = archivedStore(noonMs)
  for (let round = 0; round < 3; round++) {
    const engine = await openArchived(store)
    for (let i = 0; i < 40; i++) await writeAt(store, engine, [put(`k${i}`, JSON.stringify('x'.repeat(900)))])
    await engine.close()
  }
  const files = listPartFiles(store.archive)
  expect(files.length).toBeGreaterThan(2)
  rmSync(files[1]!.path)
  const { notes, findings } = await checkArchive(store.archive)
  expect(findings).toEqual([])
  expect(notes.join()).toMatch(/revisions \d+ to \d+ are not in the archive$/)
})
