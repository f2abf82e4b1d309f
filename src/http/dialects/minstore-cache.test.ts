import { expect, test } from 'bun:test'
import { KvistError } from '../../core/errors.ts'
import { cachedRecordMs, maxCachedRecordBytes } from '../../core/limits.ts'
import type { Member } from '../../core/member.ts'
import { RecordCache, type ServerList } from './minstore-cache.ts'

/** Requests that are passed on, to servers that the test stands for. */

const clock = { ms: 0 }
type Reply = { status: number; body: string } | KvistError
const record = (uid: string, value: unknown = 'x') => JSON.stringify({ uid, value })
const found = (text: string): Reply => ({ status: 200, body: text })
const missing: Reply = { status: 404, body: '{"error":"none"}' }
const refused = new KvistError('unavailable', 'it cannot be reached')
const late = new KvistError('outcome_unknown', 'it did not respond in time')

/** Servers `s0`, `s1`, … each of which gives its replies in turn, the last one for ever. */
function setUp(...replies: (Reply | Promise<Reply>)[][]) {
  const asked: string[] = []
  const missed: string[] = []
  const servers: ServerList = {
    urls: replies.map((_, i) => `s${i}`),
    readTimeoutMs: 10,
    async send(url, { method, target }) {
      asked.push(`${url} ${method} ${target}`)
      const own = replies[Number(url.slice(1))]!
      const reply = await (own.length > 1 ? own.shift()! : own[0]!)
      if (reply instanceof KvistError) throw reply
      return { status: reply.status, body: Buffer.from(reply.body) }
    },
    onMissed: (url, uid, why) => missed.push(`${url} ${uid}: ${why}`),
  }
  clock.ms = 0
  const cache = new RecordCache('text', servers, () => clock.ms)
  const reserve = () => undefined
  return {
    asked,
    missed,
    cache,
    read: (uid = 'a') => cache.read(uid, { target: `/text/${uid}`, reserve }),
    write: (method = 'PUT', uid = 'a') =>
      cache.write(uid, {
        method,
        target: `/text/${uid}`,
        body: { type: 't', bytes: new Uint8Array() },
        reserve,
      }),
  }
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'done'
  } catch (error) {
    if (error instanceof KvistError) return `${error.code}: ${error.message}`
    throw error
  }
}

test('the first valid record is kept, and served until it is too old', async () => {
  const { asked, read } = setUp([missing], [found(record('a'))])
  expect(await read()).toEqual({ text: record('a'), ageMs: 0 })
  clock.ms += cachedRecordMs - 1
  expect(await read()).toEqual({ text: record('a'), ageMs: cachedRecordMs - 1 })
  expect(asked).toEqual(['s0 GET /text/a', 's1 GET /text/a'])
  clock.ms += 1
  expect(await read()).toEqual({ text: record('a'), ageMs: 0 })
  expect(asked).toHaveLength(4)
})

test.each([
  ['another record', found(record('b'))],
  ['no JSON', found('{"uid":"a"')],
  ['no object', found('"a"')],
  ['nothing', found('')],
  ['a redirect', { status: 302, body: '' }],
  ['an error', { status: 500, body: '' }],
  ['a silence', late],
  ['no connection', refused],
])('%s is no valid record: the next server is asked', async (_, reply) => {
  const { read } = setUp([reply], [found(record('a'))])
  expect(await read()).toMatchObject({ text: record('a') })
})

test('that there is none is said only when all have said so, and is not kept', async () => {
  const { asked, read } = setUp([missing], [missing, refused, missing])
  expect(await read()).toBeNull()
  expect(await codeOf(read())).toBe('lookup_failed: no server has it, or can say so: it cannot be reached')
  expect(await read()).toBeNull()
  expect(asked).toHaveLength(6)
})

test('a write goes to the first server that can be reached, and the others get its record', async () => {
  const { asked, missed, read, write } = setUp(
    [refused],
    [found(record('a', 1))],
    [found('')],
    [{ status: 507, body: '' }],
  )
  expect(await write('POST')).toEqual({ text: record('a', 1), ageMs: 0 })
  expect(await read()).toMatchObject({ text: record('a', 1) })
  const mirrored = (url: string) => `${url} PUT /text/a?mirror=1&bridge=1`
  expect(asked).toEqual(['s0 POST /text/a', 's1 POST /text/a', ...['s0', 's2', 's3'].map(mirrored)])
  expect(missed.toSorted()).toEqual(['s0 a: it cannot be reached', 's3 a: it responded 507'])
})

test('a write that may have been done is not sent again', async () => {
  for (const reply of [late, { status: 500, body: '' }, { status: 504, body: '' }, found('broken')]) {
    const { asked, read, write } = setUp(
      [found(record('a')), reply, found(record('a', 2))],
      [found(record('a', 3))],
    )
    await read()
    expect(await codeOf(write())).toStartWith('outcome_unknown')
    expect(asked).toHaveLength(2)
    // What was kept before it may be old.
    expect(await read()).toMatchObject({ text: record('a', 2) })
  }
})

test('a refusal is passed back; a server that does nothing leaves it to the next', async () => {
  const exists = { status: 400, body: '{"error":"there is a record already"}' }
  const first = setUp([{ status: 503, body: '' }], [exists], [found(record('a'))])
  expect(await first.write('POST')).toEqual({ status: 400, json: exists.body })
  expect(first.asked).toHaveLength(2)
  expect(await setUp([{ status: 413, body: 'too large' }]).write()).toEqual({
    status: 413,
    json: '{"error":"too large"}',
  })
  expect(await setUp([missing], [found(record('a'))]).write()).toMatchObject({ text: record('a') })
  expect(await setUp([missing], [missing]).write()).toBeNull()
  expect(await codeOf(setUp([missing], [refused]).write())).toStartWith('unavailable')
  expect(await codeOf(setUp([{ status: 401, body: '' }]).write())).toBe(
    'unavailable: no server did it: s0 responded 401',
  )
})

test('a record is dropped when it is written, when it is deleted and when it changes here', async () => {
  const { asked, cache, read, write } = setUp([found(record('a'))])
  const settlingMs = 5000
  await read()
  await write()
  await read()
  expect(asked).toHaveLength(2)
  cache.drop('a')
  await read()
  expect(asked).toHaveLength(3)
  // A server that has not got the change yet responds with what was before, so that is not kept for a moment.
  clock.ms += settlingMs - 1
  await read()
  expect(asked).toHaveLength(4)
  clock.ms += 1
  await read()
  await read()
  expect(asked).toHaveLength(5)
  const change = (collection: string, key: string) =>
    cache.follower.onCommit([{ type: 'put', collection, member: { key } as Member }])
  change('text', 'b')
  change('other', 'a')
  await read()
  expect(asked).toHaveLength(5)
  change('text', 'a')
  await read()
  expect(asked).toHaveLength(6)
  await write()
  await read()
  expect(asked).toHaveLength(7)
})

test('what was asked for before a write, or comes of writes at the same time, is not kept', async () => {
  const resolve: ((reply: Reply) => void)[] = []
  const later = () => new Promise<Reply>((done) => resolve.push(done))
  const { asked, read, write } = setUp([later(), later(), later(), found(record('a', 'last'))])
  const reading = read()
  const writing = [write(), write()]
  resolve[1]!(found(record('a', 1)))
  resolve[2]!(found(record('a', 2)))
  resolve[0]!(found(record('a', 0)))
  expect(await Promise.all([reading, ...writing])).toMatchObject(
    [0, 1, 2].map((value) => ({ text: record('a', value) })),
  )
  expect(await read()).toMatchObject({ text: record('a', 'last') })
  expect(asked).toHaveLength(4)
})

test('records take no more memory than they may', async () => {
  const value = 'x'.repeat(maxCachedRecordBytes / 20)
  const { asked, read } = setUp([
    ...Array.from({ length: 40 }, (_, i) => found(record(`r${i}`, value))),
    missing,
  ])
  for (let i = 0; i < 40; i++) await read(`r${i}`)
  expect(asked).toHaveLength(40)
  expect(await read('r39')).toMatchObject({ ageMs: 0 })
  expect(asked).toHaveLength(40)
  expect(await read('r0')).toBeNull()
  const large = setUp([found(record('a', 'x'.repeat(maxCachedRecordBytes)))])
  await large.read()
  await large.read()
  expect(large.asked).toHaveLength(2)
})
