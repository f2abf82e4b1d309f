import { expect } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { newFolder } from '../../../../test/support/engine.ts'
import { needing } from '../../../../test/support/needs.ts'
import { onSmallDisk } from '../../../../test/support/on-small-disk.ts'

const { test } = needing('namespaces')

test('a full disk of the archive does not stop the store, and what it missed follows', () => {
  const disk = newFolder()
  mkdirSync(disk, { recursive: true })
  const program = join(import.meta.dir, '../../../../test/support/archive-full-disk.ts')
  const seen = JSON.parse(onSmallDisk(disk, 1024, [process.execPath, program, newFolder(), disk]))
  expect(seen).toEqual({
    before: true,
    full: false,
    isFailing: true,
    writesGoOn: true,
    after: true,
    archived: seen.head,
    head: 85,
    said: [expect.stringContaining('cannot be written: ENOSPC'), expect.stringContaining('is written again')],
  })
})
