import type { Collection } from '../../sdk/client.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions, jsonOption } from './connection.ts'
import { complain } from './explain.ts'
import { linesOf } from './lines.ts'
import { print } from './output.ts'

export const getCommand = command('get', {
  summary: 'Print a value',
  notes: 'The value comes as it was stored, byte for byte.',
  operands: [{ name: 'KEY', help: 'the key' }],
  options: {
    collection: collectionOption,
    json: { ...jsonOption, help: 'print the member with its metadata, as JSON' },
    ...connectionOptions,
  },
  async run(given, [key = '']) {
    const collection = connect(given).collection(given.collection)
    const found = given.json ? await printMember(collection, key) : await printValue(collection, key)
    if (!found) complain(`not found: ${key}`)
    return found ? 0 : 1
  },
})

async function printValue(collection: Collection<unknown>, key: string): Promise<boolean> {
  const value = await collection.getRaw(key)
  if (value === null) return false
  let last: number | undefined
  for await (const chunk of value.bytes) {
    await print(chunk)
    last = chunk.at(-1)
  }
  if (process.stdout.isTTY && last !== 10) await print('\n')
  return true
}

async function printMember(collection: Collection<unknown>, key: string): Promise<boolean> {
  for await (const line of linesOf(collection, { from: key, limit: 1, include: 'all' })) {
    if (JSON.parse(line).key !== key) return false
    await print(`${line}\n`)
    return true
  }
  return false
}
