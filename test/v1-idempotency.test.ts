import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Stored } from '../sdk/types.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { random, seedOfRun } from './support/random.ts'
import { expectProblem, jsonOf, membersIn, put } from './support/responses.ts'

/** `Idempotency-Key`: a request that is sent again is not done again, and has the response that it had. */

const dayMs = 24 * 3600 * 1000
let nowMs = Date.parse('2026-06-01T12:00:00Z')
let server: InProcessServer
beforeAll(async () => {
  server = await startInProcess(() => nowMs)
})
afterAll(() => server.stop())

let names = 0
function newCollection(): string {
  return `once-${++names}`
}
function newKey(): string {
  return `key-${++names}`
}

interface Sent {
  readonly method: string
  readonly path: string
  readonly body?: string
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
}

function send(key: string, { method, path, body, type, headers = {} }: Sent): Promise<Response> {
  return fetch(server.url + path, {
    method,
    headers: { 'idempotency-key': key, ...(type === undefined ? {} : { 'content-type': type }), ...headers },
    ...(body === undefined ? {} : { body }),
  })
}

interface Whole {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** All of a response that its request decides. */
async function whole(response: Response): Promise<Whole> {
  const headers = Object.fromEntries(response.headers)
  delete headers.date
  return { status: response.status, headers, body: await response.text() }
}

const merge = 'application/merge-patch+json'
const increment = 'application/vnd.kvist.increment+json'
const jsonPatch = 'application/json-patch+json'

/** A request of each kind that has an effect each time that it is done. */
function requestsTo(collection: string): Readonly<Record<string, Sent>> {
  const member = `/v1/${collection}/k`
  const operations = [
    { op: 'increment', collection, key: 'k', path: '/n' },
    { op: 'put', collection, key: 'new', value_text: 'text', expire_in: '1h' },
    { op: 'delete', collection, key: 'none' },
    { op: 'touch', collection, key: 'k', expire_in: '2h' },
    { op: 'delete', collection, key: 'gone' },
    { op: 'increment', collection, key: 'counter', if_created: { expire_in: 60 } },
  ]
  return {
    'a new member': { method: 'POST', path: `/v1/${collection}?expire_in=1h`, body: '{"a": 1.0}' },
    'new bytes': { method: 'POST', path: `/v1/${collection}`, body: 'text', type: 'text/plain' },
    'an increment': { method: 'PATCH', path: member, body: '{"path":"/n"}', type: increment },
    'a new counter': { method: 'PATCH', path: `/v1/${collection}/new`, body: '{"by":5}', type: increment },
    'a merge patch': { method: 'PATCH', path: member, body: '{"m":1}', type: merge },
    'plain JSON': { method: 'PATCH', path: member, body: '{"m":2}', type: 'application/json' },
    'a JSON patch': {
      method: 'PATCH',
      path: `${member}?expire_in=60`,
      body: '[{"op":"add","path":"/list/-","value":1}]',
      type: jsonPatch,
    },
    'a touch': { method: 'PATCH', path: `${member}?expire_in=3h` },
    'a batch': { method: 'POST', path: '/v1/_batch', body: JSON.stringify({ operations }) },
    'an empty batch': { method: 'POST', path: '/v1/_batch', body: '{}' },
  }
}

async function prepared(): Promise<string> {
  const collection = newCollection()
  await put(`${server.url}/v1/${collection}/k`, '{"n":1,"list":[]}')
  await put(`${server.url}/v1/${collection}/gone`, '1')
  return collection
}

const kinds = Object.keys(requestsTo(''))

describe.each(kinds)('%s', (kind) => {
  test('is done once, and has the same response each time', async () => {
    const collection = await prepared()
    const request = requestsTo(collection)[kind]!
    const key = newKey()
    const first = await whole(await send(key, request))
    expect(first.status).toBeLessThan(300)
    const after = await membersIn(`${server.url}/v1/${collection}`)
    for (const again of [key, `"${key}"`, key]) {
      nowMs += 1000
      expect(await whole(await send(again, request))).toEqual(first)
      expect(await membersIn(`${server.url}/v1/${collection}`)).toEqual(after)
    }
    // The response is that of then, whatever became of the members since.
    for (const { key } of after) await put(`${server.url}/v1/${collection}/${key}`, '"other"')
    expect(await whole(await send(key, request))).toEqual(first)
    await fetch(`${server.url}/v1/${collection}`, { method: 'DELETE' })
    expect(await whole(await send(key, request))).toEqual(first)
    expect(await membersIn(`${server.url}/v1/${collection}`)).toEqual([])
  })

  test('of many that come at once one is done', async () => {
    const collection = await prepared()
    const request = requestsTo(collection)[kind]!
    const key = newKey()
    const responses = await Promise.all(
      Array.from({ length: 12 }, async () => whole(await send(key, request))),
    )
    for (const response of responses) expect(response).toEqual(responses[0]!)
    const after = await membersIn(`${server.url}/v1/${collection}`)
    await send(key, request)
    expect(await membersIn(`${server.url}/v1/${collection}`)).toEqual(after)
  })

  test('is done anew after a day, and under another key', async () => {
    const collection = await prepared()
    const request = requestsTo(collection)[kind]!
    const [one, other] = [newKey(), newKey()]
    const first = await whole(await send(one, request))
    nowMs += dayMs - 1
    expect(await whole(await send(one, request))).toEqual(first)
    nowMs += 1
    await put(`${server.url}/v1/${collection}/k`, '{"n":1,"list":[]}')
    const anew = await whole(await send(one, request))
    if (kind !== 'an empty batch') expect(anew).not.toEqual(first)
    if (kind !== 'an empty batch' && kind !== 'a touch')
      expect(await whole(await send(other, request))).not.toEqual(anew)
  })
})

test('with another request the key is refused, and nothing is done', async () => {
  const collection = await prepared()
  const path = `/v1/${collection}/k`
  const request: Sent = { method: 'PATCH', path, body: '{"path":"/n"}', type: increment }
  const key = newKey()
  await send(key, request)
  const before = await membersIn(`${server.url}/v1/${collection}`)
  const others: Sent[] = [
    { ...request, body: '{"path":"/n","by":2}' },
    { ...request, body: '{"path":"/n"} ' },
    { ...request, type: merge },
    { ...request, type: `${increment};x=1` },
    { ...request, path: `${path}?expire_in=60` },
    { ...request, path: `/v1/${collection}/other` },
    { ...request, path: `/v1/${newCollection()}/k` },
    { ...request, headers: { 'if-match': '*' } },
    { ...request, headers: { 'if-unmodified-since': new Date(nowMs + 10_000).toUTCString() } },
    { method: 'POST', path: `/v1/${collection}`, body: '{"path":"/n"}' },
    { method: 'POST', path: '/v1/_batch', body: '{}' },
  ]
  for (const other of others) {
    const problem = await expectProblem(await send(key, other), 422, 'unprocessable')
    expect(problem.detail).toContain('Idempotency-Key')
  }
  expect(await membersIn(`${server.url}/v1/${collection}`)).toEqual(before)
})

test('what failed is not recorded, and is tried anew', async () => {
  const collection = newCollection()
  const path = `/v1/${collection}/k`
  const cases: [Sent, number, () => Promise<unknown>][] = [
    [
      { method: 'PATCH', path, body: '{}', type: increment, headers: { 'if-match': '*' } },
      412,
      () => put(server.url + path, '1'),
    ],
    [
      { method: 'PATCH', path, body: '[{"op":"test","path":"","value":7}]', type: jsonPatch },
      409,
      () => put(server.url + path, '7'),
    ],
    [
      { method: 'PATCH', path, body: '{"path":"/n"}', type: increment },
      422,
      () => put(server.url + path, '{"n":1}'),
    ],
    [
      { method: 'PATCH', path: `/v1/${collection}/later?expire_in=60` },
      404,
      () => put(`${server.url}/v1/${collection}/later`, '1'),
    ],
    [
      {
        method: 'POST',
        path: '/v1/_batch',
        body: JSON.stringify({
          checks: [{ collection, key: 'made', revision: null }],
          operations: [{ op: 'increment', collection, key: 'n' }],
        }),
      },
      412,
      () => fetch(`${server.url}/v1/${collection}/made`, { method: 'DELETE' }),
    ],
  ]
  await put(`${server.url}/v1/${collection}/made`, '1')
  for (const [request, status, mend] of cases) {
    const key = newKey()
    expect([request.body, (await send(key, request)).status]).toEqual([request.body, status])
    await mend()
    const done = await whole(await send(key, request))
    expect(done.status).toBe(200)
    expect(await whole(await send(key, request))).toEqual(done)
  }
})

test('a condition that held is not asked again', async () => {
  const collection = await prepared()
  const path = `/v1/${collection}/k`
  const etag = (await fetch(server.url + path)).headers.get('etag')!
  const request = { method: 'PATCH', path, body: '{"m":1}', type: merge, headers: { 'if-match': etag } }
  const key = newKey()
  const first = await whole(await send(key, request))
  expect(first).toMatchObject({ status: 200 })
  expect(await whole(await send(key, request))).toEqual(first)
  await expectProblem(await send(newKey(), request), 412, 'precondition_failed')
})

test('keys are 1 to 255 visible characters of ASCII, quoted or not', async () => {
  for (const key of [
    'b',
    '"c"',
    'x'.repeat(255),
    `"${'y'.repeat(255)}"`,
    crypto.randomUUID(),
    "a,b;c=d/!#'~",
  ]) {
    const response = await send(key, { method: 'POST', path: `/v1/${newCollection()}`, body: '1' })
    expect([key, response.status]).toEqual([key, 201])
  }
})

test('other keys are refused', async () => {
  const collection = newCollection()
  for (const key of ['', '""', '"', '"a', 'a"', 'a b', '"a b"', 'a\\b', '\xe9', 'x'.repeat(256), 'a"b']) {
    const response = await send(key, { method: 'POST', path: `/v1/${collection}`, body: '1' })
    await expectProblem(response, 400, 'invalid_request')
  }
  expect(await membersIn(`${server.url}/v1/${collection}`)).toEqual([])
})

test('where it cannot be honoured it is refused', async () => {
  const collection = newCollection()
  const path = `/v1/${collection}`
  const refused: Sent[] = [
    { method: 'PUT', path: `${path}/k`, body: '1' },
    { method: 'DELETE', path: `${path}/k` },
    { method: 'DELETE', path },
    { method: 'POST', path, body: '{"key":"k","value":1}', type: 'application/x-ndjson' },
    { method: 'PUT', path: `/v1/_collections/${collection}`, body: '{}' },
  ]
  for (const request of refused) {
    const problem = await expectProblem(await send(newKey(), request), 400, 'invalid_request')
    expect(problem.header).toBe('Idempotency-Key')
  }
  // A read is the same at each try.
  for (const request of [
    { method: 'POST', path: '/v1/_read', body: '{"members":[]}' },
    { method: 'GET', path },
  ]) {
    expect((await send('any', request)).status).toBe(200)
  }
})

test('what is recorded is shown nowhere', async () => {
  const collection = await prepared()
  await send(newKey(), requestsTo(collection)['a batch']!)
  const { collections } = await jsonOf<{ collections: { name: string }[] }>(
    fetch(`${server.url}/v1?limit=1000`),
  )
  expect(collections.filter(({ name }) => name.startsWith('_'))).toEqual([])
  const { changes } = await jsonOf<{ changes: { collection: string }[] }>(
    fetch(`${server.url}/v1/_changes?limit=10000`),
  )
  expect(changes.filter(({ collection }) => collection.startsWith('_'))).toEqual([])
  await expectProblem(await fetch(`${server.url}/v1/_idempotency`), 400, 'invalid_collection')
})

test('responses are the same however the operations of a batch meet', async () => {
  const rng = random(seedOfRun())
  const collection = newCollection()
  await fetch(`${server.url}/v1/_collections/${collection}`, { method: 'PUT', body: '{"default_ttl":"2d"}' })
  for (let round = 0; round < 120; round++) {
    nowMs += rng.int(2000)
    const operations = Array.from({ length: rng.int(8) }, () => {
      const ref = { collection, key: rng.pick(['a', 'b', 'c', 'd']) }
      return rng.pick<object>([
        { op: 'put', ...ref, value: rng.int(9), ...(rng.oneIn(3) ? { expire_in: 1 + rng.int(5) } : {}) },
        { op: 'delete', ...ref },
        { op: 'increment', ...ref, by: rng.int(5), if_created: { expire_in: 2 } },
        { op: 'touch', ...ref, expire_in: rng.pick(['never', 3, '1h']) },
      ])
    })
    const request = { method: 'POST', path: '/v1/_batch', body: JSON.stringify({ operations }) }
    const key = newKey()
    const first = await whole(await send(key, request))
    const after = await membersIn(`${server.url}/v1/${collection}`)
    nowMs += rng.int(3)
    const said = JSON.stringify({ round, operations })
    expect([said, await whole(await send(key, request))]).toEqual([said, first])
    const counter = { method: 'PATCH', path: `/v1/${collection}/a`, body: '{}', type: increment }
    const counted = await whole(await send(`${key}-n`, counter))
    expect(await whole(await send(`${key}-n`, counter))).toEqual(counted)
    expect(after.length).toBeLessThanOrEqual(4)
  }
})

test('the response says when it was written, to the millisecond, also where many are in one', async () => {
  const collection = newCollection()
  const requests = Array.from({ length: 40 }, (_, i) => ({
    key: newKey(),
    request: { method: 'POST', path: `/v1/${collection}`, body: String(i) },
  }))
  const first = await Promise.all(requests.map(async ({ key, request }) => whole(await send(key, request))))
  nowMs += 5000
  const again = await Promise.all(requests.map(async ({ key, request }) => whole(await send(key, request))))
  expect(again).toEqual(first)
  const bodies = first.map((one) => JSON.parse(one.body) as Stored)
  expect(new Set(bodies.map(({ revision }) => revision)).size).toBe(40)
})
