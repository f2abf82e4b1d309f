import { toggle, wholeNumber } from '../option-kinds.ts'
import { option, refuse } from '../options.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions, jsonOption, optionalText } from './connection.ts'
import { print } from './output.ts'

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
    expireIn: optionalText('expire-in', 'TIME', 'how long it lives: seconds, or like 90s, 15m, 12h, 7d'),
    expireAt: optionalText('expire-at', 'TIME', 'when it ends, like 2030-01-31T12:00:00Z'),
    ifRevision: option<number | undefined>({
      ...wholeNumber(1, Number.MAX_SAFE_INTEGER),
      flag: 'if-revision',
      default: undefined,
      help: 'only over this revision',
    }),
    create: option({ ...toggle(), flag: 'create', default: false, help: 'only where there is nothing' }),
    json: { ...jsonOption, help: 'print what was stored, without its value, as JSON' },
    ...connectionOptions,
  },
  async run(given, operands) {
    const key = operands[0] ?? (await ask('KEY', 'the key'))
    const text = operands[1] ?? (await ask('VALUE', 'the value, or - to read it from standard input'))
    const bytes = operands[1] === '-' ? await readStandardInput() : new TextEncoder().encode(text)
    const value = given.contentType === undefined ? asJson(bytes) : { bytes, contentType: given.contentType }
    const collection = connect(given).collection(given.collection)
    const { expireIn, expireAt, ifRevision, create } = given
    const stored = await collection.putRaw(key, value.bytes, value.contentType, {
      expireIn,
      expireAt,
      create,
      ...(ifRevision === undefined ? {} : { ifRevision }),
    })
    if (given.json) await print(`${JSON.stringify(stored)}\n`)
    return 0
  },
})

async function ask(operand: string, help: string): Promise<string> {
  if (!process.stdin.isTTY) refuse(`put needs ${operand}: ${help}`)
  const { prompt } = await import('./prompt.ts')
  return prompt(`${operand.toLowerCase()}: `)
}

async function readStandardInput(): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await Bun.stdin.arrayBuffer())
}

/** JSON stays the text that it is, other text becomes a JSON string, other bytes stay bytes. */
export function asJson(bytes: Uint8Array<ArrayBuffer>): {
  bytes: Uint8Array<ArrayBuffer> | string
  contentType: string
} {
  const text = decode(bytes)
  if (text === null) return { bytes, contentType: 'application/octet-stream' }
  return { bytes: isJson(text) ? bytes : JSON.stringify(text), contentType: 'application/json' }
}

function decode(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
