import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Route } from '../src/http/route.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'

/** What each route needs, of all that there are. */

let server: InProcessServer
beforeAll(async () => {
  server = await startInProcess(Date.now, 'a-token')
})
afterAll(() => server.stop())

function namesOf(access: Route['access']): string[] {
  return server.routes
    .filter((route) => route.access === access)
    .map(({ method, path }) => `${method} ${path}`)
}

test('only these are open: health, the pages of the API, and what browsers ask before they send', () => {
  expect(namesOf('open').toSorted()).toEqual(
    [
      'GET /',
      'GET /healthz',
      'GET /readyz',
      'GET /docs',
      'GET /docs/:file',
      'GET /openapi.json',
      'GET /dialects/reforg/docs',
      'GET /dialects/tenantbase/health-check',
      ...['set-value', 'get-value', 'delete-value', 'get-values', 'health-check'].map(
        (name) => `OPTIONS /dialects/tenantbase/${name}`,
      ),
    ].toSorted(),
  )
})

test('only these need admin: settings, and dropping all of a collection', () => {
  expect(namesOf('admin').toSorted()).toEqual(
    [
      'PUT /v1/_collections/:collection',
      'DELETE /v1/_collections/:collection',
      'DELETE /v1/:collection',
      'DELETE /dialects/ozza/:resource',
      'DELETE /dialects/keys/keys',
    ].toSorted(),
  )
})

test('what changes something needs more than reading', () => {
  const reading = namesOf('read').filter((name) => !/^(GET|HEAD) /.test(name))
  // Reads whose question is in the body.
  expect(reading.toSorted()).toEqual(['POST /dialects/tenantbase/get-value', 'POST /v1/_read'])
  expect(namesOf('write').filter((name) => /^(GET|HEAD|OPTIONS) /.test(name))).toEqual([])
})

test('without a token no route is served but those that are open, and with it all are', async () => {
  expect(server.routes.length).toBeGreaterThan(50)
  for (const { method, path, access } of server.routes) {
    const url = server.url + path.replace('*', 'a/b').replaceAll(/:\w+/g, 'x')
    const statusWith = async (headers: Record<string, string>) =>
      (await fetch(url, { method, headers, redirect: 'manual' })).status
    const where = `${method} ${path}`
    expect([where, (await statusWith({})) === 401]).toEqual([where, access !== 'open'])
    expect([where, (await statusWith({ authorization: 'Bearer wrong' })) === 401]).toEqual([
      where,
      access !== 'open',
    ])
    expect([where, (await statusWith({ authorization: 'Bearer a-token' })) === 401]).toEqual([where, false])
  }
})

test('what no route takes tells nobody without a token whether it is there', async () => {
  for (const [method, path] of [
    ['GET', '/nowhere'],
    ['PUT', '/v1'],
    ['GET', '/dialects/ozza'],
  ] as const) {
    expect((await fetch(server.url + path, { method })).status).toBe(401)
  }
})
