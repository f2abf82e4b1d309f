/**
 * Writes a store with an archive until it is killed: `archive-writer.ts <data> <archive>`. Each commit puts its revision;
 * what is acknowledged is printed. Parts that no base needs are removed meanwhile.
 */
import { pruneParts } from '../../src/engines/sqlite/archive/archive-files.ts'
import { openSqlite } from '../../src/engines/sqlite/engine.ts'
import { put, write } from './engine-writes.ts'

const [dir, archive] = process.argv.slice(2)
if (dir === undefined || archive === undefined) throw new Error('name the folders')

const engine = await openSqlite({
  dir,
  durability: 'full',
  onCommit() {},
  segmentBytes: 16_384,
  archive: { dir: archive, everyMs: 5, now: Date.now },
})
for (let revision = Number(engine.head()) + 1; ; revision++) {
  await write(engine, [put(`k${revision % 10}`, JSON.stringify(`${revision} ${'x'.repeat(300)}`))], {
    nowMs: Date.now(),
  })
  if (revision % 10 === 0) console.log(revision)
  // The base of the test is of revision 0, so nothing goes; a killed removal leaves the newer files.
  if (revision % 50 === 0) pruneParts(archive, 0)
}
