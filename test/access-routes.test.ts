import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import type { Archive } from '../src/core/archive.ts'
import { parseGrants } from '../src/core/grants.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'

/** Every route, as each kind of client may use it: what is expected stands in two tables, and no route is left out. */

const rootToken = 'root-secret'
const nowMs = Date.parse('2026-03-01T00:00:00Z')
let server: InProcessServer

/** A client, and what its token grants; null without a valid one. */
interface Viewer {
  readonly can: readonly string[]
  readonly prefix: string
  readonly collections: 'these' | 'others' | 'all'
}

const viewers: Record<string, Viewer | null> = {
  'no token': null,
  'a wrong token': null,
  'a reader': { can: ['read'], prefix: '', collections: 'these' },
  'a writer': { can: ['write'], prefix: '', collections: 'these' },
  'an administrator of these': { can: ['read', 'write', 'admin'], prefix: '', collections: 'these' },
  'an administrator without more': { can: ['admin'], prefix: '', collections: 'all' },
  'a tenant': { can: ['read', 'write', 'admin'], prefix: 't1/', collections: 'these' },
  'a tenant that reads': { can: ['read'], prefix: 't1/', collections: 'these' },
  'a tenant that writes': { can: ['write'], prefix: 't1/', collections: 'these' },
  'a tenant of all collections': { can: ['read', 'write', 'admin'], prefix: 't1/', collections: 'all' },
  'a follower': { can: ['read', 'replicate', 'admin'], prefix: '', collections: 'all' },
  'a node': { can: ['replicate'], prefix: '', collections: 'all' },
  'a node of a tenant': { can: ['replicate'], prefix: 't1/', collections: 'these' },
  'a node that reads': { can: ['read', 'replicate'], prefix: 't1/', collections: 'all' },
  'somebody else': { can: ['read', 'write', 'admin'], prefix: '', collections: 'others' },
  'an administrator of everything': { can: ['read', 'write', 'admin'], prefix: '', collections: 'all' },
}

/**
 * What a request needs: a capability on the member KEY, on the `whole` collection, on `some` of it, `anywhere` or
 * `everywhere`. `any some` is any capability on some of the collection, `token` is a valid token.
 */
type Needs = string

function meets(viewer: Viewer, needs: Needs, key: string): boolean {
  const { can, prefix, collections } = viewer
  const reaches = collections !== 'others'
  return needs.split(' + ').every((need) => {
    const [capability = '', on = ''] = need.split(' ')
    if (need === 'token') return true
    if (capability !== 'any' && !can.includes(capability)) return false
    if (on === 'anywhere') return true
    if (on === 'everywhere') return collections === 'all' && prefix === ''
    if (on === 'some') return reaches
    return reaches && (on === 'whole' ? prefix === '' : key.startsWith(prefix))
  })
}

interface Sent {
  readonly method?: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
}

const json = { 'Content-Type': 'application/json' }
const lines = { 'Content-Type': 'application/x-ndjson' }
const events = { Accept: 'text/event-stream' }
const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
const patch = { 'Content-Type': 'application/json-patch+json' }
const increment = { 'Content-Type': 'application/vnd.kvist.increment+json' }
const own = '{"collection":"users","key":"KEY"'
const at = '"at":"2026-01-01T00:00:00Z"'

/** An archive in which no member is. */
const archive: Archive = {
  at: async () => ({ member: null, revision: 1, timeMs: nowMs }),
  versions: async () => ({ versions: [], next: null }),
}

/** Requests for each route: path, needs, and what is sent. KEY is the key as it is, ESCAPED with its slash escaped. */
const requests: Record<string, readonly (readonly [path: string, needs: Needs, sent?: Sent])[]> = {
  'GET /v1': [['/v1', 'read anywhere']],
  'POST /v1/_batch': [
    ['/v1/_batch', 'write member', { body: `{"operations":[{"op":"put",${own.slice(1)},"value":1}]}` }],
    ['/v1/_batch', 'write member', { body: `{"operations":[{"op":"delete",${own.slice(1)}}]}` }],
    [
      '/v1/_batch',
      'write member',
      { body: `{"operations":[{"op":"touch",${own.slice(1)},"expire_in":60}]}` },
    ],
    [
      '/v1/_batch',
      'write member + read member',
      { body: `{"operations":[{"op":"increment",${own.slice(1)},"path":"/n","by":1}]}` },
    ],
    ['/v1/_batch', 'write anywhere + write member', { body: `{"checks":[${own},"revision":null}]}` }],
  ],
  'POST /v1/_read': [['/v1/_read', 'read member', { body: `{"members":[${own}}]}` }]],
  'POST /v1/_query': [
    ['/v1/_query', 'read some', { body: '{"collection":"users","where":"@ == 1"}' }],
    [
      '/v1/_query',
      'read some',
      {
        body: '{"collection":"users","order":"@"}',
        headers: { ...json, Accept: lines['Content-Type'] },
      },
    ],
  ],
  'GET /v1/_changes': [
    ['/v1/_changes?since=0', 'read anywhere'],
    ['/v1/_changes?since=0&include=all', 'read anywhere'],
    ['/v1/_changes?since=0&collection=users', 'read some'],
    ['/v1/_changes?since=0&collection=users&prefix=ESCAPED', 'read member'],
    ['/v1/_changes', 'read anywhere', { headers: events }],
    ['/v1/_changes?collection=users', 'read some', { headers: events }],
    ['/v1/_changes?collection=users&prefix=ESCAPED', 'read member', { headers: events }],
  ],
  'GET /v1/_collections/:collection': [['/v1/_collections/users', 'read anywhere + any some']],
  'PUT /v1/_collections/:collection': [['/v1/_collections/users', 'admin whole', { body: '{}' }]],
  'POST /v1/_collections/:collection/_check': [
    ['/v1/_collections/users/_check', 'admin whole + read whole', { body: '{"schema":true}' }],
  ],
  'DELETE /v1/_collections/:collection': [['/v1/_collections/users', 'admin whole']],
  'GET /v1/:collection': [
    ['/v1/users', 'read some'],
    ['/v1/users', 'read some', { method: 'HEAD' }],
    ['/v1/users?include=keys&order=desc', 'read some'],
    ['/v1/users?delimiter=%2F', 'read some'],
    ['/v1/users?match=s3cret*', 'read some'],
    ['/v1/users?prefix=ESCAPED', 'read member'],
    ['/v1/users?filter=ESCAPED*', 'read member'],
    ['/v1/users?from=ESCAPED&to=ESCAPED0', 'read member'],
    ['/v1/users', 'read some', { headers: { Accept: 'application/x-ndjson' } }],
    ['/v1/users?prefix=ESCAPED', 'read member', { headers: { Accept: 'application/x-ndjson' } }],
    ['/v1/users?delimiter=%2F', 'read some', { headers: { Accept: 'application/x-ndjson' } }],
    ['/v1/users', 'read some', { headers: events }],
    ['/v1/users?prefix=ESCAPED', 'read member', { headers: events }],
  ],
  'POST /v1/:collection': [
    ['/v1/users', 'write whole', { body: '1' }],
    ['/v1/users', 'write whole', { body: '1', headers: { 'Idempotency-Key': 'KEY' } }],
    ['/v1/users', 'write some', { body: '{"key":"KEY","value":1}', headers: lines }],
  ],
  'DELETE /v1/:collection': [
    ['/v1/users', 'admin whole'],
    ['/v1/users?prefix=ESCAPED', 'admin member'],
    ['/v1/users?filter=ESCAPED*', 'admin whole'],
  ],
  ...Object.fromEntries(
    [
      ['/v1/:collection/:key', '/v1/users/ESCAPED'],
      ['/v1/:collection/*', '/v1/users/KEY'],
    ].flatMap(([route, path]) => Object.entries(memberRequests(route!, path!))),
  ),
  'GET /v1/_whoami': [['/v1/_whoami', 'token']],
  'POST /v1/_tickets': [['/v1/_tickets', 'token', { body: '{"path":"/v1/users/KEY"}' }]],
  'GET /v1/_tokens': [['/v1/_tokens', 'admin everywhere']],
  'POST /v1/_tokens': [['/v1/_tokens', 'admin everywhere', { body: '{}' }]],
  'DELETE /v1/_tokens/:id': [['/v1/_tokens/none', 'admin everywhere']],
  'GET /v1/_nodes': [['/v1/_nodes', 'read everywhere']],
  'GET /v1/_engine': [['/v1/_engine', 'read everywhere']],
  'GET /v1/_backup': [['/v1/_backup', 'admin everywhere']],
  'GET /v1/_conflicts': [
    ['/v1/_conflicts', 'read anywhere'],
    ['/v1/_conflicts?collection=users', 'read some'],
  ],
  'POST /v1/_replicate': [['/v1/_replicate', 'replicate anywhere', { body: '', headers: lines }]],
  'GET /v1/_replicate': [
    [
      '/v1/_replicate',
      'read everywhere + replicate everywhere + admin everywhere',
      { headers: { 'Kvist-Node': 'n' } },
    ],
  ],
  'POST /v1/_nodes/promote': [['/v1/_nodes/promote', 'admin everywhere', { body: '{}' }]],
  'POST /v1/_nodes/demote': [['/v1/_nodes/demote', 'admin everywhere', { body: '{"node":"n","term":1}' }]],
  'POST /v1/_lookup': [['/v1/_lookup', 'read member', { body: `{"members":[${own}}]}` }]],
  'GET /v1/_digests': [['/v1/_digests', 'replicate anywhere']],
  'POST /v1/_digests': [
    ['/v1/_digests', 'replicate whole', { body: `{"collection":"users","members":10,${at}}` }],
    [
      '/v1/_digests',
      'replicate member',
      { body: `{"collection":"users","from":"KEY","ends":["KEY0"],${at}}` },
    ],
  ],
  'POST /v1/_versions': [
    ['/v1/_versions', 'replicate whole', { body: `{"collection":"users","limit":10,${at}}` }],
    [
      '/v1/_versions',
      'replicate member',
      { body: `{"collection":"users","from":"KEY","to":"KEY0","limit":10,${at}}` },
    ],
  ],
  'POST /v1/_states': [['/v1/_states', 'replicate member', { body: `{"members":[${own}}],${at}}` }]],
  'POST /v1/_entries': [
    ['/v1/_entries', 'replicate member + read member', { body: `{"members":[${own}}]}` }],
  ],
  'GET /v1/_history/:collection/:key': [['/v1/_history/users/ESCAPED', 'read member']],
  'GET /v1/_history/:collection/*': [['/v1/_history/users/KEY', 'read member']],
  'GET /metrics': [['/metrics', 'read everywhere']],
  'GET /dialects/ozza/:resource': [
    ['/dialects/ozza/users', 'read some'],
    ['/dialects/ozza/users?filter=*', 'read some'],
  ],
  'PUT /dialects/ozza/:resource': [
    ['/dialects/ozza/users', 'write member + read member', { body: '{"id":"KEY","v":1}' }],
  ],
  'DELETE /dialects/ozza/:resource': [['/dialects/ozza/users', 'admin whole']],
  'GET /dialects/ozza/:resource/:id': [['/dialects/ozza/users/ESCAPED', 'read member']],
  'HEAD /dialects/ozza/:resource/:id': [['/dialects/ozza/users/ESCAPED', 'read member']],
  'DELETE /dialects/ozza/:resource/:id': [['/dialects/ozza/users/ESCAPED', 'write member']],
  'PUT /dialects/keys/keys': [['/dialects/keys/keys', 'write member', { body: '{"KEY":1}' }]],
  'GET /dialects/keys/keys': [
    ['/dialects/keys/keys', 'read some'],
    ['/dialects/keys/keys?filter=t$', 'read some'],
    ['/dialects/keys/keys?limit=1', 'read some'],
  ],
  'DELETE /dialects/keys/keys': [['/dialects/keys/keys', 'admin whole']],
  'GET /dialects/keys/keys/:id': [
    ['/dialects/keys/keys/ESCAPED', 'read member'],
    ['/dialects/keys/keys/ESCAPED', 'read member', { method: 'HEAD' }],
  ],
  'PATCH /dialects/keys/keys/:id': [
    ['/dialects/keys/keys/ESCAPED', 'write member + read member', { body: '{"a":1}' }],
  ],
  'PATCH /dialects/keys/key/:id': [
    ['/dialects/keys/key/ESCAPED', 'write member + read member', { body: '{"a":1}' }],
  ],
  'DELETE /dialects/keys/keys/:id': [['/dialects/keys/keys/ESCAPED', 'write member']],
  'GET /dialects/reforg/api/v1/keys': [['/dialects/reforg/api/v1/keys?key=ESCAPED', 'read member']],
  'PUT /dialects/reforg/api/v1/keys': [['/dialects/reforg/api/v1/keys?key=ESCAPED&value=x', 'write member']],
  'POST /dialects/minstore/text/:uid': [
    ['/dialects/minstore/text/ESCAPED', 'write member', { body: 'value=x', headers: form }],
  ],
  'PUT /dialects/minstore/text/:uid': [
    ['/dialects/minstore/text/ESCAPED', 'write member', { body: 'value=x', headers: form }],
    ['/dialects/minstore/text/ESCAPED?mirror=1', 'write member', { body: '{"value":{"uid":"KEY"}}' }],
    [
      '/dialects/minstore/text/ESCAPED?mirror=1&bridge=1',
      'write member',
      { body: '{"value":{"uid":"KEY"}}' },
    ],
  ],
  'GET /dialects/minstore/text/:uid': [
    ['/dialects/minstore/text/ESCAPED', 'read member'],
    ['/dialects/minstore/text/ESCAPED', 'read member', { headers: { 'If-Match': '"x"' } }],
  ],
  'DELETE /dialects/minstore/text/:uid': [
    ['/dialects/minstore/text/ESCAPED', 'write member'],
    ['/dialects/minstore/text/ESCAPED?mirror=1', 'write member'],
    ['/dialects/minstore/text/ESCAPED?mirror=1&bridge=1', 'write member'],
  ],
  'POST /dialects/tenantbase/set-value': [
    ['/dialects/tenantbase/set-value', 'write member', { body: '{"key":"KEY","value":1}' }],
  ],
  'GET /dialects/tenantbase/get-value': [['/dialects/tenantbase/get-value?key=ESCAPED', 'read member']],
  'POST /dialects/tenantbase/get-value': [
    ['/dialects/tenantbase/get-value', 'read member', { body: '{"key":"KEY"}' }],
  ],
  'DELETE /dialects/tenantbase/delete-value': [
    ['/dialects/tenantbase/delete-value?key=ESCAPED', 'write member'],
    ['/dialects/tenantbase/delete-value', 'write member', { body: '{"key":"KEY"}' }],
  ],
  'GET /dialects/tenantbase/get-values': [['/dialects/tenantbase/get-values', 'read some']],
}

function memberRequests(route: string, path: string): typeof requests {
  const lifetime = `${path}?expire_in=60`
  return {
    [`GET ${route}`]: [
      [path, 'read member'],
      [path, 'read member', { method: 'HEAD' }],
      [path, 'read member', { headers: { Range: 'bytes=0-3' } }],
      [`${path}?at=1`, 'read member'],
      [`${path}?at=1`, 'read member', { method: 'HEAD' }],
      [path, 'read member', { headers: { 'If-None-Match': '*' } }],
      [path, 'read member', { headers: { 'If-Match': '"1"' } }],
      [`${path}?wait=0.001`, 'read member', { headers: { 'If-None-Match': '*' } }],
      [`${path}?wait=0.001`, 'read member', { method: 'HEAD', headers: { 'If-None-Match': '*' } }],
      [path, 'read member', { headers: events }],
    ],
    [`PUT ${route}`]: [
      [path, 'write member', { body: '1' }],
      [path, 'write member', { body: '1', headers: { 'If-Match': '"1"' } }],
      [path, 'write member', { body: '1', headers: { 'If-None-Match': '*' } }],
    ],
    [`PATCH ${route}`]: [
      [path, 'write member', { body: '{"a":1}' }],
      [path, 'write member', { body: '{"a":1}', headers: { 'If-Match': '"1"' } }],
      [lifetime, 'write member', { body: '' }],
      [path, 'write member + read member', { body: '{"path":"/n","by":0}', headers: increment }],
      [path, 'write member + read member', { body: '[{"op":"test","path":"/n","value":1}]', headers: patch }],
      [path, 'write member', { body: '{"a":1}', headers: { 'Idempotency-Key': 'KEY' } }],
    ],
    [`DELETE ${route}`]: [
      [path, 'write member'],
      [path, 'write member', { headers: { 'If-Match': '"1"' } }],
    ],
  }
}

const tokens: Record<string, string | null> = { 'no token': null, 'a wrong token': 'wrong' }
const theseCollections = ['users', 'keys', 'text', 'cache']

function grantsOf({ can, prefix, collections }: Viewer) {
  const names = { these: theseCollections, others: ['others'], all: ['*'] }[collections]
  return parseGrants(names.map((name) => ({ collections: name, key_prefix: prefix, can })))
}

beforeAll(async () => {
  server = await startInProcess(() => nowMs, rootToken, undefined, undefined, { archive })
  for (const [name, viewer] of Object.entries(viewers)) {
    if (viewer === null) continue
    const created = { name, subject: null, rate: null, expiresAtMs: null, grants: grantsOf(viewer) }
    tokens[name] = (await server.tokens.create(created, nowMs)).text
  }
})
afterAll(() => server.stop())

const existing = ['t1/a', 't2/a']
const missing = ['t1/z', 't2/z']

/** The same members, of which each value names its key. */
async function seed(): Promise<void> {
  await server.db.execute({
    operations: theseCollections.flatMap((collection) => [
      ...existing.map((key) => {
        const value = `{"n":1,"text":"s3cret of ${key}"}`
        const rest = { contentType: 'application/json', flags: 0, expiresAtMs: null }
        return { op: 'put' as const, collection, key, value, ...rest }
      }),
      ...missing.map((key) => ({ op: 'delete' as const, collection, key })),
    ]),
  })
}
beforeEach(seed)

interface Received {
  readonly status: number
  readonly text: string
  readonly headers: Headers
}

async function send(
  token: string | null,
  method: string,
  path: string,
  sent: Sent,
  key: string,
): Promise<Received> {
  const of = (text: string) => text.replaceAll('ESCAPED', encodeURIComponent(key)).replaceAll('KEY', key)
  const headers = Object.fromEntries(
    Object.entries(sent.headers ?? {}).map(([name, value]) => [name, of(value)]),
  )
  const response = await fetch(server.url + of(path), {
    method: sent.method ?? method,
    headers: {
      ...(sent.body === undefined ? {} : json),
      ...headers,
      ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
    },
    ...(sent.body === undefined ? {} : { body: of(sent.body) }),
  })
  const isStream = response.status === 200 && response.headers.get('Content-Type') === 'text/event-stream'
  if (!isStream) return { status: response.status, text: await response.text(), headers: response.headers }
  await response.body!.cancel()
  return { status: 200, text: '', headers: response.headers }
}

/** A response as text, in which the key that was asked for reads KEY. */
function shown({ status, text, headers }: Received, key: string): string {
  const lines = [...headers].filter(([name]) => name !== 'date').map((line) => line.join(': '))
  // A POST makes a new key.
  return [status, ...lines, text]
    .join('\n')
    .replaceAll(key, 'KEY')
    .replace(/[0-9a-f-]{36}/g, 'ID')
}

test.each(Object.keys(viewers))('%s gets from each route what it may, and no more', async (name) => {
  const viewer = viewers[name]!
  const token = tokens[name]!
  const wrong: string[] = []
  for (const [route, variants] of Object.entries(requests)) {
    const [method = ''] = route.split(' ')
    for (const [path, needs, sent = {}] of variants) {
      const refusals = new Map<string, Set<string>>()
      for (const key of [...existing, ...missing]) {
        const received = await send(token, method, path, sent, key)
        const { status, text } = received
        const isAllowed = viewer !== null && meets(viewer, needs, key)
        const expected = isAllowed ? 'done' : viewer === null ? 401 : 403
        const found = status === 401 || status === 403 ? status : status < 500 ? 'done' : status
        if (found !== expected) wrong.push(`${route}: ${path} of ${key}: ${status} ${text}`)
        if (isAllowed && viewer.prefix !== '' && text.replaceAll(key, '').includes('t2/'))
          wrong.push(`${route}: ${path} of ${key} shows another tenant: ${text}`)
        if (isAllowed) {
          if (['GET', 'HEAD'].includes(method) === false) await seed()
          continue
        }
        const group = key.slice(0, 3)
        refusals.set(group, (refusals.get(group) ?? new Set()).add(shown(received, key)))
        if (text.includes('s3cret') || /"revision"/.test(text))
          wrong.push(`${route}: ${path} of ${key} shows ${text}`)
      }
      // Of what is out of reach nothing shows whether it exists.
      for (const group of refusals.values()) {
        if (group.size > 1) wrong.push(`${route}: ${path} differs: ${[...group].join(' | ')}`)
      }
    }
  }
  expect(wrong).toEqual([])
})

test('no route is left out', () => {
  const routes = server.routes
    .filter(({ access }) => access !== 'open')
    .map(({ method, path }) => `${method} ${path}`)
  expect(routes.toSorted()).toEqual(Object.keys(requests).toSorted())
})

test('a route that is open is open to all, also with a token that is not valid or grants nothing here', async () => {
  const open = server.routes.filter(({ access }) => access === 'open')
  expect(open.length).toBeGreaterThan(5)
  for (const { method, path } of open) {
    for (const token of [null, 'wrong', tokens['somebody else']!]) {
      const { status } = await send(token, method, path.replace(':file', 'none'), {}, '')
      expect([method, path, [401, 403].includes(status)]).toEqual([method, path, false])
    }
  }
})
