import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startServer, type TestServer } from '../test/support/server.ts'
import {
  type Collection,
  Kvist,
  KvistError,
  KvistHttpError,
  KvistInputError,
  KvistNotFoundError,
  KvistPreconditionError,
  KvistValueError,
} from './client.ts'

/** Every call of the client, against a real server. */

let server: TestServer
let kvist: Kvist
beforeAll(async () => {
  server = await startServer()
  kvist = new Kvist(`${server.url}/`)
})
afterAll(() => server.remove())

interface User {
  readonly name: string
  readonly age?: number
}

let collections = 0
function newCollection<T>(): Collection<T> {
  return kvist.collection<T>(`c${++collections}`)
}

/** What a promise was rejected with. */
async function errorOf(promise: Promise<unknown>): Promise<KvistError> {
  const error = await promise.then(
    () => null,
    (error: unknown) => error,
  )
  if (!(error instanceof KvistError)) throw new Error(`not refused, or not so: ${error}`)
  return error
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

function secondAfter(time: string): string {
  return new Date((Math.floor(Date.parse(time) / 1000) + 1) * 1000).toISOString()
}

test('a value comes back as it was put, with what is known of it', async () => {
  const users = newCollection<User>()
  expect(await users.get('ada')).toBeNull()
  expect(await users.head('ada')).toBeNull()
  expect(await users.getText('ada')).toBeNull()
  expect(await users.getRaw('ada')).toBeNull()

  const stored = await users.put('ada', { name: 'Ada' }, { expireAt: '2999-01-01T00:00:00Z' })
  expect(stored).toEqual({
    key: 'ada',
    revision: expect.any(Number),
    created_at: expect.stringMatching(/^2\d{3}-.*Z$/),
    updated_at: stored.created_at,
    expires_at: '2999-01-01T00:00:00.000Z',
    content_type: 'application/json',
  })
  const metadata = {
    key: 'ada',
    revision: stored.revision,
    expires_at: stored.expires_at,
    content_type: 'application/json',
  }
  const [found, head] = [await users.get('ada'), await users.head('ada')]
  expect(found).toMatchObject({ ...metadata, value: { name: 'Ada' } })
  expect(head).toMatchObject(metadata)
  // The first whole second after the write, once that has come.
  for (const read of [found, head])
    expect([null, secondAfter(stored.updated_at)]).toContain(read?.modified_at ?? null)

  const forever = await users.put('ada', { name: 'Ada', age: 36 })
  expect(forever.revision).toBeGreaterThan(stored.revision)
  expect((await users.get('ada'))?.expires_at).toBeNull()
})

test('keys may have anything in them that a URL can say', async () => {
  const odd = newCollection<number>()
  const keys = [
    'a/b',
    'a b',
    '%2F',
    '?x=1#y',
    'ü🌿',
    '"',
    '\\',
    "it's",
    '+',
    '..a',
    '...',
    '.',
    '..',
    '\u0001',
  ]
  for (const [i, key] of keys.entries()) await odd.put(key, i)
  for (const [i, key] of keys.entries()) expect((await odd.get(key))?.value).toBe(i)
  expect((await all(odd.list())).map(({ key }) => key).toSorted()).toEqual(keys.toSorted())

  for (const key of ['', '\ud800']) expect(await errorOf(odd.put(key, 1))).toBeInstanceOf(KvistInputError)
  for (const name of ['', '..', '_changes', 'a/b', 'a\n', '\udfff'])
    expect(() => kvist.collection(name)).toThrow(KvistInputError)
})

test('text that JSON.parse would change can be had as it is', async () => {
  const numbers = newCollection<unknown>()
  const text = '{"big": 12345678901234567890,  "exact": 1.0}'
  await numbers.putRaw('n', text, 'application/json')
  expect(await numbers.getText('n')).toBe(text)
  expect((await numbers.get('n'))?.value).toEqual({ big: 12345678901234567000, exact: 1 })
})

test('bytes are bytes, in get, list, export, changes and watch', async () => {
  const pictures = newCollection<Uint8Array>()
  const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i % 256)
  await pictures.put('plain', bytes)
  await pictures.put('typed', bytes.subarray(1), { contentType: 'image/png' })
  expect(await pictures.get('plain')).toMatchObject({
    value: bytes,
    content_type: 'application/octet-stream',
  })
  expect(await pictures.get('typed')).toMatchObject({ value: bytes.subarray(1), content_type: 'image/png' })
  const listed = await all(pictures.list())
  expect(listed.map(({ value }) => value)).toEqual([bytes, bytes.subarray(1)])
  expect((await all(pictures.export({ include: 'values' })))[1]).toEqual({
    key: 'typed',
    value: bytes.subarray(1),
    content_type: 'image/png',
    expires_at: null,
  })

  const copy = newCollection<Uint8Array>()
  const whole = await all(pictures.list({ include: 'all' }))
  expect(whole[1]).toMatchObject({
    flags: 0,
    origin: { node: expect.any(String), clock: expect.any(Number) },
  })
  for (const members of [listed, whole]) expect(await copy.import(members)).toEqual({ stored: 2, failed: [] })
  expect(await copy.get('typed')).toMatchObject({ value: bytes.subarray(1), content_type: 'image/png' })
  expect(await copy.import([{ key: 'untyped', value: bytes }])).toEqual({ stored: 1, failed: [] })
  expect(await copy.get('untyped')).toMatchObject({ value: bytes, content_type: 'application/octet-stream' })
  for (const changes of [all(copy.changes()), first(copy.watch({ since: 0 }), 3)]) {
    const puts = (await changes).map((change) => (change.type === 'put' ? change.value : null))
    expect(puts).toEqual([bytes, bytes.subarray(1), bytes])
  }

  const raw = await pictures.getRaw('typed')
  expect(raw?.content_type).toBe('image/png')
  expect(Buffer.concat(await all(raw?.bytes ?? (async function* () {})()))).toEqual(
    Buffer.from(bytes.subarray(1)),
  )
})

async function first<T>(items: AsyncIterable<T>, count: number): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) if (found.push(item) === count) break
  return found
}

test('what is no JSON is refused before it is sent', async () => {
  const some = newCollection<unknown>()
  expect(await errorOf(some.put('k', undefined))).toMatchObject({ code: 'invalid_input', status: null })
  expect(await errorOf(some.add(() => 1))).toBeInstanceOf(KvistInputError)
  expect(await errorOf(some.import([{ key: 'k', value: Symbol('s') }]))).toBeInstanceOf(KvistInputError)
  const put = { op: 'put', collection: 'c', key: 'k' } as const
  expect(await errorOf(kvist.batch({ operations: [{ ...put, value: undefined }] }))).toBeInstanceOf(
    KvistInputError,
  )
})

test('conditions: only over a revision, only where there is something, only where there is nothing', async () => {
  const users = newCollection<User>()
  const missing = await errorOf(users.put('ada', { name: 'A' }, { ifRevision: 'any' }))
  expect(missing).toBeInstanceOf(KvistPreconditionError)
  expect(missing).toMatchObject({ code: 'precondition_failed', status: 412, revision: null })

  const { revision } = await users.put('ada', { name: 'A' }, { create: true })
  expect(await errorOf(users.put('ada', { name: 'B' }, { create: true }))).toMatchObject({ revision })
  const next = await users.put('ada', { name: 'C' }, { ifRevision: revision })
  for (const stale of [
    () => users.put('ada', { name: 'D' }, { ifRevision: revision }),
    () => users.patch('ada', { name: 'D' }, { ifRevision: revision }),
    () => users.delete('ada', { ifRevision: revision }),
  ])
    expect(await errorOf(stale())).toMatchObject({ name: 'KvistPreconditionError', revision: next.revision })
  expect(await users.delete('ada', { ifRevision: next.revision })).toBe(true)
  expect(await users.delete('ada')).toBe(false)
})

test('parts of a value: merge patch, JSON patch, increment', async () => {
  const users = newCollection<User & { readonly logins?: number; readonly tags?: readonly string[] }>()
  await users.patch('ada', { name: 'Ada', age: 36, tags: ['a'] }, { expireIn: '1h' })
  const { expires_at } = await users.patch('ada', { age: null })
  expect(Date.parse(expires_at ?? '')).toBeGreaterThan(Date.now())
  await users.jsonPatch('ada', [
    { op: 'test', path: '/name', value: 'Ada' },
    { op: 'add', path: '/tags/-', value: 'b' },
  ])
  await users.increment('ada', 2, { path: '/logins' })
  await users.increment('ada', -0.5, { path: '/logins' })
  expect((await users.get('ada'))?.value).toEqual({ name: 'Ada', tags: ['a', 'b'], logins: 1.5 })
  const counts = newCollection<number>()
  await counts.increment('n')
  await counts.increment('n')
  expect((await counts.get('n'))?.value).toBe(2)

  const failing = [{ op: 'test', path: '/name', value: 'Bob' }] as const
  expect(await errorOf(users.jsonPatch('ada', failing))).toMatchObject({ code: 'conflict', status: 409 })
  expect(await errorOf(users.jsonPatch('nobody', failing))).toBeInstanceOf(KvistNotFoundError)
  expect(await errorOf(counts.increment('n', 1, { path: '/x' }))).toMatchObject({ code: 'unprocessable' })
})

test('a value is added under a new key that grows', async () => {
  const events = newCollection<number>()
  const a = await events.add(1, { expireIn: 60 })
  const b = await events.add(2)
  expect([a.expires_at === null, b.expires_at, b.key > a.key]).toEqual([false, null, true])
  expect((await all(events.list())).map(({ value }) => value)).toEqual([1, 2])
})

test('lists select, turn around, stop, and show what is asked for', async () => {
  const many = newCollection<{ n: number }>()
  const items = Array.from({ length: 2500 }, (_, n) => ({
    key: `k${String(n).padStart(4, '0')}`,
    value: { n },
  }))
  expect(await many.import(items)).toEqual({ stored: 2500, failed: [] })

  expect((await all(many.list({ include: 'keys' }))).map(({ key }) => key)).toEqual(
    items.map(({ key }) => key),
  )
  const shown = items.map((item) => ({ ...item, expires_at: null }))
  expect(await all(many.list({ include: 'values' }))).toEqual(shown)
  expect(await all(many.export({ include: 'values' }))).toEqual(shown)
  expect(await all(many.list({ order: 'desc', limit: 2, include: 'keys' }))).toEqual([
    { key: 'k2499' },
    { key: 'k2498' },
  ])
  const numbers = async (members: AsyncIterable<{ value: { n: number } }>) =>
    (await all(members)).map(({ value }) => value.n)
  expect(await numbers(many.list({ prefix: 'k000', from: 'k0003', to: 'k0006' }))).toEqual([3, 4, 5])
  expect(await numbers(many.list({ filter: 'k?12?', match: '12??' }))).toEqual([])
  expect(await numbers(many.list({ filter: 'k?12?', match: '112?', limit: 3 }))).toEqual([1120, 1121, 1122])
  expect(await numbers(many.export({ match: '7' }))).toEqual([7])

  const page = await many.page({ limit: 2 })
  expect(page.members).toMatchObject([
    { key: 'k0000', value: { n: 0 }, revision: expect.any(Number) },
    { key: 'k0001' },
  ])
  const next = await many.page({ limit: 2, cursor: page.next ?? '' })
  expect(next.members.map(({ key }) => key)).toEqual(['k0002', 'k0003'])
  expect(await many.drop({ prefix: 'k1' })).toBe(1000)
  expect(await many.drop()).toBe(1500)
  expect(await many.page()).toEqual({ members: [], next: null })
})

test('an import takes what comes in time, and names the bad ones by their number over all chunks', async () => {
  const many = newCollection<string>()
  const filler = 'x'.repeat(2000)
  async function* items() {
    for (let i = 0; i < 3000; i++) {
      if (i % 1000 === 0) await Bun.sleep(1)
      yield { key: i === 0 || i === 2999 ? '' : `k${i}`, value: filler }
    }
  }
  const { stored, failed } = await many.import(items())
  expect({ stored, failed: failed.map(({ line, code }) => [line, code]) }).toEqual({
    stored: 2998,
    failed: [
      [1, 'invalid_key'],
      [3000, 'invalid_key'],
    ],
  })
  const bad = await many.import(Array.from({ length: 2600 }, () => ({ key: '', value: filler })))
  expect([bad.stored, bad.failed.length, bad.failed.at(-1)?.line, bad.failed_more]).toEqual([
    0, 1000, 1000, 1600,
  ])
  expect(await many.import([])).toEqual({ stored: 0, failed: [] })
  const expiring = await many.import([
    { key: 'soon', value: '', expire_in: '1h' },
    { key: 'k', value: '', flags: 7 },
  ])
  expect(expiring.stored).toBe(2)
  expect((await many.head('soon'))?.expires_at).not.toBeNull()
})

test('a batch does all or nothing', async () => {
  const a = newCollection<number>()
  const b = newCollection<number>()
  const results = await kvist.batch({
    checks: [{ collection: a.name, key: 'x', revision: null }],
    operations: [
      { op: 'put', collection: a.name, key: 'x', value: 1, expire_in: '1h' },
      { op: 'increment', collection: b.name, key: 'n', by: 5 },
      { op: 'delete', collection: b.name, key: 'nothing' },
    ],
  })
  expect(results).toEqual([
    { revision: expect.any(Number) },
    { revision: expect.any(Number), value: 5 },
    { revision: 0 },
  ])
  expect([(await a.get('x'))?.value, (await b.get('n'))?.value]).toEqual([1, 5])
  const failed = await errorOf(
    kvist.batch({
      checks: [{ collection: a.name, key: 'x', revision: 1 }],
      operations: [{ op: 'delete', collection: a.name, key: 'x' }],
    }),
  )
  expect(failed).toBeInstanceOf(KvistPreconditionError)
  expect(failed).toMatchObject({ member: { collection: a.name, key: 'x' }, revision: results[0].revision })
  expect((await a.get('x'))?.value).toBe(1)
})

test('collections and their settings', async () => {
  const some = newCollection<number>()
  await some.put('k', 1)
  expect(
    (await all(kvist.collections({ prefix: some.name }))).find(({ name }) => name === some.name),
  ).toEqual({
    name: some.name,
    members: 1,
    bytes: 2,
  })
  const unset = await some.settings()
  expect(unset).toEqual({
    processes: null,
    default_ttl: null,
    sliding: false,
    schema: null,
    max_members: null,
    max_bytes: null,
    max_value_bytes: null,
    indexes: [],
    revision: null,
  })
  const revision: number = expect.any(Number)
  const set = { ...unset, revision, processes: ['mark'], default_ttl: 3600, sliding: true }
  expect(await some.setSettings({ processes: ['mark'], default_ttl: '1h', sliding: true })).toEqual(set)
  expect(await some.settings()).toEqual(set)
  const quota = { ...unset, revision, max_members: 1, max_bytes: 65_536, max_value_bytes: 1000 }
  expect(await some.setSettings({ max_members: 1, max_bytes: '64KiB', max_value_bytes: 1000 })).toEqual(quota)
  const refused = await some.put('another', 1).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(KvistHttpError)
  expect(refused).toMatchObject({ status: 422, code: 'quota_exceeded' })
  expect((refused as KvistHttpError).problem).toMatchObject({ quota: 'max_members', limit: 1, used: 1 })
  expect(await some.setSettings({})).toEqual({ ...unset, revision })
})

test('settings are replaced only at the revision that is known', async () => {
  const some = newCollection<number>()
  const unset = await some.settings()
  const first = await some.setSettings({ ...unset, max_members: 1 }, { ifRevision: unset.revision })
  const second = await some.setSettings({ ...first, default_ttl: 60 }, { ifRevision: first.revision })
  expect(second).toMatchObject({ max_members: 1, default_ttl: 60 })
  for (const ifRevision of [unset.revision, first.revision]) {
    const late = await some.setSettings({}, { ifRevision }).catch((error: unknown) => error)
    expect(late).toBeInstanceOf(KvistPreconditionError)
    expect(late).toMatchObject({ revision: second.revision })
  }
  expect(await some.settings()).toEqual(second)
})

test('collections come page by page', async () => {
  const names = ['pages-a', 'pages-b', 'pages-c']
  for (const name of names) await kvist.collection(name).put('k', 1)
  const first = await kvist.collectionsPage({ prefix: 'pages-', limit: 2 })
  expect([first.collections.map(({ name }) => name), typeof first.next]).toEqual([
    names.slice(0, 2),
    'string',
  ])
  const second = await kvist.collectionsPage({ prefix: 'pages-', limit: 2, cursor: first.next ?? '' })
  expect(second).toEqual({ collections: [{ name: 'pages-c', members: 1, bytes: 2 }], next: null })
  expect((await all(kvist.collections({ prefix: 'pages-' }))).map(({ name }) => name)).toEqual(names)
})

test('the feed by page, and to its end', async () => {
  const users = newCollection<User>()
  for (let i = 0; i < 25; i++) await users.put(`u${i}`, { name: `${i}` })
  await users.put('u3', { name: 'new' })
  await users.delete('u4')
  const page = await users.changesPage({ limit: 3 })
  expect(page.changes.map(({ key }) => key)).toEqual(['u0', 'u1', 'u2'])
  expect(page.next).toBe(String(page.changes[2]?.revision))

  const rest = await all(users.changes({ since: page.next, limit: 10 }))
  expect(rest.map(({ key, type }) => `${type} ${key}`).slice(-3)).toEqual(['put u24', 'put u3', 'delete u4'])
  expect(rest).toHaveLength(22)
  expect(rest.at(-2)).toEqual({
    type: 'put',
    revision: expect.any(Number),
    collection: users.name,
    key: 'u3',
    value: { name: 'new' },
    created_at: expect.any(String),
    updated_at: expect.any(String),
    expires_at: null,
    content_type: 'application/json',
  })
  expect((await all(users.changes({ prefix: 'u1', filter: '*0' }))).map(({ key }) => key)).toEqual(['u10'])
  expect((await all(kvist.changes({ since: rest.at(-2)?.revision }))).map(({ key }) => key)).toEqual(['u4'])
  expect(await all(newCollection().changes())).toEqual([])
})

test('a long poll waits for the next state', async () => {
  const users = newCollection<User>()
  const created = users.getWhenChanged('ada', null, { waitMs: 20_000 })
  await Bun.sleep(50)
  const { revision } = await users.put('ada', { name: 'Ada' })
  expect(await created).toMatchObject({ value: { name: 'Ada' }, revision })
  expect(await users.getWhenChanged('ada', revision, { waitMs: 20 })).toBe('unchanged')
  expect(await users.getWhenChanged('bob', null, { waitMs: 20 })).toBe('unchanged')
  expect(await users.getWhenChanged('ada', 1, { waitMs: 20_000 })).toMatchObject({ revision })
  const deleted = users.getWhenChanged('ada', revision, { waitMs: 20_000 })
  await Bun.sleep(50)
  await users.delete('ada')
  expect(await deleted).toBeNull()
})

test('parse is called on each value, wherever it comes from', async () => {
  const name = newCollection<unknown>().name
  const users = kvist.collection(name, {
    parse(value): User {
      if (typeof value === 'object' && value !== null && 'name' in value && typeof value.name === 'string')
        return { name: value.name.toUpperCase() }
      throw new Error('that is nobody')
    },
  })
  await users.put('ada', { name: 'ada' })
  expect((await users.get('ada'))?.value).toEqual({ name: 'ADA' })
  const sources = [users.list(), users.list({ include: 'values' }), users.export(), users.watch({ since: 0 })]
  for (const source of sources)
    expect((await first<object>(source, 1))[0]).toMatchObject({ value: { name: 'ADA' } })
  expect((await all(users.changes()))[0]).toMatchObject({ value: { name: 'ADA' } })
  expect(await all(users.list({ include: 'keys' }))).toEqual([{ key: 'ada' }])
  expect(await users.getWhenChanged('ada', null)).toMatchObject({ value: { name: 'ADA' } })

  await kvist.collection(name).put('bob', 7)
  // All of them are listened to from the beginning: the first to fail need not be the first that is asked.
  const errors = [
    users.get('bob'),
    all(users.list()),
    all(users.export()),
    first(users.watch({ since: 0 }), 9),
  ].map((reading) => errorOf(reading))
  for (const error of await Promise.all(errors)) {
    expect(error).toBeInstanceOf(KvistValueError)
    expect(error).toMatchObject({ key: 'bob', code: 'invalid_value', cause: { message: 'that is nobody' } })
  }
})

test('a refusal has its status, its code and the whole problem', async () => {
  const error = await errorOf(kvist.collection('c').put('k', 1, { expireIn: '9999999d' }))
  expect(error).toBeInstanceOf(KvistHttpError)
  expect(error).toMatchObject({
    name: 'KvistHttpError',
    status: 400,
    code: 'invalid_parameter',
    retryAfterSeconds: null,
  })
  expect(error.problem).toMatchObject({
    type: 'urn:kvist:invalid_parameter',
    title: 'Bad parameter',
    status: 400,
  })
  expect([error.message, error.detail]).toEqual([error.problem?.detail ?? '', error.message])
})

test('a token is sent, and a server that wants one says so', async () => {
  const closed = await startServer({ env: { KVIST_TOKEN: 'sesame' } })
  try {
    expect(await all(new Kvist(closed.url, { token: 'sesame' }).collections())).toEqual([])
    const stranger = new Kvist(closed.url).collection('c')
    expect(await errorOf(stranger.get('k'))).toMatchObject({ status: 401, code: 'unauthorized' })
    expect(await errorOf(first(stranger.watch(), 1))).toMatchObject({ status: 401 })
  } finally {
    await closed.remove()
  }
})

test('a URL is one of http, and may have a path', async () => {
  for (const url of [
    '',
    'localhost:7070',
    'ftp://localhost',
    'http://',
    `${server.url}?a`,
    `${server.url}#a`,
  ])
    expect(() => new Kvist(url)).toThrow(KvistInputError)
  using proxy = Bun.serve({
    port: 0,
    fetch: (request) => fetch(server.url + new URL(request.url).pathname.replace('/below', '')),
  })
  expect(new Kvist(`${proxy.url}below//`).url).toBe(`${proxy.url}below`)
  expect(await all(new Kvist(`${proxy.url}below/`).collections())).toEqual(await all(kvist.collections()))
})
