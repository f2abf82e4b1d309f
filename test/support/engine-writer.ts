/**
 * Opens the store in a folder and writes until it is killed: `engine-writer.ts <folder> <life> <segment bytes>`. Each
 * of several writers commits batches, one after the other, and says on stdout when one was acknowledged:
 *
 *     open
 *     ok <writer> <batch> <revision of its last write>
 *     renewed <writer> <batch>
 *
 * What is in a batch is known by its name alone (crash-batches.ts), so that test/engine-crash.test.ts knows it too.
 */
import { writeSync } from 'node:fs'
import { openSqlite } from '../../src/engines/sqlite/engine.ts'
import { batchOf, markOf, renewedUntil, writers } from './crash-batches.ts'
import { collection, write } from './engine-writes.ts'

const [dir, life, segmentBytes] = process.argv.slice(2)
if (dir === undefined) throw new Error('name the folder')

const engine = await openSqlite({
  dir,
  durability: 'full',
  onCommit: () => {},
  segmentBytes: Number(segmentBytes),
})
say('open')
await Promise.all(Array.from({ length: writers }, (_, writer) => writeOn(writer)))

async function writeOn(writer: number): Promise<void> {
  for (let number = 0; ; number++) {
    const name = { life: Number(life), writer, number }
    const ifRevision = (await write(engine, batchOf(name))).at(-1)!.revision
    say(`ok ${writer} ${number} ${ifRevision}`)
    const renewal = {
      op: 'renew',
      collection,
      key: markOf(name),
      expiresAtMs: renewedUntil(name),
      ifRevision,
    } as const
    await write(engine, [renewal])
    say(`renewed ${writer} ${number}`)
  }
}

/** Not buffered: what was written before the kill is read. */
function say(line: string): void {
  writeSync(1, `${line}\n`)
}
