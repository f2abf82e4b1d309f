/** Opens the store in the folder that is its argument, writes one member, says so, and keeps it open. */
import { openSqlite } from '../../src/engines/sqlite/engine.ts'
import { put, write } from './engine-writes.ts'

const [dir] = process.argv.slice(2)
if (dir === undefined) throw new Error('name the folder')

const engine = await openSqlite({ dir, durability: 'full', onCommit: () => {} })
await write(engine, [put('held')])
console.log('open')
setInterval(() => engine.collections(), 1000)
