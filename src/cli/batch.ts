import type { BatchOperation, SeparateResults } from '../../sdk/client.ts'
import { toggle } from '../option-kinds.ts'
import { option } from '../options.ts'
import { command } from './command.ts'
import { connect, connectionOptions } from './connection.ts'
import { parseExactly } from './exact-json.ts'
import { complain } from './explain.ts'
import { parseJson, textOfFile } from './input.ts'
import { print } from './output.ts'

export const batchCommand = command('batch', {
  summary: 'Commit checks and operations together, or none of them',
  notes:
    'FILE is JSON: {"checks": [{"collection", "key", "revision"}, …], "operations": [{"op": "put", "collection", "key", ' +
    '"value"}, {"op": "delete", …}, {"op": "increment", …}, …]}. The revision null means that the member must not exist. ' +
    'Prints the result of each operation: its revision, and the number of an increment. Exits with 1 when a check fails. ' +
    'With --no-atomic each operation is executed by itself, which a cluster does for any members; those that fail have an ' +
    'error in place of a revision, and it exits with 1.',
  operands: [{ name: 'FILE', help: 'the file; - is standard input' }],
  options: {
    noAtomic: option({
      ...toggle(),
      flag: 'no-atomic',
      default: false,
      help: 'execute each operation by itself; one that fails does not stop the others',
    }),
    ...connectionOptions,
  },
  async run({ noAtomic, ...given }, [file = '']) {
    const text = await textOfFile(file)
    const batch = parseJson(text, file, withExactValues)
    const results: SeparateResults<BatchOperation[]> = await connect(given).batch(
      noAtomic ? separate(batch) : batch,
    )
    await print(`${JSON.stringify({ results })}\n`)
    const failed = results.flatMap(({ error }, i) => (error === undefined ? [] : [{ i, ...error }]))
    for (const { i, code, detail } of failed) complain(`operations[${i}]: ${code}: ${detail}`)
    return failed.length === 0 ? 0 : 1
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

/** Returns the batch without its atomicity, unless it is no object, which the client refuses. */
function separate(batch: unknown) {
  const isObject = typeof batch === 'object' && batch !== null && !Array.isArray(batch)
  return isObject ? Object.assign(batch, { atomic: false }) : batch
}
