import type { Principal } from '../../auth/principal.ts'
import type { Tickets } from '../../auth/tickets.ts'
import { parseSubject, parseTokenName, type Token, type Tokens } from '../../auth/tokens.ts'
import { KvistError } from '../../core/errors.ts'
import { grantJson, parseGrants } from '../../core/grants.ts'
import { maxBatchBytes, maxTimeMs } from '../../core/limits.ts'
import { jsonContentType } from '../../core/member.ts'
import { parseRate, type Rate, rateForm, showRate } from '../../core/rate.ts'
import { formatTime, parseDurationMs } from '../../core/time.ts'
import { parsedJson, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { parametersOf, pathParameter } from '../path.ts'
import { type Fields, responseOf } from '../response.ts'
import type { Route } from '../route.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { asObject, type JsonFields, refuseOthers } from './fields.ts'
import * as docs from './openapi-access.ts'
import { v1Tag } from './openapi-parts.ts'

/** Tokens, tickets, and who the client is. Responses may not be kept by caches: they show secrets. */

export interface AccessOptions {
  readonly tokens: Tokens
  readonly tickets: Tickets
}

export function accessRoutes({ tokens, tickets }: AccessOptions): Route[] {
  const all: Route[] = [
    {
      method: 'GET',
      path: '/v1/_whoami',
      access: 'token',
      summary: 'Who the client is, and what it may do',
      docs: docs.whoami,
      handle: (request, context) => whoami(request, context.principal),
    },
    {
      method: 'POST',
      path: '/v1/_tickets',
      access: 'token',
      summary: 'A ticket for one request without headers',
      docs: docs.postTicket,
      handle: (request, context) => postTicket(tickets, request, context),
    },
    {
      method: 'GET',
      path: '/v1/_tokens',
      access: 'admin all',
      summary: 'The tokens, without their secrets',
      docs: docs.listTokens,
      handle: (request) => listTokens(tokens, request),
    },
    {
      method: 'POST',
      path: '/v1/_tokens',
      access: 'admin all',
      summary: 'Creates a token',
      docs: docs.postToken,
      handle: (request, context) => postToken(tokens, request, context),
    },
    {
      method: 'DELETE',
      path: '/v1/_tokens/:id',
      access: 'admin all',
      summary: 'Revokes a token at once',
      docs: docs.deleteToken,
      handle: (request, context) => deleteToken(tokens, request, context),
    },
  ]
  return all.map((route) => ({ ...route, tag: v1Tag }))
}

/** Returns a JSON response that no cache may keep. */
function secretJson(body: object, status = 200, fields: Fields = {}): HttpResponse {
  const headers = { 'Content-Type': jsonContentType, 'Cache-Control': 'no-store', ...fields }
  return responseOf(status, headers, `${JSON.stringify(body)}\n`)
}

function whoami(request: HttpRequest, { name, grants, rateLimit, expiresAtMs }: Principal): HttpResponse {
  parametersOf(request, [])
  const rate = rateJson(rateLimit?.rate ?? null)
  const body = { name, grants: grants.map(grantJson), ...rate, expires_at: timeOf(expiresAtMs) }
  return secretJson(body)
}

const ticketFields: ReadonlySet<string> = new Set(['path'])

async function postTicket(
  tickets: Tickets,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const { path } = await fieldsOf(request, context, 'the ticket', ticketFields)
  if (typeof path !== 'string' || !/^\/[\x21\x22\x24-\x3e\x40-\x7e]*$/.test(path)) {
    throw new KvistError(
      'invalid_request',
      '"path" is the path of the request to come, escaped as it will be, without a query: "/v1/users"',
    )
  }
  const { ticket, expiresAtMs } = await tickets.issue(context.principal, path, context.now())
  return secretJson({ ticket, expires_at: formatTime(expiresAtMs) }, 201)
}

function listTokens(tokens: Tokens, request: HttpRequest): HttpResponse {
  parametersOf(request, [])
  return secretJson({ tokens: tokens.list().map(tokenJson) })
}

const tokenFields: ReadonlySet<string> = new Set(['name', 'grants', 'expires_in', 'subject', 'rate_limit'])

async function postToken(
  tokens: Tokens,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const fields = await fieldsOf(request, context, 'the token', tokenFields)
  const nowMs = context.now()
  const created = {
    name: parseTokenName(fields.name),
    grants: parseGrants(fields.grants),
    subject: fields.subject === undefined ? null : parseSubject(fields.subject),
    rate: rateOf(fields.rate_limit),
    expiresAtMs: expiryOf(fields.expires_in, nowMs),
  }
  const { text, token } = await tokens.create(created, nowMs)
  const { id, ...rest } = tokenJson(token)
  const secret = text === null ? {} : { token: text }
  return secretJson({ id, ...secret, ...rest }, 201, { Location: `/v1/_tokens/${id}` })
}

async function deleteToken(
  tokens: Tokens,
  request: HttpRequest,
  { connection }: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const id = pathParameter(request, 'id')
  // A request that revokes its own token still gets its response.
  connection.identity = null
  if (await tokens.revoke(id)) return responseOf(204)
  throw new KvistError('not_found', `there is no token ${JSON.stringify(id.slice(0, 64))}`)
}

async function fieldsOf(
  request: HttpRequest,
  context: RequestContext,
  what: string,
  known: ReadonlySet<string>,
): Promise<JsonFields> {
  const fields = asObject(parsedJson(await readBody(request, maxBatchBytes, context)), what)
  refuseOthers(fields, known, what)
  return fields
}

/** Returns when a token expires, given after how long; null for never. Throws `invalid_parameter`. */
function expiryOf(given: unknown, nowMs: number): number | null {
  if (given === undefined || given === null || given === 'never') return null
  if (typeof given !== 'string' && typeof given !== 'number') throw badExpiry()
  const lifeMs = parseDurationMs(String(given))
  if (lifeMs === 0 || nowMs + lifeMs > maxTimeMs) throw badExpiry()
  return nowMs + lifeMs
}

/** Returns a token's own rate of requests; null for that of the server. Throws `invalid_request`. */
function rateOf(given: unknown): Rate | null {
  if (given === undefined || given === null) return null
  const rate = typeof given === 'string' ? parseRate(given) : null
  if (rate !== null) return rate
  throw new KvistError('invalid_request', `"rate_limit" is not ${rateForm}`)
}

function badExpiry(): KvistError {
  return new KvistError(
    'invalid_parameter',
    '"expires_in" is a number of seconds above 0, a text such as "90d", or null for never; at the latest in the year 9999',
  )
}

function tokenJson({ id, name, grants, subject, rate, createdAtMs, expiresAtMs, lastUsedAtMs }: Token) {
  return {
    id,
    name,
    grants: grants.map(grantJson),
    ...(subject === null ? {} : { subject }),
    ...rateJson(rate),
    created_at: formatTime(createdAtMs),
    expires_at: timeOf(expiresAtMs),
    last_used_at: timeOf(lastUsedAtMs),
  }
}

function rateJson(rate: Rate | null): { readonly rate_limit?: string } {
  return rate === null ? {} : { rate_limit: showRate(rate) }
}

function timeOf(ms: number | null): string | null {
  return ms === null ? null : formatTime(ms)
}
