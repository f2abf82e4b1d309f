import { afterAll, expect, test } from 'bun:test'
import { Kvist } from '../sdk/client.ts'
import { jsonOf, put } from './support/responses.ts'
import { startServer } from './support/server.ts'

/** `GET /v1` by page. */

const server = await startServer()
afterAll(() => server.remove())

interface CollectionsPage {
  readonly collections: { readonly name: string }[]
  readonly next: string | null
}

const names = [...Array.from({ length: 25 }, (_, i) => `c${String(i).padStart(2, '0')}`), 'd', 'å']
const page = (query: string) => jsonOf<CollectionsPage>(fetch(`${server.url}/v1${query}`))

await Promise.all(names.map((name) => put(`${server.url}/v1/${encodeURIComponent(name)}/k`, '1')))

test('pages of collections are all of them, by name, and `next` and Link lead on', async () => {
  const found: string[] = []
  let query = '?limit=7'
  for (;;) {
    const response = await fetch(`${server.url}/v1${query}`)
    const { collections, next } = (await response.json()) as CollectionsPage
    expect(collections.length).toBeLessThanOrEqual(7)
    found.push(...collections.map(({ name }) => name))
    const link = response.headers.get('link')
    if (next === null) {
      expect(link).toBeNull()
      break
    }
    query = `?limit=7&cursor=${encodeURIComponent(next)}`
    expect(link).toBe(`</v1${query}>; rel="next"`)
  }
  expect(found).toEqual(names)
})

test('without a limit a page has as many as a store usually has', async () => {
  const { collections, next } = await page('')
  expect([collections.length, next]).toEqual([names.length, null])
})

test('a prefix selects, and its cursor goes with no other prefix', async () => {
  const { collections, next } = await page('?prefix=c0&limit=3')
  expect(collections.map(({ name }) => name)).toEqual(['c00', 'c01', 'c02'])
  const rest = await page(`?prefix=c0&limit=100&cursor=${encodeURIComponent(next!)}`)
  expect(rest.collections).toHaveLength(7)
  for (const query of [`?cursor=${next}`, `?prefix=c1&cursor=${next}`, '?cursor=x', '?cursor=']) {
    const refused = await fetch(`${server.url}/v1${query}`)
    expect([query, refused.status, ((await refused.json()) as { code: string }).code]).toEqual([
      query,
      400,
      'invalid_cursor',
    ])
  }
})

test('what is no limit, and what is no parameter, is refused', async () => {
  for (const query of ['?limit=0', '?limit=10001', '?limit=x', '?limit=', '?filter=c*']) {
    expect([query, (await fetch(`${server.url}/v1${query}`)).status]).toEqual([query, 400])
  }
})

test('the client reads all pages', async () => {
  const found = await Array.fromAsync(new Kvist(server.url).collections())
  expect(found.map(({ name }) => name)).toEqual(names)
})
