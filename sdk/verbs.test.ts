import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startServer, type TestServer } from '../test/support/server.ts'
import { type Collection, Kvist, KvistPreconditionError } from './client.ts'

/** Many at once, touches, counters, batches with bytes, levels of keys, retries by key: against a real server. */

let server: TestServer
let kvist: Kvist
beforeAll(async () => {
  server = await startServer()
  kvist = new Kvist(server.url)
})
afterAll(() => server.remove())

let collections = 0
function newCollection<T>(): Collection<T> {
  return kvist.collection<T>(`verbs${++collections}`)
}

test('getMany gives members in the order of the keys, null for what is missing', async () => {
  const c = newCollection<unknown>()
  const { revision } = await c.put('a', { n: 1 })
  await c.put('bytes', Uint8Array.of(0, 255))
  await c.put('..', 2, { expireIn: '1h' })
  await c.putText('text', 'grün', { contentType: 'text/html' })
  const found = await c.getMany(['..', 'nope', 'a', 'bytes', 'a', 'text'])
  expect(found.map((member) => member?.value ?? null)).toEqual([
    2,
    null,
    { n: 1 },
    Uint8Array.of(0, 255),
    { n: 1 },
    new TextEncoder().encode('grün'),
  ])
  expect(found[2]).toEqual({
    key: 'a',
    value: { n: 1 },
    revision,
    created_at: expect.any(String),
    updated_at: expect.any(String),
    expires_at: null,
    content_type: 'application/json',
  })
  expect(found[0]?.expires_at).toEqual(expect.any(String))
  expect(await c.getMany([])).toEqual([])
  const parsed = kvist.collection(c.name, { parse: (value) => JSON.stringify(value) })
  expect((await parsed.getMany(['a', 'nope']))[0]?.value).toBe('{"n":1}')

  const other = newCollection<number>()
  await other.put('x', 7)
  const refs = [
    { collection: other.name, key: 'x' },
    { collection: c.name, key: 'a' },
    { collection: 'nowhere', key: 'a' },
  ]
  expect((await kvist.getMany(refs)).map((member) => member?.value)).toEqual([7, { n: 1 }, undefined])
})

test('a touch changes the expiry of any kind of value, and nothing else', async () => {
  const c = newCollection<unknown>()
  const values: [string, () => Promise<{ revision: number }>][] = [
    ['object', () => c.put('object', { n: 1 })],
    ['number', () => c.put('number', 5)],
    ['bytes', () => c.put('bytes', Uint8Array.of(1))],
    ['text', () => c.putText('text', 'hello')],
    ['.', () => c.put('.', null)],
  ]
  for (const [key, put] of values) {
    const { revision } = await put()
    const before = await c.getText(key)
    const touched = await c.touch(key, { expireIn: '1h' })
    expect([key, touched?.revision]).toEqual([key, revision])
    expect(Date.parse(touched?.expires_at ?? '') - Date.now()).toBeWithin(3_500_000, 3_600_001)
    const at = new Date('2999-01-01T00:00:00Z')
    expect((await c.touch(key, { expireAt: at }))?.expires_at).toBe(at.toISOString())
    expect((await c.touch(key, { expireIn: 'never' }))?.expires_at).toBeNull()
    await c.touch(key, { expireIn: 60 })
    expect((await c.touch(key, { expireAt: null }))?.expires_at).toBeNull()
    expect([await c.getText(key), (await c.head(key))?.revision]).toEqual([before, revision])
  }
  expect(await c.touch('nope', { expireIn: 5 })).toBeNull()
  const { revision } = await c.put('k', 1)
  await expect(c.touch('k', { expireIn: 5, ifRevision: revision + 1 })).rejects.toBeInstanceOf(
    KvistPreconditionError,
  )
  expect((await c.touch('k', { expireIn: 5, ifRevision: revision }))?.expires_at).toEqual(expect.any(String))
})

test('a merge patch that changes nothing but the expiry keeps what is no object', async () => {
  const c = newCollection<unknown>()
  await c.put('number', 5)
  await c.putText('text', 'hello')
  for (const key of ['number', 'text']) {
    const before = await c.getText(key)
    expect((await c.patch(key, {}, { expireIn: '1h' })).expires_at).toEqual(expect.any(String))
    expect(await c.getText(key)).toBe(before)
  }
  await c.put('object', { a: 1 })
  expect((await c.patch('object', {}, { expireIn: '1h' })).expires_at).toEqual(expect.any(String))
  expect((await c.get('object'))?.value).toEqual({ a: 1 })
})

test('an increment resolves with the number, and sets an expiry only where it creates', async () => {
  const c = newCollection<unknown>()
  const windows = { ifCreated: { expireIn: '60s' } }
  const first = await c.increment('hits', 1, windows)
  expect([first.value, first.expires_at]).toEqual([1, expect.any(String)])
  const second = await c.increment('hits', 2.5, windows)
  expect([second.value, second.expires_at]).toEqual([3.5, first.expires_at])
  await c.put('page', { views: 1 })
  const views = await c.increment('page', 1, { path: '/views', ...windows })
  expect([views.value, views.expires_at]).toEqual([2, null])
  const at = new Date('2999-01-01T00:00:00Z')
  expect((await c.increment('dated', 1, { ifCreated: { expireAt: at } })).expires_at).toBe(at.toISOString())
})

test('a batch takes bytes, text and times, and resolves with a result for each operation', async () => {
  const c = newCollection<unknown>()
  const collection = c.name
  await c.put('old', 1)
  await c.put('touched', 1)
  const at = new Date('2999-01-01T00:00:00Z')
  const results = await kvist.batch({
    checks: [{ collection, key: 'bytes', revision: null }],
    operations: [
      { op: 'put', collection, key: 'bytes', value: Uint8Array.of(0, 255), content_type: 'image/png' },
      { op: 'put', collection, key: 'text', value: 'grün', content_type: 'text/plain', expire_at: at },
      { op: 'put', collection, key: 'json', value: { a: [1] }, expire_in: 'never' },
      { op: 'increment', collection, key: 'n', by: 5, if_created: { expire_in: '1h' } },
      { op: 'touch', collection, key: 'touched', expire_at: at },
      { op: 'delete', collection, key: 'old' },
      { op: 'delete', collection, key: 'nope' },
    ],
  })
  const number: number = results[3].value // its type is that of an increment
  expect([results.length, number, results[6]]).toEqual([7, 5, { revision: 0 }])
  for (const { revision } of results.slice(0, 6)) expect(revision).toBeGreaterThan(0)
  const found = []
  for (const key of ['bytes', 'text', 'json', 'n', 'touched', 'old']) found.push(await c.get(key))
  expect(found.map((member) => member?.value)).toEqual([
    Uint8Array.of(0, 255),
    new TextEncoder().encode('grün'),
    { a: [1] },
    5,
    1,
    undefined,
  ])
  expect(found.map((member) => member?.content_type).slice(0, 3)).toEqual([
    'image/png',
    'text/plain',
    'application/json',
  ])
  expect([found[1]?.expires_at, found[2]?.expires_at, found[4]?.expires_at]).toEqual([
    at.toISOString(),
    null,
    at.toISOString(),
  ])
  expect(found[3]?.expires_at).toEqual(expect.any(String))
})

test('what was exported is imported as it was, also where a default time to live awaits it', async () => {
  const c = newCollection<unknown>()
  await c.put('json', { n: 1 }, { expireAt: '2999-01-01T00:00:00Z' })
  await c.put('bytes', Uint8Array.of(0, 255), { contentType: 'image/png' })
  await c.putText('text', '\ufeffgrün\r\n', { contentType: 'text/html; charset=utf-8' })
  await c.import([{ key: 'flagged', value: 1, flags: 7, expire_in: 'never' }])
  for (const include of ['values', 'all'] as const) {
    const copy = newCollection<unknown>()
    await copy.setSettings({ default_ttl: '1h' })
    expect(await copy.import(c.export({ include }))).toEqual({ stored: 4, failed: [] })
    expect(await Array.fromAsync(copy.export({ include: 'values' }))).toEqual(
      await Array.fromAsync(c.export({ include: 'values' })),
    )
    expect(await copy.getText('text')).toBe('\ufeffgrün\r\n')
  }
})

test('pages with a delimiter show one level of keys', async () => {
  const c = newCollection<number>()
  const keys = ['a', 'a/1', 'a/2', 'a/b/1', 'b/1', 'c', 'd/x/y/z']
  await c.import(keys.map((key) => ({ key, value: 1 })))
  const level = async (options: object) => {
    const found: string[] = []
    for await (const { members, prefixes } of c.pages({ include: 'keys', delimiter: '/', ...options }))
      found.push(...members.map(({ key }) => key), ...(prefixes ?? []))
    return found.toSorted()
  }
  expect(await level({})).toEqual(['a', 'a/', 'b/', 'c', 'd/'])
  expect(await level({ prefix: 'a/' })).toEqual(['a/1', 'a/2', 'a/b/'])
  expect(await level({ limit: 2 })).toEqual(['a', 'a/'])
  expect((await c.page({ delimiter: '/', limit: 1 })).next).toEqual(expect.any(String))
  expect((await c.page({})).prefixes).toBeUndefined()
})

test('operations of a batch that is not atomic fail by themselves', async () => {
  const c = newCollection<unknown>()
  const collection = c.name
  await c.put('text', 'no number')
  const results = await kvist.batch({
    atomic: false,
    operations: [
      { op: 'put', collection, key: 'a', value: 1 },
      { op: 'increment', collection, key: 'text' },
      { op: 'increment', collection, key: 'n', by: 5 },
    ],
  })
  const number: number | undefined = results[2].value // its type is that of an increment that may have failed
  expect([results.length, number]).toEqual([3, 5])
  expect(results[0].revision).toBeGreaterThan(0)
  expect(results[1]).toEqual({ error: { code: 'unprocessable', detail: expect.any(String) } })
  expect((await c.get('a'))?.value).toBe(1)
  const atomic = kvist.batch({
    atomic: true,
    operations: [
      { op: 'put', collection, key: 'b', value: 1 },
      { op: 'increment', collection, key: 'text' },
    ],
  })
  await expect(atomic).rejects.toMatchObject({ code: 'unprocessable' })
  expect(await c.get('b')).toBeNull()
})
