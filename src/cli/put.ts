import { toggle } from '../option-kinds.ts'
import { option, refuse } from '../options.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions, jsonOption, optionalText } from './connection.ts'
import { decodeText, readStandardInput } from './input.ts'
import { print } from './output.ts'
import { expiryOptions, ifRevisionOption, writeOptions } from './write-options.ts'

export const putCommand = command('put', {
  summary: 'Store a value',
  notes:
    'VALUE is stored as it is when it is JSON, and as a JSON string when it is other text. ' +
    'Bytes that are no text can come from standard input. What is missing is asked for on a terminal.',
  operands: [
    { name: 'KEY', help: 'the key', optional: true },
    { name: 'VALUE', help: 'the value; - reads it from standard input', optional: true },
  ],
  options: {
    collection: collectionOption,
    contentType: optionalText(
      'content-type',
      'TYPE',
      'store the value as bytes of this type, whatever they are',
    ),
    ...expiryOptions,
    ifRevision: ifRevisionOption,
    create: option({
      ...toggle(),
      flag: 'create',
      default: false,
      help: 'only if the member does not exist',
    }),
    json: { ...jsonOption, help: 'print what was stored, without its value, as JSON' },
    ...connectionOptions,
  },
  async run(given, operands) {
    const key = operands[0] ?? (await ask('KEY', 'the key'))
    const text = operands[1] ?? (await ask('VALUE', 'the value, or - to read it from standard input'))
    const bytes = operands[1] === '-' ? await readStandardInput() : new TextEncoder().encode(text)
    const value = given.contentType === undefined ? asJson(bytes) : { bytes, contentType: given.contentType }
    const collection = connect(given).collection(given.collection)
    const options = { ...writeOptions(given), create: given.create }
    const stored = await collection.putRaw(key, value.bytes, value.contentType, options)
    if (given.json) await print(`${JSON.stringify(stored)}\n`)
    return 0
  },
})

async function ask(operand: string, help: string): Promise<string> {
  if (!process.stdin.isTTY) refuse(`put needs ${operand}: ${help}`)
  const { prompt } = await import('./prompt.ts')
  return prompt(`${operand.toLowerCase()}: `)
}

/**
 * Returns the body and content type for the input: JSON as it is, other text as a JSON string, other bytes as bytes.
 */
function asJson(bytes: Uint8Array<ArrayBuffer>): {
  bytes: Uint8Array<ArrayBuffer> | string
  contentType: string
} {
  const text = decodeText(bytes)
  if (text === null) return { bytes, contentType: 'application/octet-stream' }
  return { bytes: isJson(text) ? bytes : JSON.stringify(text), contentType: 'application/json' }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
