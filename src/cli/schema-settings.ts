import type { JsonSchema } from '../../sdk/client.ts'
import { changeSettings } from './change-settings.ts'
import { command } from './command.ts'
import { connect, connectionOptions } from './connection.ts'
import { complain } from './explain.ts'
import { parseJson, textOfFile } from './input.ts'
import { print } from './output.ts'

const collectionOperand = { name: 'COLLECTION', help: 'the collection' }

export const schemaGetCommand = command('schema get', {
  summary: 'Print the JSON Schema of a collection',
  notes: 'Ends with 1 when it has none.',
  operands: [collectionOperand],
  options: { ...connectionOptions },
  async run(given, [name = '']) {
    const { schema } = await connect(given).collection(name).settings()
    if (schema === null) {
      complain(`${name} has no schema`)
      return 1
    }
    await print(`${JSON.stringify(schema, null, process.stdout.isTTY ? 2 : 0)}\n`)
    return 0
  },
})

export const schemaSetCommand = command('schema set', {
  summary: 'Set the JSON Schema that values of a collection must match',
  notes:
    'Other settings stay. Members that are stored already are not checked: kvist schema check says which would break it.',
  operands: [collectionOperand, { name: 'FILE', help: 'a JSON Schema (2020-12); - is standard input' }],
  options: { ...connectionOptions },
  async run(given, [name = '', file = '']) {
    const schema = await readSchema(file)
    await changeSettings(connect(given).collection(name), () => ({ schema }))
    complain(`set the schema of ${name}`)
    return 0
  },
})

export const schemaDropCommand = command('schema drop', {
  summary: 'Remove the JSON Schema of a collection',
  notes: 'Other settings stay.',
  operands: [collectionOperand],
  options: { ...connectionOptions },
  async run(given, [name = '']) {
    await changeSettings(connect(given).collection(name), () => ({ schema: null }))
    complain(`removed the schema of ${name}`)
    return 0
  },
})

/** Reads a schema; the client and the server check it. */
export async function readSchema(file: string): Promise<JsonSchema> {
  return parseJson(
    await textOfFile(file),
    file === '-' ? 'standard input' : file,
    (text): JsonSchema => JSON.parse(text),
  )
}
