import { anyText, duration } from '../option-kinds.ts'
import { option, refuse } from '../options.ts'
import { command } from './command.ts'
import { connect, connectionOptions, jsonOption, optionalText } from './connection.ts'
import { complain } from './explain.ts'
import { parseGrants, showGrants } from './grants.ts'
import { print } from './output.ts'

const day = 24 * 3600

export const tokenCreateCommand = command('token create', {
  summary: 'Create a token, and print it this only time',
  notes:
    'GRANT says what, and on which collection: read,write:users. After a slash it says on which keys: ' +
    'users/t1/* is those that begin with t1/, users/* is all. Collections may be a pattern: read:lo*, read:*. ' +
    'The token alone goes to standard output: TOKEN=$(kvist token create …).',
  operands: [],
  options: {
    name: optionalText('name', 'TEXT', 'what people will know it by'),
    allow: option<string | undefined>({
      ...anyText('GRANT'),
      many: true,
      hint: 'may be repeated',
      flag: 'allow',
      default: undefined,
      help: 'what the token may do: read, write, admin or replicate, a colon, and where',
    }),
    keyPrefix: optionalText(
      'key-prefix',
      'TEXT',
      'only for keys that begin with this, in each --allow that names no keys',
    ),
    expires: option<number | undefined>({
      ...duration('s', 1, 36_500 * day),
      flag: 'expires',
      default: undefined,
      help: 'how long it will be valid; default: until it is revoked',
    }),
    json: { ...jsonOption, help: 'print the token with its id, grants and times, as JSON' },
    ...connectionOptions,
  },
  async run({ name, allow, keyPrefix, expires, ...given }) {
    if (name === undefined) refuse('token create needs --name: what people will know the token by')
    if (allow === undefined) refuse('token create needs --allow: what the token may do, read,write:users say')
    const grants = parseGrants(allow, keyPrefix)
    const created = await connect(given).tokens.create({
      name,
      grants,
      ...(expires === undefined ? {} : { expires_in: expires }),
    })
    if (given.json) {
      await print(`${JSON.stringify(created)}\n`)
      return 0
    }
    const until = created.expires_at === null ? 'until it is revoked' : `until ${created.expires_at}`
    complain(`token ${created.id} may ${showGrants(created.grants)} ${until}; it is shown only now`)
    await print(`${created.token}\n`)
    return 0
  },
})
