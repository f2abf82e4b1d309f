import { expect } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { newFolder } from '../../../test/support/engine.ts'
import type { FullDisk } from '../../../test/support/full-disk.ts'
import { needing } from '../../../test/support/needs.ts'
import { onSmallDisk } from '../../../test/support/on-small-disk.ts'

const { test } = needing('namespaces')

const program = join(import.meta.dir, '../../../test/support/full-disk.ts')

function runOnFullDisk(where: 'log' | 'tables' | 'reserve'): FullDisk {
  const disk = newFolder()
  mkdirSync(disk, { recursive: true })
  const said = onSmallDisk(disk, 3 * 1024, [process.execPath, program, where, join(disk, 'data')])
  return JSON.parse(said)
}

/** What holds however the disk came to be full. */
function expectWhole(seen: FullDisk): void {
  expect(seen.wrong).toEqual([])
  expect(seen.faults[0]).toBe('storage_full')
  // What the flusher gives back later may be enough for another batch.
  expect(seen.faults.filter((fault) => fault !== 'done' && fault !== 'storage_full')).toEqual([])
  expect(seen.halfSegments).toBe(0)
  expect(seen.snapshot).toEqual({ fault: 'storage_full', left: false })
  expect(seen.openedWhileFull).toBe('opened')
}

test('without room for the log puts are refused whole, reads and deletes go on, and puts do when there is room', () => {
  const seen = runOnFullDisk('log')
  expectWhole(seen)
  expect(seen.deletes).toBeGreaterThan(3000)
  expect(seen.deleteFault).toBeNull()
})

test('without room for the tables the reserve lets the flusher and deletes go on', () => {
  const seen = runOnFullDisk('tables')
  expectWhole(seen)
  // The log went on to files of before.
  expect(seen.batchesWhileFull).toBeGreaterThan(0)
  expect(seen.deletes).toBeGreaterThan(3000)
  expect(seen.deleteFault).toBeNull()
})

test('when another program takes what the reserve gives back, deletes end too, and nothing is lost', () => {
  const seen = runOnFullDisk('reserve')
  expectWhole(seen)
  expect(seen.deletes).toBeGreaterThan(300)
  expect(seen.deleteFault).toBe('storage_full')
})
