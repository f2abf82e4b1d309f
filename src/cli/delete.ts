import { command } from './command.ts'
import { collectionOption, connect, connectionOptions } from './connection.ts'
import { complain } from './explain.ts'

export const deleteCommand = command('delete', {
  summary: 'Delete members',
  operands: [{ name: 'KEY', help: 'the key; several may be given', many: true }],
  options: { collection: collectionOption, ...connectionOptions },
  async run(given, keys) {
    const collection = connect(given).collection(given.collection)
    let missing = 0
    for (const key of keys) {
      if (await collection.delete(key)) continue
      complain(`not found: ${key}`)
      missing++
    }
    return missing === 0 ? 0 : 1
  },
})
