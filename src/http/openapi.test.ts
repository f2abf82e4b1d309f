import { expect, test } from 'bun:test'
import { lintOpenApi } from '../../test/support/openapi-linter.ts'
import { openApiDocument } from './openapi.ts'
import { named, type OperationDocs } from './operation.ts'
import { responseOf } from './response.ts'
import type { Method, Route } from './route.ts'

const options = { version: '1.2.3', needsToken: true }

function route(method: Method, path: string, more: Partial<Route> = {}): Route {
  return {
    method,
    path,
    access: 'read',
    summary: `${method} ${path}`,
    handle: () => responseOf(200),
    ...more,
  }
}

interface Documented {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly summary: string
  readonly security?: readonly unknown[]
  readonly parameters?: readonly { readonly in: string; readonly name: string; readonly required?: boolean }[]
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: unknown }>>
}

function operationsOf(routes: readonly Route[], given = options): Map<string, Documented> {
  // The document is JSON: what it is as text is what counts.
  const { paths } = JSON.parse(JSON.stringify(openApiDocument(routes, given)))
  const found = new Map<string, Documented>()
  for (const [path, item] of Object.entries<Record<string, Documented>>(paths)) {
    for (const [method, operation] of Object.entries(item)) found.set(`${method} ${path}`, operation)
  }
  return found
}

test('every route is an operation, and nothing else is', () => {
  const routes = [route('GET', '/a'), route('PUT', '/a'), route('DELETE', '/a/:b/c/:d'), route('GET', '/e/*')]
  expect([...operationsOf(routes).keys()].toSorted()).toEqual([
    'delete /a/{b}/c/{d}',
    'get /a',
    'get /e/{rest}',
    'put /a',
  ])
})

test('the route of keys with slashes is one operation with that of keys without', () => {
  const routes = [route('GET', '/v1/:c/:key'), route('GET', '/v1/:c/*'), route('PUT', '/v1/:c/*')]
  expect([...operationsOf(routes).keys()]).toEqual(['get /v1/{c}/{key}', 'put /v1/{c}/{key}'])
})

test('parameters of the path are there whether somebody describes them or not', () => {
  const docs: OperationDocs = {
    parameters: [
      { in: 'query', name: 'q', description: 'a query', schema: { type: 'string' } },
      { in: 'path', name: 'b', description: 'a b', schema: { type: 'string' } },
    ],
    responses: { 200: { description: 'done' } },
  }
  const found = operationsOf([route('GET', '/x/:a/:b', { docs })]).get('get /x/{a}/{b}')!
  expect(found.parameters!.map((one) => [one.in, one.name, one.required ?? false])).toEqual([
    ['path', 'a', true],
    ['path', 'b', true],
    ['query', 'q', false],
  ])
})

test('a route without words of its own is valid with what it has', async () => {
  const routes = [route('GET', '/'), route('PUT', '/dialects/keys/keys'), route('DELETE', '/keys/:id')]
  routes.push(route('GET', '/v1/:c'))
  for (const needsToken of [true, false]) {
    expect(await lintOpenApi(openApiDocument(routes, { ...options, needsToken }))).toEqual([])
  }
  const found = operationsOf(routes)
  expect([...found.values()].map(({ tags }) => tags)).toEqual([['root'], ['keys'], ['keys'], ['v1']])
})

test('a route that is mounted twice is two operations with names of their own', () => {
  const docs: OperationDocs = { id: 'getIt', responses: { 200: { description: 'done' } } }
  const ids = ['/dialects/x/a', '/a', '/b'].map((path) => route('GET', path, { docs }))
  const found = [...operationsOf(ids).values()].map(({ operationId }) => operationId)
  expect(found).toEqual(['getIt', 'getA', 'getB'])
})

test('errors are described by their status, with the code as an example', () => {
  const docs: OperationDocs = {
    responses: { 200: { description: 'done' } },
    problems: ['invalid_key', 'invalid_json', 'storage_full'],
  }
  const { responses } = operationsOf([route('PUT', '/a', { docs })]).get('put /a')!
  expect(Object.keys(responses)).toEqual(['200', '400', '401', '403', '429', '500', '507'])
  expect(responses['400']!.description).toBe('Bad key (`invalid_key`), Not JSON (`invalid_json`)')
  expect(JSON.stringify(responses['507']!.content)).toContain('"code":"storage_full"')
})

test('a token is asked for where the server has one, but not for what is open', () => {
  const docs: OperationDocs = { responses: { 200: { description: 'done' } } }
  const routes = [
    route('GET', '/a', { docs }),
    route('GET', '/b', { docs, access: 'open' }),
    route('GET', '/v1/:c', { docs }),
    route('PUT', '/v1/:c', { docs }),
  ]
  for (const needsToken of [true, false]) {
    const given = { ...options, needsToken }
    const found = operationsOf(routes, given)
    const anyone = needsToken ? [] : [{}]
    const usual = [...anyone, { token: [] }]
    expect(openApiDocument(routes, given).security).toEqual(usual)
    expect(found.get('get /a')!.security).toBeUndefined()
    expect(found.get('get /b')!.security).toEqual([])
    expect(found.get('get /v1/{c}')!.security).toEqual([...usual, { ticket: [] }])
    expect(found.get('put /v1/{c}')!.security).toBeUndefined()
    // A server that needs no token refuses a wrong one all the same, and one that does not grant the request.
    const { responses } = found.get('get /a')!
    expect(Object.keys(responses)).toEqual(needsToken ? entrance : [...entrance, '421'].toSorted())
    expect(Object.keys(found.get('get /b')!.responses)).not.toContain('401')
    expect(responses['403']!.description).toContain('`forbidden`')
  }
})

const entrance = ['200', '401', '403', '429', '500']

test('429 is a response of every route, with its headers, but not of those that are not counted', () => {
  const docs: OperationDocs = { responses: { 200: { description: 'done' } } }
  const routes = [
    route('GET', '/a', { docs }),
    route('GET', '/b', { docs, access: 'open', isUnlimited: true }),
  ]
  for (const needsToken of [true, false]) {
    const found = operationsOf(routes, { ...options, needsToken })
    expect(found.get('get /a')!.responses['429']).toMatchObject({
      headers: { RateLimit: {}, 'RateLimit-Policy': {}, 'Retry-After': {} },
    })
    expect(Object.keys(found.get('get /b')!.responses)).not.toContain('429')
  }
})

test('HEAD is GET without its body', () => {
  const docs: OperationDocs = {
    responses: { 200: { description: 'done', content: { 'text/plain': { schema: { type: 'string' } } } } },
    head: 'Only whether it is there',
  }
  const found = operationsOf([route('GET', '/a', { docs })])
  expect(found.get('head /a')).toMatchObject({ operationId: 'headA', summary: 'Only whether it is there' })
  expect(JSON.stringify(found.get('head /a'))).not.toContain('content')
  expect(JSON.stringify(found.get('get /a'))).toContain('content')
})

test('a named schema is there once, and referred to wherever it is used, in other schemas too', () => {
  const inner = named('Inner', { type: 'string' })
  const outer = named('Outer', { type: 'array', items: inner })
  const content = { 'application/json': { schema: outer } }
  const docs: OperationDocs = { body: { content }, responses: { 200: { description: 'done', content } } }
  const { components, paths } = JSON.parse(
    JSON.stringify(openApiDocument([route('PUT', '/a', { docs })], options)),
  )
  expect(components.schemas.Inner).toEqual({ type: 'string' })
  expect(components.schemas.Outer).toEqual({ type: 'array', items: { $ref: '#/components/schemas/Inner' } })
  expect(paths['/a'].put.requestBody.content['application/json'].schema).toEqual({
    $ref: '#/components/schemas/Outer',
  })
})

test('an API with errors of its own says itself how they look', () => {
  const docs: OperationDocs = { responses: { 200: { description: 'done' } }, problems: ['not_found'] }
  const api = { mount: '/x', refuse: () => responseOf(400) }
  const { responses } = operationsOf([route('GET', '/x/a', { docs, api })]).get('get /x/a')!
  expect(responses).toEqual({
    200: { description: 'done' },
    401: { description: 'The token is missing or wrong' },
    403: { description: 'The token does not grant it' },
    429: { description: 'The client sends too many requests, or wrong tokens' },
  })
})
