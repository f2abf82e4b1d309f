import { refuse } from '../options.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions, jsonOption, optionalText } from './connection.ts'
import { print } from './output.ts'
import { expiryOptions, ifRevisionOption, writeOptions } from './write-options.ts'

export const incrementCommand = command('increment', {
  summary: 'Add to a number and print the result',
  notes: 'A member or a part of it that is missing starts at 0.',
  operands: [
    { name: 'KEY', help: 'the key' },
    { name: 'BY', help: 'the number to add, may be negative; default: 1', optional: true },
  ],
  options: {
    collection: collectionOption,
    path: optionalText('path', 'POINTER', 'where the number is in the value, as a JSON pointer like /visits'),
    ...expiryOptions,
    ifCreatedExpireIn: optionalText(
      'if-created-expire-in',
      'TIME',
      'how long it lives, if this creates it: a window of fixed length',
    ),
    ifRevision: ifRevisionOption,
    json: { ...jsonOption, help: 'print what was stored, as JSON' },
    ...connectionOptions,
  },
  async run(given, [key = '', by = '1']) {
    if (!numberForm.test(by)) refuse(`BY must be a number, not ${JSON.stringify(by)}`)
    const { path, ifCreatedExpireIn: expireIn } = given
    const stored = await connect(given)
      .collection(given.collection)
      .increment(key, Number(by), {
        ...writeOptions(given),
        path,
        ifCreated: expireIn === undefined ? undefined : { expireIn },
      })
    await print(`${given.json ? JSON.stringify(stored) : stored.value}\n`)
    return 0
  },
})

/** The form of a JSON number. */
const numberForm = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/
