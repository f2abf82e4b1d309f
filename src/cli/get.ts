import type { Collection, RawValue } from '../../sdk/client.ts'
import { linesOf } from '../../sdk/lines.ts'
import { toggle } from '../option-kinds.ts'
import { option, refuse } from '../options.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions, jsonOption } from './connection.ts'
import { complain } from './explain.ts'
import { print } from './output.ts'

export const getCommand = command('get', {
  summary: 'Print values',
  notes:
    'A value is printed as it was stored, byte for byte; of several keys each value ends with a line feed. ' +
    'Ends with 1 when a key is missing.',
  operands: [{ name: 'KEY', help: 'the key; several may be given', many: true }],
  options: {
    collection: collectionOption,
    raw: option({
      ...toggle(),
      flag: 'raw',
      short: 'r',
      default: false,
      help: 'print a JSON string as its text, without quotes and escapes',
    }),
    json: { ...jsonOption, help: 'print members with their metadata, one a line, as JSON' },
    ...connectionOptions,
  },
  async run(given, keys) {
    if (given.raw && given.json) refuse('--raw and --json do not go together')
    const collection = connect(given).collection(given.collection)
    const endsLines = keys.length > 1 || process.stdout.isTTY
    let missing = 0
    for (const key of keys) {
      const found = given.json
        ? await printMember(collection, key)
        : await printValue(collection, key, given.raw, endsLines)
      if (found) continue
      complain(`not found: ${key}`)
      missing++
    }
    return missing === 0 ? 0 : 1
  },
})

async function printValue(
  collection: Collection<unknown>,
  key: string,
  isRaw: boolean,
  endsLine: boolean,
): Promise<boolean> {
  const value = await collection.getRaw(key)
  if (value === null) return false
  let last: number | undefined
  for await (const chunk of isRaw ? rawChunks(value) : value.bytes) {
    await print(chunk)
    last = chunk.at(-1)
  }
  if (endsLine && last !== lineFeed) await print('\n')
  return true
}

const lineFeed = 10

/** Yields the bytes to print. Only a JSON string, which its first byte identifies, is buffered whole. */
async function* rawChunks({ bytes, content_type: type }: RawValue): AsyncGenerator<Uint8Array> {
  const isJson = /^application\/json$|\+json\s*(;|$)/i.test(type)
  const buffered: Uint8Array[] = []
  let isString: boolean | null = isJson ? null : false
  for await (const chunk of bytes) {
    isString ??= beginsString(chunk)
    if (isString === false) {
      yield* buffered.splice(0)
      yield chunk
    } else buffered.push(chunk)
  }
  if (isString === true) yield Buffer.from(String(JSON.parse(Buffer.concat(buffered).toString())))
  else yield* buffered
}

/** Returns whether a JSON string begins; null while there is only white space. */
function beginsString(chunk: Uint8Array): boolean | null {
  const first = chunk.find((byte) => byte > 0x20)
  return first === undefined ? null : first === 0x22
}

async function printMember(collection: Collection<unknown>, key: string): Promise<boolean> {
  for await (const line of linesOf(await collection.lines({ from: key, limit: 1, include: 'all' }))) {
    if (JSON.parse(line).key !== key) return false
    await print(`${line}\n`)
    return true
  }
  return false
}
