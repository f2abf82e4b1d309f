/**
 * Opens the store in a folder, accepting damage of its log, and ends at once at the nth call that changes a file of the
 * log: `die-accepting.ts <folder> <damage> <n>`. Ends with 9 then, and with 0 when there were fewer.
 */
import { spyOn } from 'bun:test'
import * as fs from 'node:fs'
import { openSqlite } from '../../src/engines/sqlite/engine.ts'

const [dir, acceptDamagedLog, calls] = process.argv.slice(2)
if (dir === undefined || acceptDamagedLog === undefined) throw new Error('name the folder and the damage')

let left = Number(calls)
/** The real ones. */
const { copyFileSync, renameSync, writeSync } = fs

function countdown(call: unknown): never {
  const real = call as (...args: unknown[]) => unknown
  return ((...args: unknown[]) => {
    if (--left === 0) process.exit(9)
    return real(...args)
  }) as never
}

spyOn(fs, 'copyFileSync').mockImplementation(countdown(copyFileSync))
spyOn(fs, 'renameSync').mockImplementation(countdown(renameSync))
spyOn(fs, 'writeSync').mockImplementation(countdown(writeSync))

await openSqlite({ dir, durability: 'full', onCommit: () => {}, segmentBytes: 16 * 1024, acceptDamagedLog })
process.exit(0)
