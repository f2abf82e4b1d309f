import type { CreatedToken, Grant, NewCertificateToken, NewToken, Ticket, Token } from './access-types.ts'
import {
  array,
  checkFields,
  checkOptions,
  checkValue,
  durationOrNever,
  isWellFormed,
  nonEmptyText,
  type Rule,
  type Rules,
} from './checks.ts'
import { KvistInputError } from './errors.ts'
import { nullWhenNotFound } from './members.ts'
import { callRules } from './option-rules.ts'
import type { Call, CallOptions, Transport } from './request.ts'
import { jsonType } from './values.ts'

/** The tokens of a server. All calls need a token that grants `admin` on `*`. */
export class Tokens {
  readonly #transport: Transport

  /** Called by `Kvist`. */
  constructor(transport: Transport) {
    this.#transport = transport
  }

  /**
   * Creates a token. The result is the only one that has its text: the server keeps a hash of it. With a `subject` it
   * has none, and client certificates stand for it.
   */
  async create(token: NewCertificateToken, options?: CallOptions): Promise<Token>
  async create(token: NewToken, options?: CallOptions): Promise<CreatedToken>
  async create(token: NewToken | NewCertificateToken, options?: CallOptions): Promise<Token> {
    checkOptions(options, callRules)
    checkNewToken(token)
    const call: Call = {
      method: 'POST',
      path: tokensPath,
      headers: { 'content-type': jsonType },
      body: JSON.stringify(token),
      retry: 'if-rejected',
      options,
    }
    return this.#transport.send(call, this.#transport.json<Token>)
  }

  /** Returns all tokens without their texts, the oldest first. */
  async list(options?: CallOptions): Promise<readonly Token[]> {
    checkOptions(options, callRules)
    const call: Call = { method: 'GET', path: tokensPath, retry: 'idempotent', options }
    const { tokens } = await this.#transport.send(call, this.#transport.json<{ tokens: readonly Token[] }>)
    return tokens
  }

  /**
   * Revokes a token: the server refuses it from now on, and ends what was opened with it. Returns false if there is no
   * such token.
   */
  async revoke(id: string, options?: CallOptions): Promise<boolean> {
    checkOptions(options, callRules)
    checkValue('the id', id, tokenId)
    const path = `${tokensPath}/${encodeURIComponent(id)}`
    const call: Call = { method: 'DELETE', path, retry: 'idempotent', options }
    return this.#transport.send(call, () => true).catch((error) => nullWhenNotFound(error) !== null)
  }
}

const tokensPath = '/v1/_tokens'

/** Requires an id. A whole token in its place would be logged with the path. */
const tokenId: Rule = (given) =>
  typeof given === 'string' && /^[^_/]+$/.test(given) ? null : 'the id of a token, as `list` returns it'

const newTokenRules: Rules<NewCertificateToken> = {
  name: nonEmptyText,
  subject: (given) => (given === undefined ? null : nonEmptyText(given)),
  grants: array,
  expires_in: (given) => (given === undefined || given === null ? null : durationOrNever(given)),
  rate_limit: (given) => (given === undefined || given === null ? null : rate(given)),
}

/** The server knows how large its numbers may be. */
const rate: Rule = (given) =>
  typeof given === 'string' && /^\d+\/[smh](:\d+)?$/.test(given) ? null : 'a rate like "50/s" or "50/s:100"'

const grantRules: Rules<Grant> = {
  collections: nonEmptyText,
  key_prefix: (given) => (given === undefined ? null : nonEmptyText(given)),
  can: array,
}

function checkNewToken(token: NewToken): void {
  checkFields<NewToken>(token, newTokenRules, '')
  refuseUndefined(token, '')
  token.grants.forEach((grant, i) => {
    checkFields<Grant>(grant, grantRules, `grants[${i}]: `)
    refuseUndefined(grant, `grants[${i}]: `)
  })
}

/**
 * Throws for a field that is `undefined`: left out, a token would never expire, a grant be for all keys, or a token for
 * certificates have a secret.
 */
function refuseUndefined(given: object, where: string): void {
  const unset = Object.entries(given).find(([, value]) => value === undefined)
  if (unset !== undefined)
    throw new KvistInputError(`${where}${unset[0]} is undefined: leave it out if that is meant`)
}

/** Asks for a ticket, and returns it with the URL that uses it. */
export async function requestTicket(
  transport: Transport,
  path: string,
  options: CallOptions | undefined,
): Promise<Ticket> {
  const url = ticketUrl(transport.url, path)
  const call: Call = {
    method: 'POST',
    path: '/v1/_tickets',
    headers: { 'content-type': jsonType },
    body: JSON.stringify({ path: url.pathname.slice(basePathOf(transport.url).length) }),
    retry: 'idempotent',
    options,
  }
  const issued = await transport.send(call, transport.json<Omit<Ticket, 'url'>>)
  return { ...issued, url: `${url.href}${url.search === '' ? '?' : '&'}ticket=${issued.ticket}` }
}

const apiPath: Rule = (given) =>
  typeof given === 'string' && /^\/v1([/?][^#]*)?$/.test(given) && isWellFormed(given)
    ? null
    : 'a path of the API such as "/v1/users", with or without a query'

/** Returns the URL of a path as browsers will request it. Throws a KvistInputError if it is not one of the API. */
function ticketUrl(base: string, path: unknown): URL {
  checkValue('the path', path, apiPath)
  const url = new URL(`${base}${path}`)
  checkValue('the path', url.pathname.slice(basePathOf(base).length), apiPath)
  return url
}

/** Returns the path of the server's URL: a proxy may serve it below one. */
function basePathOf(base: string): string {
  return new URL(base).pathname.replace(/\/$/, '')
}
