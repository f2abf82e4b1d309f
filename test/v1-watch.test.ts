import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { connect } from 'node:net'
import type { Stored } from '../sdk/types.ts'
import { type Database, openDatabase } from '../src/core/database.ts'
import { openSqlite } from '../src/engines/sqlite/engine.ts'
import { eventStream, negotiation } from '../src/http/media-types.ts'
import { type HttpServer, listen } from '../src/http/server.ts'
import { type EventStreamOptions, eventStreams } from '../src/http/sse.ts'
import { v1Routes } from '../src/http/v1/routes.ts'
import { type WatchCounts, watchCounts } from '../src/telemetry/watch-counts.ts'
import { authenticatorOf } from './support/authenticator.ts'
import { newFolder, until } from './support/engine.ts'
import {
  changeOf,
  type Folded,
  fold,
  openWatch,
  type SentEvent,
  sorted,
  stateOf,
  type Watch,
} from './support/events.ts'
import { cursorAhead, differsBy, orderOf, together } from './support/line-differences.ts'
import { parseSamples, sampleOf } from './support/prometheus.ts'
import { random, seedOfRun } from './support/random.ts'
import { expectProblem, jsonOf, oddJson, put } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'

/** Watching by server-sent events, over the wire. */

let server: TestServer
beforeAll(async () => {
  server = await startServer({ flags: ['--idle-timeout', '1'] })
})
afterAll(() => server.remove())

function at(path: string): string {
  return `${server.url}/v1/${path}`
}

async function remove(path: string): Promise<void> {
  await fetch(at(path), { method: 'DELETE' })
}

/** Where a reader stands who has seen everything. */
async function resumePoint(): Promise<string> {
  return String((await jsonOf<{ next: number | string }>(fetch(at('_changes?since=now')))).next)
}

async function changesAfter(since: string, collection: string): Promise<unknown[]> {
  const page = fetch(at(`_changes?collection=${collection}&since=${since}`))
  return (await jsonOf<{ changes: unknown[] }>(page)).changes
}

function reported(events: readonly SentEvent[]): string[] {
  return events.map((event) => {
    const { collection, key, value } = changeOf(event)
    return `${event.type} ${collection}/${key}${value === undefined ? '' : `=${JSON.stringify(value)}`}`
  })
}

describe('what is reported', () => {
  test('of a member: what becomes of it, also when it is not there yet, and of no other', async () => {
    const watch = await openWatch(at('one/a/b'))
    await put(at('one/a'), '0')
    await put(at('one/a/b'), '{"n":\r\n1}')
    await remove('one/a/b')
    await put(at('one/a/b'), '2')
    await watch.until(3)
    expect(reported(watch.events)).toEqual(['put one/a/b={"n":1}', 'delete one/a/b', 'put one/a/b=2'])
    const { revision } = changeOf(watch.events[2]!)
    expect((await fetch(at('one/a/b'))).headers.get('etag')).toBe(`"${revision}"`)
    watch.close()
  })

  test('of a collection: its members, those of a prefix, or those that match', async () => {
    const all = await openWatch(at('some'))
    const begun = await openWatch(`${at('some')}?prefix=a`)
    const matching = await openWatch(`${at('some')}?filter=*1&prefix=a`)
    for (const path of ['some/a1', 'other/a1', 'some/a2', 'some/b1']) await put(at(path), '1')
    await remove('some/a1')
    await put(at('some/a91'), '9')
    expect(reported(await all.until(5))).toEqual([
      'put some/a1=1',
      'put some/a2=1',
      'put some/b1=1',
      'delete some/a1',
      'put some/a91=9',
    ])
    expect(reported(await begun.until(4))).toEqual([
      'put some/a1=1',
      'put some/a2=1',
      'delete some/a1',
      'put some/a91=9',
    ])
    expect(reported(await matching.until(3))).toEqual(['put some/a1=1', 'delete some/a1', 'put some/a91=9'])
    for (const watch of [all, begun, matching]) watch.close()
  })

  test("of the store: everything but kvist's own, with the scopes that pages have", async () => {
    const all = await openWatch(at('_changes'))
    const part = await openWatch(`${at('_changes')}?collection=st2&prefix=k&filter=*2`)
    const settings = at('_collections/st1')
    await fetch(settings, { method: 'PUT', body: '{"default_ttl":3600}' })
    await fetch(settings, { method: 'DELETE' })
    for (const path of ['st1/k1', 'st2/k1', 'st2/k2']) await put(at(path), '1')
    expect(reported(await part.until(1))).toEqual(['put st2/k2=1'])
    await all.untilSo(() => reported(all.events).at(-1) === 'put st2/k2=1')
    expect(reported(all.events).filter((one) => one.includes('st'))).toEqual([
      'put st1/k1=1',
      'put st2/k1=1',
      'put st2/k2=1',
    ])
    expect(all.events.every((event) => !changeOf(event).collection.startsWith('_'))).toBe(true)
    all.close()
    part.close()
  })

  test('of the store with include=keys: no values, however large, now and from the store', async () => {
    const live = await openWatch(`${at('_changes')}?include=keys&collection=bare`)
    await put(at('bare/large'), `"${'x'.repeat(3 * 1024 * 1024)}"`)
    await put(at('bare/small'), '1')
    await remove('bare/small')
    await live.until(3)
    const late = await openWatch(`${at('_changes')}?include=keys&collection=bare&since=0`)
    const lasting = (await late.until(1)).map(({ data }) => data)
    expect(Object.keys(JSON.parse(lasting[0]!)).toSorted()).toEqual(['collection', 'key', 'revision', 'type'])
    expect(reported(live.events)).toEqual(['put bare/large', 'put bare/small', 'delete bare/small'])
    for (const { data } of live.events) expect(data.length).toBeLessThan(200)
    live.close()
    late.close()
  })

  test('batches and imports in their order, and every member of a collection that is dropped', async () => {
    const group = together('group')
    const watch = await openWatch(at(group))
    const operations = [
      { op: 'put', collection: group, key: 'a', value: 1 },
      { op: 'increment', collection: group, key: 'n' },
      { op: 'delete', collection: group, key: 'a' },
    ]
    await fetch(at('_batch'), { method: 'POST', body: JSON.stringify({ operations }) })
    await fetch(at(group), {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: '{"key":"x","value":1}\n{"key":"y","value":2}\n',
    })
    await fetch(at(group), { method: 'DELETE' })
    expect(reported(await watch.until(8))).toEqual([
      'put {group}/a=1',
      'put {group}/n=1',
      'delete {group}/a',
      'put {group}/x=1',
      'put {group}/y=2',
      'delete {group}/n',
      'delete {group}/x',
      'delete {group}/y',
    ])
    watch.close()
  })

  test('a member whose time is over', async () => {
    const watch = await openWatch(at('brief/k'))
    await put(`${at('brief/k')}?expire_in=0.2`, '1')
    await watch.until(2)
    expect(reported(watch.events)).toEqual(['put brief/k=1', 'expire brief/k'])
    watch.close()
  })

  test('values of every kind, in one line each, and as large as they may be', async () => {
    const watch = await openWatch(at('odd'))
    for (const [i, json] of oddJson.entries()) await put(at(`odd/${i}`), json)
    await put(at('odd/bytes'), new Uint8Array([0, 10, 13, 255]), { 'content-type': 'x/y' })
    const large = `"${'x'.repeat(16 * 1024 * 1024 - 2)}"`
    await put(at('odd/large'), large)
    const events = await watch.until(oddJson.length + 2)
    for (const [i, json] of oddJson.entries()) {
      expect(events[i]!.data).toContain(`"value":${json.replace(/[\r\n]/g, ' ')},"created_at"`)
    }
    expect(changeOf(events[oddJson.length]!).value_base64).toBe('AAoN/w==')
    expect(events[oddJson.length + 1]!.data.includes(`"value":${large},"created_at"`)).toBe(true)
    watch.close()
  })
})

describe('where it begins', () => {
  test('with what comes from now on; the id that stands at the beginning resumes from there', async () => {
    await put(at('begin/before'), '1')
    const watch = await openWatch(at('begin'))
    expect(watch.response.headers.get('content-type')).toBe('text/event-stream')
    expect(watch.response.headers.get('cache-control')).toBe('no-store')
    expect(watch.response.headers.get('x-accel-buffering')).toBe('no')
    const id = watch.lastId()
    await put(at('begin/after'), '2')
    expect(reported(await watch.until(1))).toEqual(['put begin/after=2'])
    watch.close()
    const again = await openWatch(at('begin'), { 'last-event-id': id })
    expect(reported(await again.until(1))).toEqual(['put begin/after=2'])
    again.close()
  })

  test('since=0: with everything that exists, then what follows', async () => {
    for (const key of ['a', 'b', 'c']) await put(at(`all/${key}`), '1')
    await remove('all/b')
    const watch = await openWatch(`${at('all')}?since=0`)
    await watch.untilSo(() => reported(watch.events).includes('put all/c=1'))
    await put(at('all/d'), '1')
    await watch.untilSo(() => reported(watch.events).includes('put all/d=1'))
    expect(reported(watch.events).filter((one) => one.startsWith('put'))).toEqual([
      'put all/a=1',
      'put all/c=1',
      'put all/d=1',
    ])
    watch.close()
  })

  test('Last-Event-ID goes before since, and an empty one says nothing', async () => {
    await put(at('which/a'), '1')
    const since = await resumePoint()
    await put(at('which/b'), '2')
    const headers = { 'last-event-id': since }
    const later = await openWatch(`${at('which')}?since=0`, headers)
    expect(reported(await later.until(1))).toEqual(['put which/b=2'])
    const empty = await openWatch(`${at('which')}?since=${since}`, { 'last-event-id': '' })
    expect(reported(await empty.until(1))).toEqual(['put which/b=2'])
    later.close()
    empty.close()
  })

  test('of a member: its state, if that is news', async () => {
    const before = await resumePoint()
    await put(at('state/k'), '1')
    const after = await resumePoint()
    await put(at('state/other'), '1')
    const old = await openWatch(`${at('state/k')}?since=${before}`)
    expect(reported(await old.until(1))).toEqual(['put state/k=1'])
    const known = await openWatch(`${at('state/k')}?since=${after}`)
    await remove('state/k')
    expect(reported(await known.until(1))).toEqual(['delete state/k'])
    expect(reported(await old.until(2))).toEqual(['put state/k=1', 'delete state/k'])
    old.close()
    known.close()
  })

  test('a cursor ahead of the store, which is older than it was, gets a reset, and then everything', async () => {
    await put(at('ahead/k'), '1')
    const head = await resumePoint()
    const watch = await openWatch(at('ahead'), { 'last-event-id': cursorAhead(head) })
    const [reset, ...rest] = await watch.until(2)
    expect(reset).toMatchObject({ type: 'reset', data: '{"oldest":0}' })
    expect(reported(rest)).toEqual(['put ahead/k=1'])
    if (!differsBy('cursor')) expect(watch.lastId()).toBe(head)
    expect(await changesAfter(watch.lastId(), 'ahead')).toEqual([])
    watch.close()
  })

  test('readers that break off at any time and resume end up with the state of the store', async () => {
    const seed = seedOfRun()
    const chance = random(seed)
    const state: Folded = new Map()
    let lastId = '0'
    let lastRevision = 0
    const lastRevisions = new Map<string, number>()
    let watch: Watch | null = null
    let breaks = 0
    function apply(event: SentEvent): void {
      lastId = event.lastId
      const change = changeOf(event)
      // Never twice, never out of order.
      const isLater = change.revision > (lastRevisions.get(orderOf(change)) ?? 0)
      expect({ seed, isLater }).toEqual({ seed, isLater: true })
      lastRevisions.set(orderOf(change), change.revision)
      lastRevision = change.revision
      fold(state, change)
    }
    let writing = true
    const writers = [0, 1, 2].map(async (writer) => {
      for (let i = 0; i < 250; i++) {
        const path = `resume-${chance.int(2)}/k${chance.int(40)}`
        if (chance.oneIn(4)) await remove(path)
        else await put(at(path), `{"writer":${writer},"i":${i}}`)
      }
    })
    const done = Promise.all(writers).then(() => {
      writing = false
    })
    while (writing) {
      const stop = chance.int(30)
      watch = await openWatch(`${at('_changes')}?since=0`, { 'last-event-id': lastId }, apply)
      await Promise.race([watch.until(stop), done])
      watch.close()
      await watch.ended
      breaks++
    }
    await done
    const { revision } = await jsonOf<Stored>(put(at('resume-0/last'), '"end"'))
    watch = await openWatch(at('_changes'), { 'last-event-id': lastId }, apply)
    if (lastRevision < revision) await watch.untilSo(() => lastRevision >= revision)
    watch.close()
    expect(breaks).toBeGreaterThan(10)
    const store = await stateOf(server.url)
    expect({ seed, state: sorted(state) }).toEqual({ seed, state: sorted(store) })
  })
})

describe('what is asked', () => {
  test('events only for who accepts them before all else', () => {
    const wanting = [
      'text/event-stream',
      'text/event-stream, */*;q=0.1',
      'application/json, text/event-stream',
      'text/event-stream;q=0.5',
      'text/html;q=0.2, text/event-stream; q=0.3',
    ]
    const others = [
      null,
      '',
      '*/*',
      'text/*',
      'application/json',
      'text/event-stream;q=0',
      'application/json, text/event-stream;q=0.9',
      'text/event-streams',
    ]
    const choose = negotiation('*', [eventStream])
    const wantsEvents = (accept: string | null) => choose(accept) === eventStream
    for (const accept of wanting)
      expect({ accept, wants: wantsEvents(accept) }).toEqual({ accept, wants: true })
    for (const accept of others)
      expect({ accept, wants: wantsEvents(accept) }).toEqual({ accept, wants: false })
  })

  test('what is wrong is reported as a problem, before the stream begins', async () => {
    const wrong: [path: string, status: number, code: string, says: RegExp][] = [
      ['c?since=abc', 400, 'invalid_cursor', /point/],
      ['c/k?since=-1', 400, 'invalid_cursor', /point/],
      ['_changes?since=1.5', 400, 'invalid_cursor', /point/],
      ['c?limit=5', 400, 'invalid_parameter', /"limit".*since, prefix, filter/],
      ['c?cursor=5', 400, 'invalid_parameter', /"cursor"/],
      ['c?match=5', 400, 'invalid_parameter', /"match"/],
      ['c?collection=d', 400, 'invalid_parameter', /"collection"/],
      ['c/k?wait=5', 400, 'invalid_parameter', /"wait".*since/],
      ['c/k?prefix=5', 400, 'invalid_parameter', /"prefix"/],
      ['_changes?include=all', 400, 'invalid_parameter', /include is one of keys/],
      ['c?include=keys', 400, 'invalid_parameter', /"include"/],
      ['_changes?limit=5', 400, 'invalid_parameter', /"limit"/],
      ['_changes?collection=_x', 400, 'invalid_collection', /_/],
      ['_x', 400, 'invalid_collection', /_/],
      ['_x/k', 400, 'invalid_collection', /_/],
      [`c/${'k'.repeat(513)}`, 414, 'key_too_long', /512/],
      [`c?filter=${'*'.repeat(513)}`, 400, 'invalid_parameter', /512/],
    ]
    for (const [path, status, code, says] of wrong) {
      const response = await fetch(at(path), { headers: { accept: 'text/event-stream' } })
      expect((await expectProblem(response, status, code)).detail).toMatch(says)
    }
    const bad = await fetch(at('c'), { headers: { accept: 'text/event-stream', 'last-event-id': 'x' } })
    await expectProblem(bad, 400, 'invalid_cursor')
  })

  test('HEAD shows that there would be a stream, and opens none', async () => {
    for (const path of ['c', 'c/k', '_changes']) {
      const response = await fetch(at(path), { method: 'HEAD', headers: { accept: 'text/event-stream' } })
      expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([
        200,
        'text/event-stream',
        '',
      ])
      expect(await openWatches(path)).toBe(0)
    }
  })

  test('it needs the token, as all else does', async () => {
    const closed = await startServer({ env: { KVIST_TOKEN: 'secret' } })
    try {
      for (const path of ['c', 'c/k', '_changes']) {
        const url = `${closed.url}/v1/${path}`
        await expectProblem(
          await fetch(url, { headers: { accept: 'text/event-stream' } }),
          401,
          'unauthorized',
        )
        const watch = await openWatch(url, { authorization: 'Bearer secret' })
        watch.close()
      }
    } finally {
      await closed.remove()
    }
  })
})

async function metric(name: string, kind: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return sampleOf(parseSamples(text), name, { kind })!
}

function openWatches(path: string): Promise<number> {
  const kind = path === '_changes' ? 'store' : path.includes('/') ? 'member' : 'collection'
  return metric('kvist_open_watches', kind)
}

test('a watch is counted while it is open, and its events', async () => {
  await until(async () => (await openWatches('count/k')) === 0, 'nobody watches a member')
  const before = await metric('kvist_watch_events_total', 'member')
  const watch = await openWatch(at('count/k'))
  expect(await openWatches('count/k')).toBe(1)
  await put(at('count/k'), '1')
  await watch.until(1)
  expect((await metric('kvist_watch_events_total', 'member')) - before).toBe(1)
  watch.close()
  await until(async () => (await openWatches('count/k')) === 0, 'it is closed')
})

test('silence does not end a stream, and is broken by a heartbeat', async () => {
  const watch = await openWatch(at('silent/k'))
  await put(at('silent/other'), '1')
  const heartbeat = watch.untilSo(() => watch.comments.includes('heartbeat'))
  // Longer than any other response may be silent here.
  await Promise.all([heartbeat, Bun.sleep(10_000)])
  // A reader that resumes there does not read again what was written meanwhile.
  expect(await changesAfter(watch.lastId(), 'silent')).toEqual([])
  await put(at('silent/k'), '1')
  expect(reported(await watch.until(1))).toEqual(['put silent/k=1'])
  watch.close()
})

/** A server within this process, whose streams can be hurried, and whose store can be made to fail. */
async function withOwnServer(
  options: EventStreamOptions,
  use: (own: { server: HttpServer; db: Database; counts: WatchCounts; errors: unknown[] }) => Promise<void>,
  change: (db: Database) => Partial<Database> = () => ({}),
): Promise<void> {
  const db = await openDatabase({
    open: (onCommit) => openSqlite({ dir: newFolder(), durability: 'relaxed', onCommit }),
    cacheBytes: 0,
    now: Date.now,
    onError: () => {},
  })
  const counts = watchCounts()
  const errors: unknown[] = []
  const own = listen({
    host: '127.0.0.1',
    port: 0,
    idleTimeoutSeconds: 30,
    authenticator: authenticatorOf(null),
    now: Date.now,
    hostNames: ['x'],
    routes: v1Routes({ ...db, ...change(db) }, counts, eventStreams(options)),
    onError: (error) => errors.push(error),
    observe: () => () => {},
  })
  try {
    await use({ server: own, db, counts, errors })
  } finally {
    await own.stop(0)
    await db.close()
  }
}

const content = { value: '1', contentType: 'application/json', flags: 0, expiresAtMs: null }
const usual: EventStreamOptions = { heartbeatMs: 15_000, patience: 20 }

test('heartbeats bring on those who have nothing to read', async () => {
  await withOwnServer({ heartbeatMs: 60, patience: 1000 }, async (own) => {
    const watch = await openWatch(`${own.server.url}/v1/c/k`)
    const written = await own.db.put('c', 'other', content)
    await watch.untilSo(() => Number(watch.lastId()) >= written.revision)
    expect(watch.events).toEqual([])
    const count = watch.comments.length
    await watch.untilSo(() => watch.comments.length >= count + 5)
    expect(new Set(watch.comments)).toEqual(new Set(['watching', 'heartbeat']))
    watch.close()
    await until(() => own.counts.open.member === 0, 'it is closed')
  })
})

test('a client that takes nothing of what is sent is cut in the end, one that has nothing to take is not', async () => {
  await withOwnServer({ heartbeatMs: 300, patience: 10 }, async (own) => {
    const idle = await openWatch(`${own.server.url}/v1/c/idle`)
    const port = Number(new URL(own.server.url).port)
    const socket = connect(port, '127.0.0.1', () =>
      socket.write('GET /v1/c HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n'),
    )
    socket.pause()
    socket.on('error', () => {})
    await until(() => own.counts.open.collection === 1, 'it watches')
    const large = { ...content, value: `"${'x'.repeat(1_000_000)}"` }
    for (let i = 0; i < 30; i++) await own.db.put('c', `k${i}`, large)
    await until(() => own.counts.open.collection === 0, 'it is cut')
    expect(own.counts.events.collection).toBeLessThan(30)
    expect(own.counts.open.member).toBe(1)
    idle.close()
    socket.destroy()
  })
})

test('a cursor that is gone gets a reset, and everything follows', async () => {
  // As a store does that has compacted what it was asked for.
  const forgetful = (db: Database): Partial<Database> => ({
    watch(scope, since, wake) {
      const watcher = db.watch(scope, since === null ? null : '', wake)
      let hasReset = false
      return {
        cursor: () => watcher.cursor(),
        close: () => watcher.close(),
        read() {
          if (hasReset) return watcher.read()
          hasReset = true
          return { type: 'reset', oldest: '70' }
        },
      }
    },
  })
  await withOwnServer(
    usual,
    async (own) => {
      await own.db.put('c', 'a', content)
      await own.db.put('c', 'b', content)
      const watch = await openWatch(`${own.server.url}/v1/c?since=1`)
      const [reset, ...rest] = await watch.until(3)
      expect(reset).toMatchObject({ type: 'reset', data: '{"oldest":70}' })
      expect(reported(rest)).toEqual(['put c/a=1', 'put c/b=1'])
      watch.close()
    },
    forgetful,
  )
})

test('a store that fails ends the stream, and the log has why', async () => {
  const failing = (db: Database): Partial<Database> => ({
    watch(scope, since, wake) {
      return {
        ...db.watch(scope, since, wake),
        read: () => Promise.reject(new Error('no disk')),
        cursor: () => '7',
        close() {},
      }
    },
  })
  await withOwnServer(
    usual,
    async (own) => {
      const watch = await openWatch(`${own.server.url}/v1/c`)
      await watch.ended
      expect(watch.lastId()).toBe('7')
      expect(own.errors).toEqual([new Error('no disk')])
      expect(own.counts.open.collection).toBe(0)
    },
    failing,
  )
})
