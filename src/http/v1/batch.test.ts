import { afterAll, describe, expect, test } from 'bun:test'
import { contextOf, requestOf } from '../../../test/support/connection.ts'
import { faultOf } from '../../../test/support/engine.ts'
import { openTestEngine } from '../../../test/support/test-engine.ts'
import { anyone, type Principal } from '../../auth/principal.ts'
import { openDatabase } from '../../core/database.ts'
import { maxBatchOperations } from '../../core/limits.ts'
import { postBatch } from './batch.ts'
import { idempotency } from './idempotency.ts'

/** How a batch is read, and what it is refused for. What batches do is in test/v1-batch.test.ts. */

const nowMs = 1_800_000_000_000
const db = await openDatabase({
  open: openTestEngine,
  cacheBytes: 0,
  now: () => nowMs,
  onError(error) {
    throw error
  },
})
afterAll(() => db.close())

function post(body: unknown, ...headers: string[]) {
  return postAs(anyone, body, ...headers)
}

const commands = idempotency(db, db)

async function postAs(principal: Principal, body: unknown, ...headers: string[]) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const length = `Content-Length: ${Buffer.byteLength(text)}`
  const request = requestOf('POST /v1/_batch HTTP/1.1', length, ...headers)
  if (text !== '') request.body.feed(Buffer.from(text))
  const context = contextOf(request, { now: () => nowMs })
  context.principal = principal
  const { status, body: response } = await postBatch(commands, request, context)
  expect(status).toBe(200)
  return JSON.parse(String(response))
}

const ref = { collection: 'c', key: 'k' }
const put = { op: 'put', ...ref, value: 1 }
const bytes = Buffer.from('ü').toString('base64')

describe('a batch that is refused', () => {
  test.each([
    ['no JSON', '{"operations":', 'invalid_json', ''],
    ['an array', '[]', 'invalid_request', 'the batch is not an object'],
    ['null', 'null', 'invalid_request', 'the batch is not an object'],
    ['an unknown field', { operation: [] }, 'invalid_request', '"operation"'],
    ['operations that are no list', { operations: {} }, 'invalid_request', 'operations is not an array'],
    ['checks that are no list', { checks: 'x' }, 'invalid_request', 'checks is not an array'],
    ['a check that is none', { checks: [1] }, 'invalid_request', 'checks[0] is not an object'],
    ['a check without revision', { checks: [{ ...ref }] }, 'invalid_request', 'checks[0].revision'],
    ['a check of revision 0', { checks: [{ ...ref, revision: 0 }] }, 'invalid_request', 'checks[0].revision'],
    [
      'a check of half a revision',
      { checks: [{ ...ref, revision: 1.5 }] },
      'invalid_request',
      'checks[0].rev',
    ],
    ['a check of text', { checks: [{ ...ref, revision: '1' }] }, 'invalid_request', 'checks[0].revision'],
    ['a check with more', { checks: [{ ...ref, revision: 1, value: 1 }] }, 'invalid_request', '"value"'],
    ['a check without key', { checks: [{ collection: 'c', revision: 1 }] }, 'invalid_key', 'checks[0]'],
    ['a check elsewhere', { checks: [{ key: 'k', revision: 1 }] }, 'invalid_collection', 'checks[0]'],
    ['an operation that is none', { operations: [put, []] }, 'invalid_request', 'operations[1] is not an'],
    [
      'one without op',
      { operations: [{ ...ref, value: 1 }] },
      'invalid_request',
      'operations[0].op is not one',
    ],
    [
      'one of another kind',
      { operations: [{ ...put, op: 'patch' }] },
      'invalid_request',
      'put, delete, touch, i',
    ],
    [
      'an inherited kind',
      { operations: [{ ...ref, op: 'toString' }] },
      'invalid_request',
      'operations[0].op',
    ],
    ['a put without value', { operations: [{ op: 'put', ...ref }] }, 'invalid_request', 'operations[0]'],
    ['a put with two', { operations: [{ ...put, value_text: 'x' }] }, 'invalid_request', '"value_text"'],
    ['a put with more', { operations: [{ ...put, ttl: 1 }] }, 'invalid_request', '"ttl"'],
    ['a delete with a value', { operations: [{ ...put, op: 'delete' }] }, 'invalid_request', '"value"'],
    [
      'a touch without expiry',
      { operations: [{ op: 'touch', ...ref }] },
      'invalid_request',
      'operations[0] has',
    ],
    [
      'a touch with a value',
      { operations: [{ ...put, op: 'touch', expire_in: 1 }] },
      'invalid_request',
      '"value"',
    ],
    [
      'an increment by text',
      { operations: [{ op: 'increment', ...ref, by: '1' }] },
      'invalid_request',
      '.by is',
    ],
    [
      'an increment at 1',
      { operations: [{ op: 'increment', ...ref, path: 1 }] },
      'invalid_request',
      '.path is',
    ],
    [
      'an increment with expiry',
      { operations: [{ op: 'increment', ...ref, expire_in: 1 }] },
      'invalid_request',
      'e',
    ],
  ])('for %s', async (_what, body, code, detail) => {
    const error = await faultOf(post(body))
    expect(error.code).toBe(code as typeof error.code)
    expect(error.message).toContain(detail)
    expect(db.stats().engine.writes).toBe(0)
  })

  test('for more operations or checks than the limit, by one, whichever it is', async () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ op: 'delete', collection: 'c', key: `k${i}` }))
    const checks = (count: number) => many(count).map(({ op, ...one }) => ({ ...one, revision: null }))
    const most = await post({ operations: many(maxBatchOperations), checks: checks(maxBatchOperations) })
    expect(most.revisions).toHaveLength(maxBatchOperations)
    for (const body of [
      { operations: many(maxBatchOperations + 1) },
      { checks: checks(maxBatchOperations + 1) },
    ]) {
      expect(await faultOf(post(body))).toMatchObject({
        code: 'too_large',
        extra: { limit: maxBatchOperations },
      })
    }
  })
})

test('an empty one does nothing', async () => {
  for (const body of [{}, { operations: [] }, { checks: [], operations: [] }])
    expect(await post(body)).toEqual({ revisions: [], values: [] })
})

test('each operation has its revision, and an increment its number as it is stored', async () => {
  const operations = [
    put,
    { op: 'put', collection: 'c', key: 'text', value_text: 'ü', content_type: 'text/plain', expire_in: '1m' },
    { op: 'put', collection: 'c', key: 'bytes', value_base64: bytes, content_type: 'a/b' },
    { op: 'increment', ...ref },
    { op: 'increment', collection: 'c', key: 'deep', path: '/n', by: -2, if_created: { expire_in: 5 } },
    { op: 'touch', collection: 'c', key: 'text', expire_at: null },
    { op: 'delete', collection: 'c', key: 'missing' },
  ]
  const done = await post({ operations, checks: [{ ...ref, revision: null }] })
  expect(done.values).toEqual([null, null, null, 2, -2, null, null])
  expect(done.revisions.map((revision: number) => revision > 0)).toEqual([
    true,
    true,
    true,
    true,
    true,
    true,
    false,
  ])
  const found = await db.readMany(['k', 'text', 'bytes', 'deep'].map((key) => ({ collection: 'c', key })))
  expect(found.map((member) => [member?.value, member?.expiresAtMs])).toEqual([
    ['2', null],
    [new Uint8Array(Buffer.from('ü')), null],
    [new Uint8Array(Buffer.from('ü')), null],
    ['{"n":-2}', nowMs + 5000],
  ])
})

test('values stand as they were written', async () => {
  const raw = '{ "a": 1.0, "a": [1e400] }'
  await post(`{"operations":[{"op":"put","collection":"c","key":"raw","value":${raw}}]}`)
  expect((await db.get('c', 'raw'))?.value).toBe(raw)
})

test('a check that does not hold names its member and revision', async () => {
  await db.put('c', 'checked', { value: '1', contentType: 'application/json', flags: 0, expiresAtMs: null })
  const revision = (await db.get('c', 'checked'))!.revision
  const check = { collection: 'c', key: 'checked', revision: revision + 1 }
  expect(await faultOf(post({ checks: [check], operations: [put] }))).toMatchObject({
    code: 'precondition_failed',
    extra: { collection: 'c', key: 'checked', revision },
  })
  await post({ checks: [{ ...check, revision }] })
})

test('an Idempotency-Key is that of its sender: with another id it is another', async () => {
  const body = { operations: [{ op: 'increment', collection: 'c', key: 'once' }] }
  const key = 'Idempotency-Key: a-key'
  expect((await post(body, key)).values).toEqual([1])
  expect((await post(body, key)).values).toEqual([1])
  expect((await postAs({ ...anyone, id: 'other' }, body, key)).values).toEqual([2])
  expect((await post(body, key)).values).toEqual([1])
})

describe('a batch that is not atomic', () => {
  test('does what can be done, in the order of each member, and says what failed', async () => {
    const ofText = { collection: 'c', key: 'text' }
    const one = await post({
      atomic: false,
      operations: [
        { op: 'put', ...ofText, value: 'no number' },
        { op: 'put', collection: 'c', key: 'n', value: 1 },
        { op: 'increment', ...ofText, by: 1 },
        { op: 'increment', collection: 'c', key: 'n', by: 2 },
        { op: 'increment', collection: 'c', key: 'n', by: 4 },
        { op: 'delete', collection: 'c', key: 'never' },
      ],
    })
    expect(one.values).toEqual([null, null, null, 3, 7, null])
    expect(one.revisions).toEqual([
      ...Array(2).fill(expect.any(Number)),
      null,
      ...one.revisions.slice(3, 5),
      0,
    ])
    expect(one.errors).toEqual([
      { index: 2, code: 'unprocessable', detail: expect.stringContaining('c/text') },
    ])
  })

  test('that succeeds has no errors, and `"atomic": true` is what it is without', async () => {
    expect((await post({ atomic: false, operations: [put] })).errors).toEqual([])
    expect(await post({ atomic: true, operations: [put] })).not.toHaveProperty('errors')
  })

  test.each([
    ['another word', { atomic: 'no', operations: [put] }, 'atomic is neither true nor false'],
    ['checks', { atomic: false, checks: [{ ...ref, revision: null }] }, 'has no checks'],
  ])('with %s is refused', async (_, body, detail) => {
    const fault = await faultOf(post(body))
    expect([fault.code, fault.message]).toEqual(['invalid_request', expect.stringContaining(detail)])
  })

  test('with an Idempotency-Key is refused, and nothing of it is done', async () => {
    const operations = [{ op: 'put', collection: 'c', key: 'unwritten', value: 1 }]
    const fault = await faultOf(post({ atomic: false, operations }, 'Idempotency-Key: k'))
    expect(fault.code).toBe('invalid_request')
    expect(await db.get('c', 'unwritten')).toBeNull()
  })
})
