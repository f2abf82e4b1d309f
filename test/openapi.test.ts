import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Ajv2020 } from 'ajv/dist/2020'
import { lintOpenApi } from './support/openapi-linter.ts'
import { startServer, type TestServer } from './support/server.ts'

/** The document at `/openapi.json`, held against a linter and against what the server does. */

interface Operation {
  readonly tags: readonly string[]
  readonly parameters?: readonly { readonly in: string; readonly name: string }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, Described>> }
  readonly responses: Readonly<Record<string, HttpResponse>>
}
interface HttpResponse {
  readonly headers?: Readonly<Record<string, unknown>>
  readonly content?: Readonly<Record<string, Described>>
}
interface Described {
  readonly schema: object
  readonly example?: unknown
}
interface Document {
  readonly openapi: string
  readonly tags: readonly { readonly name: string }[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, object>> }
}

let server: TestServer
let document: Document
beforeAll(async () => {
  server = await startServer()
  const response = await fetch(`${server.url}/openapi.json`)
  expect(response.headers.get('content-type')).toBe('application/json')
  document = (await response.json()) as Document
})
afterAll(() => server.remove())

function operations(): { method: string; path: string; operation: Operation }[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  )
}

/** A path with its parameters filled in; nobody has stored anything there. */
function filled(path: string): string {
  return path.replace(/\{(\w+)\}/g, 'openapi-$1')
}

test('a public linter finds nothing wrong with it', async () => {
  expect(document.openapi).toBe('3.1.0')
  expect(await lintOpenApi(document)).toEqual([])
})

test('the times in its examples are in order', () => {
  const found: string[][] = []
  JSON.stringify(document, (_name, value) => {
    if (typeof value?.updated_at === 'string' && typeof value.created_at === 'string') {
      const { created_at, updated_at, expires_at } = value
      found.push([created_at, updated_at, ...(typeof expires_at === 'string' ? [expires_at] : [])])
    }
    return value
  })
  expect(found.length).toBeGreaterThan(3)
  for (const times of found) expect(times).toEqual(times.toSorted())
})

test('nor with that of a server with a token, which is open to read', async () => {
  const closed = await startServer({ env: { KVIST_TOKEN: 'secret' } })
  try {
    const found = (await (await fetch(`${closed.url}/openapi.json`)).json()) as Document
    expect(await lintOpenApi(found)).toEqual([])
    expect(Object.keys(found.paths)).toEqual(Object.keys(document.paths))
  } finally {
    await closed.remove()
  }
})

test.each(['ozza', 'keys', 'reforg', 'minstore', 'tenantbase'])(
  'nor with that of a server that has %s at the root, under a tag of its own',
  async (name) => {
    const old = await startServer({ flags: ['--dialect', name] })
    try {
      const found = (await (await fetch(`${old.url}/openapi.json`)).json()) as Document
      expect(await lintOpenApi(found)).toEqual([])
      const paths = (of: Document) =>
        Object.entries(of.paths).filter(([, item]) =>
          Object.values(item).some(({ tags }) => tags.includes(name)),
        )
      expect(paths(document).length).toBeGreaterThan(0)
      expect(paths(found).length).toBeGreaterThan(paths(document).length)
    } finally {
      await old.remove()
    }
  },
)

test('the linter does see what is wrong', async () => {
  const broken = structuredClone(document) as {
    paths: Record<string, Record<string, { parameters?: unknown }>>
  }
  delete broken.paths['/v1/{collection}']!.get!.parameters
  expect((await lintOpenApi(broken)).join()).toContain('path-parameters-defined')
  const example = JSON.parse(JSON.stringify(document).replace('"deleted":2', '"deleted":"two"'))
  expect((await lintOpenApi(example)).join()).toContain('deleted')
})

test('what it names is served, with these methods and no others', async () => {
  for (const [path, item] of Object.entries(document.paths)) {
    const response = await fetch(server.url + filled(path), { method: 'OPTIONS' })
    const named = Object.keys(item).map((method) => method.toUpperCase())
    // Some paths respond to OPTIONS themselves, for browsers of other sites.
    if (named.includes('OPTIONS')) continue
    expect({ path, status: response.status }).toEqual({ path, status: 405 })
    const served = response.headers.get('allow')!.split(', ')
    const headIsGet = served.filter((method) => method !== 'HEAD' || named.includes('HEAD'))
    expect({ path, methods: headIsGet.toSorted() }).toEqual({ path, methods: named.toSorted() })
  }
})

test('every row of /v1 has words of its own', () => {
  for (const { method, path, operation } of operations().filter(({ path }) => path.startsWith('/v1'))) {
    expect({ method, path, responses: Object.keys(operation.responses) }).not.toMatchObject({
      responses: expect.arrayContaining(['2XX']),
    })
    expect(operation.tags).toEqual(['v1'])
  }
})

test('query parameters are the ones that the server knows', async () => {
  let compared = 0
  for (const { method, path, operation } of operations().filter(({ path }) => path.startsWith('/v1'))) {
    if (method === 'HEAD') continue
    const knowing = ['*/*', 'text/event-stream'].map(async (accept) => {
      const asked = await fetch(`${server.url}${filled(path)}?no_such_parameter=1`, {
        method,
        headers: { accept },
      })
      const { detail = '' } = (await asked.json().catch(() => ({}))) as { detail?: string }
      const known = /known are (.*)$/.exec(detail)?.[1]?.split(', ')
      return known ?? (detail.includes('there are none here') ? [] : null)
    })
    // What responds that a member is not there has not examined them.
    const responses = await Promise.all(knowing)
    if (responses.includes(null)) continue
    const known = [...new Set(responses.flatMap((names) => names ?? []))]
    const named = (operation.parameters ?? []).filter((one) => one.in === 'query').map(({ name }) => name)
    expect({ method, path, named: named.toSorted() }).toEqual({ method, path, named: known.toSorted() })
    compared++
  }
  expect(compared).toBeGreaterThanOrEqual(6)
})

/** Headers that any response may have. */
const everywhere = [
  'content-type',
  'content-length',
  'transfer-encoding',
  'date',
  'cache-control',
  'content-encoding',
  'vary',
  'content-security-policy',
  'cross-origin-resource-policy',
  'x-content-type-options',
]

/** Asks, and holds the response to what the document says of it. */
async function ask(method: string, path: string, at: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(server.url + at, { ...init, method })
  const reply = document.paths[path]![method.toLowerCase()]!.responses[response.status]
  const where = `${method} ${at} ${response.status}`
  expect({ where, documented: reply !== undefined }).toEqual({ where, documented: true })
  const headers = [...response.headers.keys()].filter((name) => !everywhere.includes(name))
  const described = Object.keys(reply!.headers ?? {}).map((name) => name.toLowerCase())
  expect({ where, unknown: headers.filter((name) => !described.includes(name)) }).toEqual({
    where,
    unknown: [],
  })
  const body = await response.clone().text()
  const type = (response.headers.get('content-type') ?? '').split(';', 1)[0]!
  const content = body === '' ? undefined : (reply!.content?.[type] ?? reply!.content?.['*/*'])
  expect({ where, hasBody: body !== '', documented: content !== undefined }).toEqual({
    where,
    hasBody: body !== '',
    documented: body !== '',
  })
  const isWhole = response.status !== 206
  const texts =
    isWhole && /json$/.test(type) && body !== ''
      ? type.endsWith('ndjson')
        ? body.trimEnd().split('\n')
        : [body]
      : []
  for (const text of texts) check(content!.schema, JSON.parse(text), where)
  return response
}

function check(schema: object, value: unknown, where: string): void {
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  const validate = ajv.compile({ ...schema, components: document.components })
  expect({ where, valid: validate(value), errors: validate.errors }).toEqual({
    where,
    valid: true,
    errors: null,
  })
}

const member = '/v1/{collection}/{key}'
const collection = '/v1/{collection}'
const json = { 'content-type': 'application/json' }
const ndjson = { 'content-type': 'application/x-ndjson' }
const mergePatch = { 'content-type': 'application/merge-patch+json' }
const jsonPatch = { 'content-type': 'application/json-patch+json' }
const increment = { 'content-type': 'application/vnd.kvist.increment+json' }

const asked: [method: string, path: string, at: string, init: RequestInit, status: number][] = [
  ['PUT', member, '/v1/o/a', { body: '{"n":1}' }, 201],
  ['PUT', member, '/v1/o/a?expire_in=1h', { body: '{"n":2}' }, 200],
  ['PUT', member, '/v1/o/b%2Fc', { body: 'bytes', headers: { 'content-type': 'text/plain' } }, 201],
  ['PUT', member, '/v1/o/b/c', { body: '1', headers: { 'if-match': '"999"' } }, 412],
  ['PUT', member, '/v1/o/a', { body: '{' }, 400],
  ['GET', member, '/v1/o/a', { headers: { range: 'bytes=0-0' } }, 206],
  ['GET', member, '/v1/o/a', { headers: { range: 'bytes=1000-' } }, 416],
  ['PUT', member, '/v1/o/a', { body: '1', headers: { 'content-type': 'nonsense' } }, 415],
  ['PUT', member, `/v1/o/${'x'.repeat(600)}`, { body: '1' }, 414],
  ['PUT', member, '/v1/o/a?no=1', { body: '1' }, 400],
  ['GET', member, '/v1/o/a', {}, 200],
  ['GET', member, '/v1/o/b/c', {}, 200],
  ['GET', member, '/v1/o/a', { headers: { 'if-none-match': '*' } }, 304],
  ['GET', member, '/v1/o/missing', {}, 404],
  ['GET', member, '/v1/o/a', { headers: { 'if-none-match': 'nonsense' } }, 400],
  ['HEAD', member, '/v1/o/a', {}, 200],
  ['PATCH', member, '/v1/o/a', { body: '{"n":3}', headers: mergePatch }, 200],
  ['PATCH', member, '/v1/o/patched', { body: '{}', headers: increment }, 201],
  ['PATCH', member, '/v1/o/missing', { body: '[]', headers: jsonPatch }, 404],
  ['PATCH', member, '/v1/o/b/c', { body: '[]', headers: jsonPatch }, 422],
  ['PATCH', member, '/v1/o/a', { body: '[{"op":"test","path":"/n","value":9}]', headers: jsonPatch }, 409],
  ['PATCH', member, '/v1/o/a', { body: '[]', headers: json }, 415],
  ['POST', collection, '/v1/o', { body: '{"n":3}', headers: json }, 201],
  ['POST', collection, '/v1/o', { body: '{"key":"l","value":1}\nnonsense\n', headers: ndjson }, 200],
  ['POST', collection, '/v1/_o', { body: '1' }, 400],
  ['GET', collection, '/v1/o?limit=1', {}, 200],
  ['GET', collection, '/v1/o?include=keys', {}, 200],
  ['GET', collection, '/v1/o', { headers: { accept: 'application/x-ndjson' } }, 200],
  ['GET', collection, '/v1/o?cursor=nonsense', {}, 400],
  ['GET', '/v1', '/v1', {}, 200],
  ['GET', '/v1', '/v1?no=1', {}, 400],
  [
    'POST',
    '/v1/_batch',
    '/v1/_batch',
    { body: '{"checks":[{"collection":"o","key":"a","revision":1}]}' },
    412,
  ],
  [
    'POST',
    '/v1/_batch',
    '/v1/_batch',
    { body: '{"operations":[{"op":"delete","collection":"o","key":"l"}]}' },
    200,
  ],
  [
    'POST',
    '/v1/_batch',
    '/v1/_batch',
    { body: '{"operations":[{"op":"increment","collection":"o","key":"b/c"}]}' },
    422,
  ],
  ['DELETE', member, '/v1/o/a', {}, 204],
  ['DELETE', member, '/v1/o/a', {}, 404],
  ['DELETE', member, '/v1/o/b/c', { headers: { 'if-match': '"999"' } }, 412],
  ['DELETE', collection, '/v1/o', {}, 200],
  ['GET', '/healthz', '/healthz', {}, 200],
  ['GET', '/readyz', '/readyz', {}, 200],
  ['GET', '/metrics', '/metrics', {}, 200],
  ['GET', '/openapi.json', '/openapi.json', {}, 200],
]

test('responses are as it says: statuses, headers and bodies', async () => {
  for (const [method, path, at, init, status] of asked) {
    const response = await ask(method, path, at, init)
    expect({ method, at, status: response.status }).toEqual({ method, at, status })
  }
})

test('the examples of what to send are taken', async () => {
  const { example } = document.paths['/v1/_batch']!.post!.requestBody!.content['application/json']!
  expect(example).toMatchObject({ checks: [{}], operations: [{}, {}, {}] })
  const body = JSON.stringify({ ...(example as object), checks: [] })
  expect((await fetch(`${server.url}/v1/_batch`, { method: 'POST', body })).status).toBe(200)
  const line = document.paths[collection]!.post!.requestBody!.content['application/x-ndjson']!.example
  const imported = await fetch(`${server.url}/v1/imported`, {
    method: 'POST',
    headers: ndjson,
    body: JSON.stringify(line),
  })
  expect(await imported.json()).toEqual({ stored: 1, failed: [] })
  const patches = Object.entries(document.paths[member]!.patch!.requestBody!.content)
  expect(patches.length).toBe(4)
  for (const [type, { example }] of patches) {
    const at = `${server.url}/v1/patched/k`
    await fetch(at, { method: 'PUT', body: '{"title":"Dune","year":1,"draft":true}' })
    const body = JSON.stringify(example)
    const reply = await fetch(at, { method: 'PATCH', headers: { 'content-type': type }, body })
    expect({ type, status: reply.status }).toEqual({ type, status: 200 })
  }
})
