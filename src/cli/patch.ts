import { toggle } from '../option-kinds.ts'
import { option } from '../options.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions, jsonOption } from './connection.ts'
import { parseExactly } from './exact-json.ts'
import { parseJson, textOf } from './input.ts'
import { print } from './output.ts'
import { expiryOptions, ifRevisionOption, writeOptions } from './write-options.ts'

export const patchCommand = command('patch', {
  summary: 'Change a part of a value',
  notes:
    'PATCH is a JSON merge patch (RFC 7396): objects are merged, null removes a name, everything else replaces ' +
    'what was there. With --json-patch it is a list of operations (RFC 6902), which are all done or not at all.',
  operands: [
    { name: 'KEY', help: 'the key' },
    { name: 'PATCH', help: 'the patch, as JSON; - reads it from standard input' },
  ],
  options: {
    collection: collectionOption,
    jsonPatch: option({
      ...toggle(),
      flag: 'json-patch',
      default: false,
      help: 'PATCH is a list of operations, such as [{"op": "remove", "path": "/city"}]',
    }),
    ...expiryOptions,
    ifRevision: ifRevisionOption,
    json: { ...jsonOption, help: 'print what was stored, without its value, as JSON' },
    ...connectionOptions,
  },
  async run(given, [key = '', text = '']) {
    const patch = parseJson(await textOf(text, 'PATCH'), 'PATCH', parseExactly)
    const collection = connect(given).collection(given.collection)
    const options = writeOptions(given)
    const stored = given.jsonPatch
      ? await collection.jsonPatch(key, patch, options)
      : await collection.patch(key, patch, options)
    if (given.json) await print(`${JSON.stringify(stored)}\n`)
    return 0
  },
})
