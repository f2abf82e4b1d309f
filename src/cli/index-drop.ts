import { changeSettings } from './change-settings.ts'
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
    let exists = false
    await changeSettings(collection, ({ indexes }) => {
      exists = indexes.some((index) => index.name === name)
      return exists ? { indexes: indexes.filter((index) => index.name !== name) } : null
    })
    complain(exists ? `dropped ${name}` : `${collectionName} has no index ${name}`)
    return exists ? 0 : 1
  },
})
