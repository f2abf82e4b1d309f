import { expect, test } from 'bun:test'
import { contextOf, requestOf } from '../../test/support/connection.ts'
import { healthRoutes } from './health.ts'

test('a server that stops still lives, but does not serve any more', async () => {
  let ready = true
  const rows = healthRoutes(() => ready)
  const statuses = () =>
    Promise.all(
      rows.map(async ({ path, handle }) => {
        const request = requestOf(`GET ${path} HTTP/1.1`)
        return [path, (await handle(request, contextOf(request))).status]
      }),
    )
  expect(await statuses()).toEqual([
    ['/healthz', 200],
    ['/readyz', 200],
  ])
  ready = false
  expect(await statuses()).toEqual([
    ['/healthz', 200],
    ['/readyz', 503],
  ])
  expect(rows.every(({ access }) => access === 'open')).toBe(true)
})
