import { expect, test } from 'bun:test'
import { responseOf } from './response.ts'
import type { Method, Route } from './route.ts'
import { routerOf } from './router.ts'

function routes(...lines: string[]): Route[] {
  return lines.map((line) => {
    const [method, path] = line.split(' ') as [Method, string]
    return { method, path, access: 'read', summary: line, handle: () => responseOf(200) }
  })
}

function found(all: Route[], path: string) {
  const match = routerOf(all, ({ summary }) => summary).match(path)
  if (match === null) return null
  const { names, pattern } = match.endpoint
  return [pattern, Object.fromEntries(names.map((name, i) => [name, match.values[i]]))]
}

test('what is fixed wins over parameters, and these over the rest of a path, whatever comes first', () => {
  const all = routes(
    'GET /v1/:c/*',
    'GET /v1/:c/:k',
    'GET /v1/_batch',
    'GET /v1/:c',
    'GET /',
    'GET /v1/_x/:c',
  )
  for (const table of [all, all.toReversed()]) {
    expect(found(table, '/v1/_batch')).toEqual(['/v1/_batch', {}])
    expect(found(table, '/v1/a')).toEqual(['/v1/:c', { c: 'a' }])
    expect(found(table, '/v1/a/b')).toEqual(['/v1/:c/:k', { c: 'a', k: 'b' }])
    expect(found(table, '/v1/a/b/')).toEqual(['/v1/:c/*', { c: 'a', '*': 'b/' }])
    expect(found(table, '/v1/a/')).toEqual(['/v1/:c/*', { c: 'a', '*': '' }])
    expect(found(table, '/v1/_x/a')).toEqual(['/v1/_x/:c', { c: 'a' }])
    // Where what is fixed leads nowhere, a parameter takes it.
    expect(found(table, '/v1/_x/a/b')).toEqual(['/v1/:c/*', { c: '_x', '*': 'a/b' }])
    expect(found(table, '/v1/_x')).toEqual(['/v1/:c', { c: '_x' }])
    expect(found(table, '/')).toEqual(['/', {}])
  }
})

test('what is nowhere is not found, and nothing is decoded', () => {
  const all = routes('GET /a', 'GET /b/:c')
  for (const path of ['/', '/a/', '/a/b', '/b', '/b/', '/b/c/d', '*', '', '/%61', '/A']) {
    expect([path, found(all, path)]).toEqual([path, null])
  }
  expect(found(all, '/b/%2F')).toEqual(['/b/:c', { c: '%2F' }])
})

test('of two routes for one request the first counts; parameters of one endpoint have one name', () => {
  const [first, second] = [routes('GET /a')[0]!, routes('GET /a')[0]!]
  const router = routerOf([first, second], (route) => route)
  expect(router.match('/a')!.endpoint.methods.get('GET')).toBe(first)
  expect(() => routerOf(routes('GET /:a', 'PUT /:b'), () => 0)).toThrow('/:a and /:b')
})
