import { describe, expect, test } from 'bun:test'
import { curlOf } from './curl.ts'
import { matched, missingIn, operationsOf, searched, withPathValue, withQuery } from './operations.ts'

const document = {
  paths: {
    '/healthz': { get: { summary: 'Whether it lives' } },
    '/v1/_batch': {
      post: { summary: 'Commits together', requestBody: { content: { 'application/json': {} } } },
    },
    '/v1/_collections/{collection}': { get: { summary: 'Settings' } },
    '/v1/{collection}': { get: { summary: 'Lists members' }, delete: { summary: 'Drops it' } },
    '/v1/{collection}/{key}': {
      get: { summary: 'Reads a value' },
      put: {
        summary: 'Stores a value',
        parameters: [
          { in: 'path', name: 'key', required: true, description: 'The rest' },
          { in: 'query', name: 'order', schema: { enum: ['asc', 'desc'] } },
          { in: 'cookie', name: 'none' },
        ],
      },
    },
  },
}
const operations = operationsOf(document)
const find = (method: 'GET' | 'PUT' | 'POST' | 'DELETE', path: string) => {
  const found = matched(operations, method, path)
  return found && [found.operation.path, found.values]
}

test('operations come members first, with their parameters', () => {
  expect(operations.map(({ method, path }) => `${method} ${path}`)).toEqual([
    'GET /v1/{collection}/{key}',
    'PUT /v1/{collection}/{key}',
    'GET /v1/{collection}',
    'DELETE /v1/{collection}',
    'POST /v1/_batch',
    'GET /v1/_collections/{collection}',
    'GET /healthz',
  ])
  expect(operations[1]!.parameters).toEqual([
    { name: 'key', location: 'path', description: 'The rest', isRequired: true, choices: [] },
    { name: 'order', location: 'query', description: '', isRequired: false, choices: ['asc', 'desc'] },
  ])
  expect(operationsOf(null)).toEqual([])
})

test('they are found by method, path and words', () => {
  expect(searched(operations, 'put').map(({ summary }) => summary)).toEqual(['Stores a value'])
  expect(searched(operations, 'get v1 list').map(({ summary }) => summary)).toEqual(['Lists members'])
  expect(searched(operations, '')).toEqual(operations)
})

test('a path is that of one operation, and its values are those in it', () => {
  expect(find('GET', '/v1/a/b')).toEqual(['/v1/{collection}/{key}', { collection: 'a', key: 'b' }])
  expect(find('GET', '/v1/a/b/c%2Fd')).toEqual(['/v1/{collection}/{key}', { collection: 'a', key: 'b/c/d' }])
  expect(find('GET', '/v1/a')).toEqual(['/v1/{collection}', { collection: 'a' }])
  expect(find('GET', '/v1/_collections/a')).toEqual(['/v1/_collections/{collection}', { collection: 'a' }])
  expect(find('POST', '/v1/_batch')).toEqual(['/v1/_batch', {}])
  expect(find('GET', '/healthz/x')).toBeNull()
  expect(find('DELETE', '/v1/a/b')).toBeNull()
})

describe('path values and parameters', () => {
  const put = operations[1]!
  test('are written into the target, and taken out of it', () => {
    const half = withPathValue(put, '/v1/{collection}/{key}?order=asc', 'collection', 'ü b')
    expect(half).toBe('/v1/%C3%BC%20b/{key}?order=asc')
    expect(missingIn(half)).toEqual(['key'])
    expect(withPathValue(put, half, 'key', 'a/b c')).toBe('/v1/%C3%BC%20b/a/b%20c?order=asc')
    expect(withPathValue(put, '/v1/a/b', 'key', '../x')).toBe('/v1/a/..%2Fx')
    expect(withPathValue(put, '/v1/a/b', 'key', '')).toBe('/v1/a/{key}')
    expect(withQuery('/v1/a', 'prefix', 'x y&')).toBe('/v1/a?prefix=x+y%26')
    expect(withQuery('/v1/a?prefix=x&limit=1', 'prefix', '')).toBe('/v1/a?limit=1')
    expect(withQuery('/v1/a?prefix=x', 'prefix', '')).toBe('/v1/a')
  })
})

test('a line of curl is quoted for a shell, and has the name of a token instead of the token', () => {
  const draft = {
    method: 'PUT',
    target: '/v1/a/b?x=1&y',
    headers: [['X', "it's"]],
    body: '{"a": 1}',
  } as const
  const line = curlOf(draft, 'http://h:1', 'secret')
  expect(line).toBe(
    `curl -X PUT 'http://h:1/v1/a/b?x=1&y' -H "Authorization: Bearer $KVIST_TOKEN" -H 'X: it'\\''s' --data-raw '{"a": 1}'`,
  )
  expect(curlOf({ ...draft, method: 'HEAD', headers: [], body: '', target: '/v1' }, 'http://h', null)).toBe(
    'curl -I http://h/v1',
  )
})
