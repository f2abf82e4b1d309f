import { command } from './command.ts'
import { connect, connectionOptions } from './connection.ts'
import { parseExactly } from './exact-json.ts'
import { parseJson, textOfFile } from './input.ts'
import { print } from './output.ts'

export const batchCommand = command('batch', {
  summary: 'Commit checks and operations together, or none of them',
  notes:
    'FILE is JSON: {"checks": [{"collection", "key", "revision"}, …], "operations": [{"op": "put", "collection", "key", ' +
    '"value"}, {"op": "delete", …}, {"op": "increment", …}, …]}. The revision null means that the member must not exist. ' +
    'Prints the result of each operation: its revision, and the number of an increment. Exits with 1 when a check fails.',
  operands: [{ name: 'FILE', help: 'the file; - is standard input' }],
  options: connectionOptions,
  async run(given, [file = '']) {
    const text = await textOfFile(file)
    const batch = parseJson(text, file, withExactValues)
    const results = await connect(given).batch(batch)
    await print(`${JSON.stringify({ results })}\n`)
    return 0
  },
})

/** Returns the batch with the text of each number in the values of its puts. The client checks the batch. */
function withExactValues(text: string) {
  const batch = JSON.parse(text)
  const exact = parseExactly(text)
  if (!Array.isArray(batch?.operations)) return batch
  const operations = batch.operations.map((operation: object, i: number) =>
    Object(operation) === operation && 'value' in operation
      ? { ...operation, value: exact.operations[i].value }
      : operation,
  )
  return { ...batch, operations }
}
