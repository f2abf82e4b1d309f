import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Stored } from '../sdk/types.ts'
import { together } from './support/line-differences.ts'
import { countsOf, expectProblem, jsonOf, membersIn, oddJson, put } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'

/** `POST /v1/_batch`: checks and operations together or not at all. */

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.remove())

let collections = 0
function newCollection(): string {
  return together(`batch-${++collections}`)
}

function urlOf(collection: string, key = ''): string {
  return `${server.url}/v1/${collection}${key === '' ? '' : `/${key}`}`
}

function batch(body: unknown): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return fetch(`${server.url}/v1/_batch`, { method: 'POST', body: text })
}

async function revisionsOf(body: unknown): Promise<number[]> {
  return (await jsonOf<{ revisions: number[] }>(batch(body))).revisions
}

async function readText(collection: string, key: string): Promise<string | null> {
  const response = await fetch(urlOf(collection, key))
  return response.ok ? response.text() : null
}

describe('operations', () => {
  test('are done in their order, each with a revision; a delete of nothing has 0', async () => {
    const collection = newCollection()
    await put(urlOf(collection, 'old'), '1')
    const revisions = await revisionsOf({
      operations: [
        { op: 'put', collection, key: 'a', value: { x: 1 } },
        { op: 'put', collection: `${collection}-b`, key: 'a/b c', value: null, expire_in: 3600 },
        { op: 'delete', collection, key: 'old' },
        { op: 'delete', collection, key: 'never' },
        { op: 'put', collection, key: 'a', value: 2 },
        { op: 'increment', collection, key: 'n', path: '/views', by: 2 },
        { op: 'increment', collection, key: 'n', path: '/views' },
        { op: 'increment', collection, key: 'plain' },
      ],
    })
    expect(revisions.length).toBe(8)
    expect(revisions[3]).toBe(0)
    const given = revisions.filter((revision) => revision > 0)
    expect(given.toSorted((a, b) => a - b)).toEqual(given)
    expect(new Set(given).size).toBe(7)
    expect(await readText(collection, 'a')).toBe('2')
    expect(await readText(collection, 'old')).toBeNull()
    expect(await readText(collection, 'n')).toBe('{"views":3}')
    expect(await readText(collection, 'plain')).toBe('1')
    const other = await fetch(urlOf(`${collection}-b`, 'a/b%20c'))
    expect(await other.text()).toBe('null')
    expect(other.headers.get('kvist-expires-at')).not.toBeNull()
    expect((await fetch(urlOf(collection, 'a'))).headers.get('etag')).toBe(`"${revisions[4]}"`)
  })

  test('keep values byte for byte', async () => {
    const collection = newCollection()
    const operations = oddJson.map(
      (text, i) => `{"value":${text},"op":"put","collection":"${collection}","key":"${i}"}`,
    )
    expect((await batch(`{"operations":[${operations.join(',')}]}`)).status).toBe(200)
    for (const [i, text] of oddJson.entries()) expect(await readText(collection, String(i))).toBe(text.trim())
  })

  test('take expire_in and expire_at in every form', async () => {
    const collection = newCollection()
    const at = '2100-01-01T00:00:00.000Z'
    const put = { op: 'put', collection, value: 1 }
    await revisionsOf({
      operations: [
        { ...put, key: 'a', expire_in: 60 },
        { ...put, key: 'b', expire_in: '15m' },
        { ...put, key: 'c', expire_at: at },
        { ...put, key: 'd', expire_at: null },
      ],
    })
    const members = await membersIn(urlOf(collection))
    const lifeSeconds = members.map(
      ({ expires_at }) => expires_at && (Date.parse(String(expires_at)) - Date.now()) / 1000,
    )
    expect(lifeSeconds[0]).toBeWithin(50, 61)
    expect(lifeSeconds[1]).toBeWithin(890, 901)
    expect(members[2]!.expires_at).toBe(at)
    expect(members[3]!.expires_at).toBeNull()
  })

  test('put the flags of memcached clients, 0 unless there are some', async () => {
    const collection = newCollection()
    const put = { op: 'put', collection, value: 1 }
    const flags = [undefined, 0, 7, 4_294_967_295]
    await revisionsOf({ operations: flags.map((some, i) => ({ ...put, key: `${i}`, flags: some })) })
    const members = await membersIn(`${urlOf(collection)}?include=all`)
    expect(members.map((member) => member.flags)).toEqual([0, 0, 7, 4_294_967_295])
    for (const bad of [-1, 1.5, 4_294_967_296, '7', null]) {
      const response = await batch(JSON.stringify({ operations: [{ ...put, key: 'bad', flags: bad }] }))
      expect([response.status, ((await response.json()) as { detail: string }).detail]).toEqual([
        400,
        '"flags" is not a number of 32 bits',
      ])
    }
  })

  test('an empty batch does nothing', async () => {
    expect(await revisionsOf({})).toEqual([])
    expect(await revisionsOf({ checks: [], operations: [] })).toEqual([])
  })
})

describe('increment', () => {
  test('changes the number alone, and keeps type and expiry', async () => {
    const collection = newCollection()
    await put(
      `${urlOf(collection, 'a')}?expire_at=2100-01-01T00:00:00Z`,
      '{ "n" : 1, "big": 12345678901234567890 }',
      {
        'content-type': 'application/x+json',
      },
    )
    await revisionsOf({ operations: [{ op: 'increment', collection, key: 'a', path: '/n', by: -3 }] })
    const got = await fetch(urlOf(collection, 'a'))
    expect(await got.text()).toBe('{ "n" : -2, "big": 12345678901234567890 }')
    expect(got.headers.get('content-type')).toBe('application/x+json')
    expect(got.headers.get('kvist-expires-at')).toBe('2100-01-01T00:00:00.000Z')
  })

  test('loses nothing when many do it at once', async () => {
    const collection = newCollection()
    const add = { operations: [{ op: 'increment', collection, key: 'n', by: 1 }] }
    const responses = await Promise.all(Array.from({ length: 60 }, () => batch(add)))
    expect(responses.map(({ status }) => status)).toEqual(responses.map(() => 200))
    expect(await readText(collection, 'n')).toBe('60')
  })

  test('of what cannot be added to is 422, and nothing of the batch is done', async () => {
    const collection = newCollection()
    await put(urlOf(collection, 'text'), '"x"')
    await put(urlOf(collection, 'bytes'), '1', { 'content-type': 'text/plain' })
    await put(urlOf(collection, 'huge'), '9007199254740991')
    for (const [key, path] of [
      ['text', ''],
      ['text', '/a'],
      ['bytes', ''],
      ['huge', ''],
      ['none', '/a/b'],
    ]) {
      const operations = [
        { op: 'put', collection, key: 'other', value: 1 },
        { op: 'increment', collection, key, path },
      ]
      await expectProblem(await batch({ operations }), 422, 'unprocessable')
      expect(await readText(collection, 'other')).toBeNull()
    }
  })

  test('sees what the batch did before it', async () => {
    const collection = newCollection()
    await put(urlOf(collection, 'a'), '5')
    await revisionsOf({
      operations: [
        { op: 'increment', collection, key: 'a' },
        { op: 'put', collection, key: 'a', value: 10 },
        { op: 'increment', collection, key: 'a' },
        { op: 'delete', collection, key: 'b' },
        { op: 'increment', collection, key: 'b', by: 7 },
      ],
    })
    expect([await readText(collection, 'a'), await readText(collection, 'b')]).toEqual(['11', '7'])
  })
})

describe('checks', () => {
  test('let all of it happen or none, and name the member that failed with its revision', async () => {
    const collection = newCollection()
    const a = await jsonOf<Stored>(put(urlOf(collection, 'a'), '1'))
    const operations = [
      { op: 'put', collection, key: 'b', value: 1 },
      { op: 'delete', collection, key: 'a' },
    ]
    const good = { collection, key: 'a', revision: a.revision }
    const missing = { collection, key: 'b', revision: null }
    for (const [check, found] of [
      [
        { ...good, revision: a.revision + 1 },
        { key: 'a', revision: a.revision },
      ],
      [
        { ...good, revision: null },
        { key: 'a', revision: a.revision },
      ],
      [
        { ...missing, revision: 7 },
        { key: 'b', revision: null },
      ],
    ]) {
      const reply = await batch({ checks: [good, check], operations })
      expect(await expectProblem(reply, 412, 'precondition_failed')).toMatchObject({ collection, ...found })
      expect(await readText(collection, 'a')).toBe('1')
      expect(await readText(collection, 'b')).toBeNull()
    }
    expect((await revisionsOf({ checks: [good, missing], operations })).length).toBe(2)
    expect(await readText(collection, 'a')).toBeNull()
    expect(await readText(collection, 'b')).toBe('1')
  })

  test('alone report whether they hold', async () => {
    const collection = newCollection()
    expect(await revisionsOf({ checks: [{ collection, key: 'a', revision: null }] })).toEqual([])
    await expectProblem(
      await batch({ checks: [{ collection, key: 'a', revision: 1 }] }),
      412,
      'precondition_failed',
    )
  })

  test('that contradict each other fail at once, also beside an increment of the same member', async () => {
    const collection = newCollection()
    const { revision } = await jsonOf<Stored>(put(urlOf(collection, 'a'), '1'))
    const checks = [
      { collection, key: 'a', revision },
      { collection, key: 'a', revision: revision + 1 },
    ]
    const operations = [{ op: 'increment', collection, key: 'a' }]
    expect(
      await expectProblem(await batch({ checks, operations }), 412, 'precondition_failed'),
    ).toMatchObject({ revision })
    expect(await readText(collection, 'a')).toBe('1')
  })

  test('under load, batches that move amounts between members keep their sum, and readers see whole ones', async () => {
    const collection = newCollection()
    const keys = ['a', 'b', 'c', 'd']
    await revisionsOf({ operations: keys.map((key) => ({ op: 'put', collection, key, value: 100 })) })
    let moved = 0
    async function move(seed: number): Promise<void> {
      for (let i = 0; i < 12; i++) {
        const from = keys[(seed + i) % 4]!
        const to = keys[(seed + i + 1 + (seed % 3)) % 4]!
        const [got, into] = await Promise.all([fetch(urlOf(collection, from)), fetch(urlOf(collection, to))])
        const revision = (response: Response) => Number(response.headers.get('etag')!.slice(1, -1))
        const reply = await batch({
          checks: [
            { collection, key: from, revision: revision(got) },
            { collection, key: to, revision: revision(into) },
          ],
          operations: [
            { op: 'put', collection, key: from, value: Number(await got.text()) - 1 },
            { op: 'put', collection, key: to, value: Number(await into.text()) + 1 },
          ],
        })
        if (reply.ok) moved++
        else await expectProblem(reply, 412, 'precondition_failed')
      }
    }
    let moving = true
    const reader = (async () => {
      while (moving) {
        const members = await membersIn(urlOf(collection))
        expect(members.reduce((sum, { value }) => sum + Number(value), 0)).toBe(400)
      }
    })()
    await Promise.all([0, 1, 2, 5, 7].map(move))
    moving = false
    await reader
    expect(moved).toBeGreaterThan(0)
  })
})

describe('limits', () => {
  test('10,000 operations go in one batch, one more does not', async () => {
    const collection = newCollection()
    const operations = Array.from({ length: 10_000 }, (_, i) => ({
      op: 'put',
      collection,
      key: String(i),
      value: i,
    }))
    expect((await revisionsOf({ operations })).length).toBe(10_000)
    expect((await countsOf(server.url, collection))?.members).toBe(10_000)
    const over = [...operations, { op: 'put', collection: `${collection}-over`, key: 'x', value: 1 }]
    expect(await expectProblem(await batch({ operations: over }), 413, 'too_large')).toMatchObject({
      limit: 10_000,
    })
    expect(await countsOf(server.url, `${collection}-over`)).toBeNull()
  })

  test('32 MiB, and 16 MiB for a value', async () => {
    const collection = newCollection()
    const valueOfSize = (bytes: number) => `"${'x'.repeat(bytes - 2)}"`
    const operation = (key: string, value: string) =>
      `{"op":"put","collection":"${collection}","key":"${key}","value":${value}}`
    const mib = 1024 * 1024
    const most = `{"operations":[${operation('a', valueOfSize(16 * mib))},${operation('b', valueOfSize(15 * mib))}]}`
    expect((await revisionsOf(most)).length).toBe(2)
    const overValue = `{"operations":[${operation('c', '1')},${operation('d', valueOfSize(16 * mib + 1))}]}`
    await expectProblem(await batch(overValue), 413, 'too_large')
    const overBody = `{"operations":[${operation('c', '1')}]}${' '.repeat(32 * mib)}`
    await expectProblem(await batch(overBody), 413, 'too_large')
    expect(await readText(collection, 'c')).toBeNull()
  })
})

test('a batch takes so many checks, and so many operations, and not one more', async () => {
  const collection = newCollection()
  const checks = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ collection, key: `k${i}`, revision: null }))
  const deletes = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ op: 'delete', collection, key: `k${i}` }))
  for (const [many, oneMore] of [
    [{ checks: checks(10_000) }, { checks: checks(10_001) }],
    [{ operations: deletes(10_000) }, { operations: deletes(10_001) }],
  ]) {
    expect((await batch(many)).status).toBe(200)
    expect(await expectProblem(await batch(oneMore), 413, 'too_large')).toMatchObject({ limit: 10_000 })
  }
})
