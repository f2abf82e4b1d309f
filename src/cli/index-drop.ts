import { command } from './command.ts'
import { connect, connectionOptions } from './connection.ts'
import { complain } from './explain.ts'

export const indexDropCommand = command('index drop', {
  summary: 'Drop an index of a collection',
  notes: 'Other settings stay, and so do the members.',
  operands: [
    { name: 'COLLECTION', help: 'the collection' },
    { name: 'NAME', help: 'the name of the index' },
  ],
  options: { ...connectionOptions },
  async run(given, [collectionName = '', name = '']) {
    const collection = connect(given).collection(collectionName)
    const settings = await collection.settings()
    const indexes = settings.indexes.filter((index) => index.name !== name)
    if (indexes.length === settings.indexes.length) {
      complain(`${collectionName} has no index ${name}`)
      return 1
    }
    await collection.setSettings({ ...settings, indexes })
    complain(`dropped ${name}`)
    return 0
  },
})
