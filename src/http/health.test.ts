import { expect, test } from 'bun:test'
import { contextOf, requestOf } from '../../test/support/connection.ts'
import { healthRoutes } from './health.ts'
import type { HttpResponse } from './wire/response.ts'

test('a server that stops, or cannot write, still lives, but says why it is not ready', async () => {
  let reason: string | null = null
  const routes = healthRoutes(() => reason)
  const statuses = () =>
    Promise.all(
      routes.map(async ({ path, handle }) => {
        const request = requestOf(`GET ${path} HTTP/1.1`)
        return [path, ((await handle(request, contextOf(request))) as HttpResponse).status]
      }),
    )
  expect(await statuses()).toEqual([
    ['/healthz', 200],
    ['/readyz', 200],
  ])
  reason = 'the disk is full'
  expect(await statuses()).toEqual([
    ['/healthz', 200],
    ['/readyz', 503],
  ])
  const request = requestOf('GET /readyz HTTP/1.1')
  expect(((await routes[1]!.handle(request, contextOf(request))) as HttpResponse).body).toBe(
    'the disk is full\n',
  )
  expect(routes.every(({ access }) => access === 'open')).toBe(true)
})
