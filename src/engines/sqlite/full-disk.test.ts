import { expect, test } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { newFolder } from '../../../test/support/engine.ts'
import type { FullDisk } from '../../../test/support/full-disk.ts'

const program = join(import.meta.dir, '../../../test/support/full-disk.ts')

/** Ways to a file system of a few MB that nobody else sees: as root, and as anybody. */
const namespaces = [
  ['unshare', '--mount'],
  ['unshare', '--user', '--map-root-user', '--mount'],
]

/** Runs a command with a small file system mounted on a folder. */
function onSmallDisk(disk: string, sizeKib: number, command: readonly string[]): string {
  const mount = `mount -t tmpfs -o size=${sizeKib}k kvist "$1" && shift && exec "$@"`
  const namespace = namespaces.find(
    (unshare) => Bun.spawnSync([...unshare, 'sh', '-c', mount, 'sh', disk, 'true']).success,
  )
  if (namespace === undefined) {
    throw new Error(
      'cannot mount a small file system, which this test needs: run it as root, or where unshare --user is allowed',
    )
  }
  const done = Bun.spawnSync([...namespace, 'sh', '-c', mount, 'sh', disk, ...command])
  expect(done.stderr.toString()).toBe('')
  return done.stdout.toString()
}

function runOnFullDisk(where: 'log' | 'tables'): FullDisk {
  const disk = newFolder()
  mkdirSync(disk, { recursive: true })
  const said = onSmallDisk(disk, 3 * 1024, [process.execPath, program, where, join(disk, 'data')])
  return JSON.parse(said)
}

test('without room for the log commits are refused whole, reads go on, and writes do when there is room', () => {
  const seen = runOnFullDisk('log')
  expect(seen.wrong).toEqual([])
  expect(new Set(seen.faults)).toEqual(new Set(['storage_full']))
  expect(seen.halfSegments).toBe(0)
  expect(seen.snapshot).toEqual({ fault: 'storage_full', left: false })
  expect(seen.openedWhileFull).toMatch(/^opened$|^cannot open .*kvist\.db: \S.*$/)
}, 60_000)

test('without room for the tables the log takes what it can, and nothing of it is lost', () => {
  const seen = runOnFullDisk('tables')
  expect(seen.wrong).toEqual([])
  expect(new Set(seen.faults)).toEqual(new Set(['storage_full']))
  // The log went on to another file while the tables could not follow.
  expect(seen.batchesWhileFull).toBeGreaterThan(5)
  expect(seen.behind).toBeGreaterThan(30)
  expect(seen.segments).toBeGreaterThan(1)
  expect(seen.halfSegments).toBe(0)
  expect(seen.snapshot).toEqual({ fault: 'storage_full', left: false })
  expect(seen.openedWhileFull).toMatch(/^opened$|^cannot open .*kvist\.db: \S.*$/)
}, 60_000)
