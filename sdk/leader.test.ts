import { afterEach, expect, test } from 'bun:test'
import { Kvist } from './client.ts'

/** Writes that a follower sends to its leader. */

const servers: { stop(now: boolean): unknown }[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.stop(true)
})

interface Seen {
  readonly method: string
  readonly path: string
  readonly token: string | null
  readonly body: string
}

/** Starts a server that gives these responses, the last one again and again. */
function responding(...responses: (() => Response)[]) {
  const seen: Seen[] = []
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const { pathname, search } = new URL(request.url)
      const token = request.headers.get('authorization')
      seen.push({ method: request.method, path: pathname + search, token, body: await request.text() })
      return responses[Math.min(seen.length, responses.length) - 1]!()
    },
  })
  servers.push(server)
  return { url: server.url.origin, seen }
}

const stored = () => Response.json({ key: 'k', revision: 1 })
const redirect =
  (to: string, headers: Record<string, string> = { 'Kvist-Leader': new URL(to).origin }, status = 307) =>
  () =>
    new Response('{}', { status, headers: { Location: to, ...headers } })

test('a write goes to the leader whole, with the token', async () => {
  const leader = responding(stored)
  const follower = responding(redirect(`${leader.url}/v1/c/k?expire_in=60`))
  const c = new Kvist(follower.url, { token: 'secret' }).collection('c')
  expect(await c.put('k', { a: 1 }, { expireIn: 60 })).toMatchObject({ revision: 1 })
  const sent = { method: 'PUT', path: '/v1/c/k?expire_in=60', token: 'Bearer secret', body: '{"a":1}' }
  expect(follower.seen).toEqual([sent])
  expect(leader.seen).toEqual([sent])
})

test('every write does: batches, drops, imports, settings, tokens', async () => {
  const leader = responding(() =>
    Response.json({ revisions: [], values: [], stored: 1, failed: [], deleted: 1 }),
  )
  const follower = responding(redirect(`${leader.url}/x`))
  const kvist = new Kvist(follower.url)
  await kvist.batch({ operations: [] })
  await kvist.collection('c').drop({ prefix: 'a' })
  await kvist.collection('c').setSettings({})
  await kvist.collection('c').import([{ key: 'k', value: 1 }])
  await kvist.tokens.revoke('abc')
  const asked = leader.seen.map(({ method, path }) => `${method} ${path}`)
  expect(asked).toEqual(follower.seen.map(({ method, path }) => `${method} ${path}`))
  expect(asked).toHaveLength(5)
})

test('a read follows no leader', async () => {
  const leader = responding(stored)
  const follower = responding(redirect(`${leader.url}/v1/c/k`))
  await new Kvist(follower.url, { token: 'secret' })
    .collection('c')
    .get('k')
    .catch(() => {})
  expect(leader.seen.map(({ token }) => token)).toEqual([null])
})

test.each<[string, (to: string) => () => Response]>([
  ['without the header', (to) => redirect(`${to}/login`, {})],
  ['with a header for another server', (to) => redirect(`${to}/login`, { 'Kvist-Leader': 'http://leader' })],
  ['with another status', (to) => redirect(`${to}/login`, { 'Kvist-Leader': to }, 302)],
])('a redirect %s does not get the token', async (_name, redirected) => {
  const elsewhere = responding(stored)
  const proxy = responding(redirected(elsewhere.url))
  await new Kvist(proxy.url, { token: 'secret' }).collection('c').put('k', 1)
  expect(elsewhere.seen.map(({ token }) => token)).toEqual([null])
})

test('a redirect of a proxy on the same server is followed, as before', async () => {
  const server = responding(redirect('/v1/c/moved', {}, 308), stored)
  expect(await new Kvist(server.url, { token: 't' }).collection('c').put('k', 1)).toMatchObject({
    revision: 1,
  })
  expect(server.seen.length).toBeGreaterThanOrEqual(2)
})

test('the token is not sent from TLS to a leader without', async () => {
  const leader = responding(stored)
  const asked: string[] = []
  const fetched = async (url: string, init: RequestInit) => {
    asked.push(url)
    return url.startsWith('https:') ? redirect(`${leader.url}/v1/c/k`)() : fetch(url, init)
  }
  const secret = new Kvist('https://follower', { token: 'secret', fetch: fetched, retries: 0 })
  await expect(secret.collection('c').put('k', 1)).rejects.toMatchObject({ code: 'not_leader' })
  expect(asked).toEqual(['https://follower/v1/c/k'])
  const open = new Kvist('https://follower', { fetch: fetched })
  expect(await open.collection('c').put('k', 1)).toMatchObject({ revision: 1 })
})

test('servers that send writes in circles are an error, not an endless loop', async () => {
  const one = responding(() => redirect(`${other.url}/v1/c/k`)())
  const other = responding(() => redirect(`${one.url}/v1/c/k`)())
  const kvist = new Kvist(one.url, { retries: 0 })
  await expect(kvist.collection('c').put('k', 1)).rejects.toMatchObject({ code: 'not_leader' })
  expect(one.seen.length + other.seen.length).toBeLessThan(6)
})

test('a browser, which shows nothing of a redirect, is sent to the leader by the error', async () => {
  const opaque = Object.defineProperty(new Response(null), 'type', { value: 'opaqueredirect' })
  const kvist = new Kvist('http://follower', { fetch: async () => opaque, retries: 0 })
  await expect(kvist.collection('c').put('k', 1)).rejects.toMatchObject({ code: 'not_leader' })
})
