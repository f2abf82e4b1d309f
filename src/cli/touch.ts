import { refuse } from '../options.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions } from './connection.ts'
import { complain } from './explain.ts'
import { expiryOptions } from './write-options.ts'

export const touchCommand = command('touch', {
  summary: 'Change the expiry of members',
  notes: 'The values and their revisions stay as they are. Ends with 1 when a key is missing.',
  operands: [{ name: 'KEY', help: 'the key; several may be given', many: true }],
  options: { collection: collectionOption, ...expiryOptions, ...connectionOptions },
  async run(given, keys) {
    const { expireIn, expireAt } = given
    const collection = connect(given).collection(given.collection)
    const expiry = expireIn !== undefined ? { expireIn } : expireAt !== undefined ? { expireAt } : null
    if (expiry === null)
      refuse('touch needs --expire-in or --expire-at; --expire-in never takes the expiry away')
    if (expireIn !== undefined && expireAt !== undefined)
      refuse('--expire-in and --expire-at do not go together')
    let missing = 0
    for (const key of keys) {
      if ((await collection.touch(key, expiry)) !== null) continue
      complain(`not found: ${key}`)
      missing++
    }
    return missing === 0 ? 0 : 1
  },
})
