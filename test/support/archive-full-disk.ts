/**
 * Fills the disk of an archive and frees it again: `archive-full-disk.ts <data> <disk>`, where the disk is small. Prints
 * what it saw as a line of JSON.
 */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openSqlite } from '../../src/engines/sqlite/engine.ts'
import { put, write } from './engine-writes.ts'

const [dir, disk] = process.argv.slice(2)
if (dir === undefined || disk === undefined) throw new Error('name the folders')
const filler = join(disk, 'filler')
const lines: string[] = []

const engine = await openSqlite({
  dir,
  durability: 'full',
  onCommit() {},
  segmentBytes: 65_536,
  archive: { dir: join(disk, 'archive'), everyMs: 3_600_000, now: Date.now },
  warn: (line) => lines.push(line),
})
const { sync, numbers } = engine.archive!

async function putMany(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const random = Buffer.from(crypto.getRandomValues(new Uint8Array(3000))).toString('base64')
    await write(engine, [put(`k${i}`, JSON.stringify(random))], { nowMs: Date.now() })
  }
}

await putMany(20)
const before = await sync()
let room = 2 * 1024 * 1024
for (; room > 1024; room = Math.floor(room / 2)) {
  try {
    writeFileSync(filler, Buffer.alloc(room), { flag: 'a' })
  } catch {
    // A smaller piece may fit.
  }
}
await putMany(60)
const full = await sync()
const whileFull = numbers()
const writesGoOn = await putMany(5).then(
  () => true,
  () => false,
)
rmSync(filler)
const after = await sync()
const said = lines.filter((line) => line.startsWith('the archive'))
console.log(
  JSON.stringify({
    before: before !== null,
    full: full !== null,
    isFailing: whileFull.isFailing,
    writesGoOn,
    after: after !== null,
    archived: numbers().archivedRevision,
    head: Number(engine.head()),
    said,
  }),
)
await engine.close()
