/**
 * Upgrades the tables of a folder, a few rows at a time: `engine-upgrader.ts <folder>`. Says `step` before and after each
 * transaction, so that it can be killed in the middle, and `done` at the end.
 */
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { openForWriting } from '../../src/engines/sqlite/table/table.ts'
import { upgradeTables } from '../../src/engines/sqlite/table/upgrade.ts'

const [dir] = process.argv.slice(2)
if (dir === undefined) throw new Error('name the folder')
const db = openForWriting(join(dir, 'kvist.db'))
const { run } = db
db.run = (sql, ...bindings) => {
  writeSync(1, 'step\n')
  return run.call(db, sql, ...bindings)
}
upgradeTables(db, () => {}, 200)
db.close()
writeSync(1, 'done\n')
