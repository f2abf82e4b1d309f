import type { CreatedToken, Token } from '../../sdk/client.ts'
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
    rateLimit: optionalText(
      'rate-limit',
      'RATE',
      'its own rate of requests, in place of that of the server: 50/s, or 50/s:100 with bursts',
    ),
    subject: optionalText(
      'subject',
      'SUBJECT',
      'that of client certificates, CN=app,O=Acme say: they stand for the token, which then has no text',
    ),
    json: { ...jsonOption, help: 'print the token with its id, grants and times, as JSON' },
    ...connectionOptions,
  },
  async run({ name, allow, keyPrefix, expires, rateLimit, subject, ...given }) {
    if (name === undefined) refuse('token create needs --name: what people will know the token by')
    if (allow === undefined) refuse('token create needs --allow: what the token may do, read,write:users say')
    const token = {
      name,
      grants: parseGrants(allow, keyPrefix),
      ...(expires === undefined ? {} : { expires_in: expires }),
      ...(rateLimit === undefined ? {} : { rate_limit: rateLimit }),
    }
    const { tokens } = connect(given)
    const created = await (subject === undefined
      ? tokens.create(token)
      : tokens.create({ ...token, subject }))
    if (given.json) {
      await print(`${JSON.stringify(created)}\n`)
      return 0
    }
    complain(described(created))
    if (hasText(created)) await print(`${created.token}\n`)
    return 0
  },
})

function hasText(created: Token): created is CreatedToken {
  return 'token' in created
}

function described(created: Token): string {
  const { id, grants, subject, expires_at: expiresAt } = created
  const until = expiresAt === null ? 'until it is revoked' : `until ${expiresAt}`
  const shown = subject === undefined ? 'it is shown only now' : `certificates of ${subject} stand for it`
  return `token ${id} may ${showGrants(grants)} ${until}; ${shown}`
}
