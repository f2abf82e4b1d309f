import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { until } from '../test/support/engine.ts'
import { parseSamples, sampleOf } from '../test/support/prometheus.ts'
import { newFolder, startServer, type TestServer } from '../test/support/server.ts'
import { type Change, Kvist, KvistHttpError, KvistUnreachableError, type WatchEvent } from './client.ts'

/** Watches: against a real server, which is killed under them, and against ones that do what a real one seldom does. */

async function take<T>(items: AsyncIterable<T>, count: number): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) if (found.push(item) === count) break
  return found
}

function summaryOf(event: Change<unknown> | WatchEvent<unknown>): string {
  if (event.type === 'reset') return 'reset'
  return event.type === 'put'
    ? `put ${event.key}=${JSON.stringify(event.value)}`
    : `${event.type} ${event.key}`
}

describe('a server that stays', () => {
  let server: TestServer
  let kvist: Kvist
  beforeAll(async () => {
    server = await startServer()
    kvist = new Kvist(server.url)
  })
  afterAll(() => server.remove())

  /** Of the whole server. */
  async function openWatches(): Promise<number> {
    const samples = parseSamples(await (await fetch(`${server.url}/metrics`)).text())
    return ['store', 'collection', 'member']
      .map((kind) => sampleOf(samples, 'kvist_open_watches', { kind }) ?? 0)
      .reduce((sum, open) => sum + open)
  }

  test('a member, a part of a collection, or all of them, from now on or from a resume point', async () => {
    const users = kvist.collection<number>('users')
    await users.put('old', 0)
    let connected = 0
    const onConnect = () => connected++
    const watches = [
      users.watch({ onConnect }),
      users.watch({ key: 'b/1', onConnect }),
      users.watch({ prefix: 'b/', onConnect }),
      users.watch({ filter: '?', onConnect }),
      kvist.watch({ prefix: 'b', filter: '*2', onConnect }),
    ]
    const taking = watches.map((watch, i) => take(watch, [5, 2, 3, 1, 2][i] ?? 0))
    await until(() => connected === watches.length, 'all of them watch')
    const { revision } = await users.put('a', 1)
    await users.put('b/1', 2)
    await users.delete('b/1')
    await users.increment('b/2', 3)
    await kvist.collection('others').put('b2', [4])
    await users.put('aa', 5)
    const received = await Promise.all(taking)
    expect(received.map((events) => events.map(summaryOf))).toEqual([
      ['put a=1', 'put b/1=2', 'delete b/1', 'put b/2=3', 'put aa=5'],
      ['put b/1=2', 'delete b/1'],
      ['put b/1=2', 'delete b/1', 'put b/2=3'],
      ['put a=1'],
      ['put b/2=3', 'put b2=[4]'],
    ])
    const [first] = received[0] ?? []
    expect(first).toEqual({
      type: 'put',
      resumePoint: String(revision),
      revision,
      collection: 'users',
      key: 'a',
      value: 1,
      created_at: expect.any(String),
      updated_at: expect.any(String),
      expires_at: null,
      content_type: 'application/json',
    })

    // Of what is past the latest state comes, once.
    expect((await take(users.watch({ since: 0 }), 5)).map(summaryOf)).toEqual([
      'put old=0',
      'put a=1',
      'delete b/1',
      'put b/2=3',
      'put aa=5',
    ])
    const later = users.watch({ since: first?.resumePoint })
    expect((await take(later, 2)).map(summaryOf)).toEqual(['delete b/1', 'put b/2=3'])
    expect((await take(users.watch({ since: later.resumePoint ?? '' }), 1)).map(summaryOf)).toEqual([
      'put aa=5',
    ])
    const { next } = await users.changesPage({ limit: 4 })
    expect((await take(users.watch({ since: next }), 1)).map(summaryOf)).toEqual(['put aa=5'])

    // The id of the stream's beginning moves the point of a watch without events.
    const idle = users.watch({ key: 'nobody' })
    const waiting = idle.next()
    await until(() => idle.resumePoint !== null, 'it knows its resume point')
    expect(Number(idle.resumePoint)).toBeGreaterThanOrEqual(revision + 5)
    await idle.return()
    expect(await waiting).toEqual({ done: true, value: undefined })
  })

  test('members that expire', async () => {
    const sessions = kvist.collection<number>('sessions')
    const { revision } = await sessions.put('s', 1, { expireIn: 1 })
    const [gone] = await take(sessions.watch({ since: revision }), 1)
    expect(gone).toMatchObject({ type: 'expire', key: 's', collection: 'sessions' })
  })

  test('raw events carry the text as it was stored', async () => {
    await kvist.collection('raw').putRaw('n', '12345678901234567890.0', 'application/json')
    const [event] = await take(kvist.collection('raw').watchRaw({ since: 0 }), 1)
    expect(event).toMatchObject({
      type: 'put',
      json: expect.stringContaining('"value":12345678901234567890.0'),
    })
    expect((await take(kvist.watchRaw({ prefix: 'n', since: 0 }), 1))[0]).toEqual(event)
  })

  test('abort, return and break end it, and the request with it; an abort is no error', async () => {
    const some = kvist.collection<number>('ended')
    const ways: ((watch: AsyncIterator<unknown>, controller: AbortController) => unknown)[] = [
      (_watch, controller) => controller.abort(),
      (watch) => watch.return?.(),
    ]
    for (const end of ways) {
      const controller = new AbortController()
      const watch = some.watch({ signal: controller.signal })
      const waiting = watch.next()
      await until(async () => (await openWatches()) === 1, 'it watches')
      end(watch, controller)
      expect(await waiting).toEqual({ done: true, value: undefined })
      expect(await watch.next()).toEqual({ done: true, value: undefined })
      await until(async () => (await openWatches()) === 0, 'the server knows')
    }
    await some.put('k', 1)
    expect(await take(some.watch({ since: 0 }), 1)).toHaveLength(1) // a break
    await until(async () => (await openWatches()) === 0, 'the server knows of the break')
    expect(await take(some.watch({ since: 0, signal: AbortSignal.abort() }), 1)).toEqual([])
  })

  test('a resume point that was compacted gives a reset, and then everything that exists', async () => {
    const some = kvist.collection<number>('reset')
    await some.put('a', 1)
    await some.put('b', 2)
    await some.delete('a')
    const events = await take(some.watch({ since: 10 ** 9 }), 2)
    expect(events.map(summaryOf)).toEqual(['reset', 'put b=2'])
    expect(events[0]).toMatchObject({ oldest: expect.stringMatching(/^\d+$/) })
  })

  test('what can never be refuses at once', async () => {
    const error = await take(kvist.collection('c').watch({ since: 'nonsense' }), 1).catch((error) => error)
    expect(error).toBeInstanceOf(KvistHttpError)
    expect(error).toMatchObject({ status: 400, code: 'invalid_cursor' })
  })

  test('a value that is fine comes after one that `parse` did not take, for a watch that goes on', async () => {
    const some = kvist.collection('parsed', {
      parse(value) {
        if (value !== 1) throw new Error('not one')
        return 1
      },
    })
    await some.putRaw('a', '2', 'application/json')
    await some.put('b', 1)
    const watch = some.watch({ since: 0 })
    await expect(watch.next()).rejects.toMatchObject({ code: 'invalid_value', key: 'a' })
    expect((await take(some.watch({ since: watch.resumePoint ?? '' }), 1)).map(summaryOf)).toEqual([
      'put b=1',
    ])
  })
})

describe('a server that comes and goes', () => {
  const folders: string[] = []
  const servers: TestServer[] = []
  async function start(dataFolder: string, port = 0): Promise<TestServer> {
    const server = await startServer({ dataFolder, flags: ['--port', String(port)] })
    servers.push(server)
    return server
  }
  function folder(): string {
    const made = newFolder()
    folders.push(made)
    return made
  }
  afterAll(async () => {
    for (const server of servers) await server.remove()
    for (const made of folders) rmSync(made, { recursive: true, force: true })
  })

  test('kills in the middle of catching up and of listening: nothing is missed, nothing comes twice', async () => {
    const dataFolder = folder()
    let server = await start(dataFolder)
    const kvist = new Kvist(server.url, { retries: 20 })
    const many = kvist.collection<number>('many')
    await many.import(Array.from({ length: 30_000 }, (_, i) => ({ key: `k${i}`, value: i })))

    const known = new Map<string, number>()
    const counts = { connected: 0, lost: 0, events: 0 }
    let last = 0
    const watching = (async () => {
      const watch = many.watch({
        since: 0,
        onConnect: () => counts.connected++,
        onDisconnect: (error) => {
          expect(error).toBeInstanceOf(KvistUnreachableError)
          counts.lost++
        },
      })
      for await (const event of watch) {
        if (event.type === 'reset') throw new Error('there is nothing that was forgotten')
        expect(event.revision).toBeGreaterThan(last)
        last = event.revision
        counts.events++
        if (event.type === 'put') known.set(event.key, event.value)
        else known.delete(event.key)
        if (event.key === 'end') return
        if (counts.events % 500 === 0) await Bun.sleep(1) // slower than the server
      }
    })()

    async function killAndRestart(): Promise<void> {
      const lostBefore = counts.lost
      await server.crash()
      await until(() => counts.lost > lostBefore, 'it was noticed')
      server = await start(dataFolder, server.port)
    }
    await until(() => counts.events > 2000, 'it catches up')
    await killAndRestart()
    await until(() => counts.connected > 1 && counts.events > 8000, 'it goes on')
    await killAndRestart()
    await until(() => counts.events >= 30_000, 'it has caught up')
    for (let round = 0; round < 2; round++) {
      const writing = (async () => {
        for (let i = 0; i < 300; i += 10) {
          const keys = Array.from({ length: 10 }, (_, n) => `k${i + n}`)
          await Promise.all([
            ...keys.map((key) => many.put(key, -round)),
            many.delete(`k${20_000 + i + round}`),
          ])
        }
      })()
      const eventsBefore = counts.events
      await until(() => counts.events > eventsBefore + 100, 'it listens')
      await killAndRestart()
      await writing
    }
    await many.put('end', 0)
    await watching

    const stored = new Map<string, number>()
    for await (const { key, value } of many.export()) stored.set(key, value)
    expect(known.size).toBe(stored.size)
    expect([...known].toSorted()).toEqual([...stored].toSorted())
    expect(counts.lost).toBeGreaterThanOrEqual(4)
    expect(counts.connected).toBe(counts.lost + 1)
  })

  test('a server that stops in order is waited for as well; a store that was put back resets', async () => {
    let server = await start(folder())
    const users = new Kvist(server.url).collection<number>('users')
    await users.put('a', 1)
    await users.put('b', 2)
    const watch = users.watch({ since: 0 })
    expect([summaryOf((await next(watch)) as WatchEvent<number>), summaryOf(await next(watch))]).toEqual([
      'put a=1',
      'put b=2',
    ])
    await server.stop()
    server = await start(folder(), server.port)
    expect(summaryOf(await next(watch))).toBe('reset')
    await users.put('c', 3)
    expect(summaryOf(await next(watch))).toBe('put c=3')
    await watch.return()
  })

  test('an abort ends it while it waits for a server', async () => {
    const server = await start(folder())
    const controller = new AbortController()
    let lost = false
    const watch = new Kvist(server.url).collection('c').watch({
      signal: controller.signal,
      onDisconnect: () => {
        lost = true
      },
    })
    const waiting = watch.next()
    await until(() => watch.resumePoint !== null, 'it watches')
    await server.crash()
    await until(() => lost, 'it was noticed')
    controller.abort()
    expect(await waiting).toEqual({ done: true, value: undefined })
  })

  test('a server that was never there is an error', async () => {
    const server = await start(folder())
    await server.crash()
    const watch = new Kvist(server.url, { retries: 1 }).watch()
    await expect(watch.next()).rejects.toBeInstanceOf(KvistUnreachableError)
  })
})

async function next<E>(watch: AsyncIterator<E, void>): Promise<E> {
  const { value } = await watch.next()
  if (value === undefined) throw new Error('it has ended')
  return value
}

describe('a server that does what it should not', () => {
  /** Answers with these, one after the other, and says what it was asked for. */
  function scripted(responses: readonly (() => Response)[]) {
    const asked: string[] = []
    const server = Bun.serve({
      port: 0,
      idleTimeout: 0,
      fetch({ url }) {
        const { pathname, search } = new URL(url)
        const response = responses[Math.min(asked.push(pathname + search), responses.length) - 1]
        return response?.() ?? new Response(null, { status: 500 })
      },
    })
    return { asked, server, kvist: new Kvist(server.url.origin) }
  }

  /** A stream of events that then ends, or is silent for ever. */
  function stream(text: string, { ends }: { ends: boolean }): () => Response {
    return () =>
      new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue(text)
            if (ends) controller.close()
          },
        }),
        { headers: { 'content-type': 'text/event-stream' } },
      )
  }

  const put = (id: number) =>
    `event: put\nid: ${id}\ndata: {"revision":${id},"type":"put","collection":"c","key":"k${id}","value":${id}}\n\n`

  test('a stream that falls silent is opened anew, where it stood', async () => {
    const { asked, server, kvist } = scripted([
      stream(`: watching\nid: 3\n\n${put(4)}: heartbeat\nid: 7\n\n`, { ends: false }),
      stream(put(8), { ends: false }),
    ])
    const lost: string[] = []
    const watch = kvist.collection('c').watch({ silenceMs: 150, onDisconnect: ({ code }) => lost.push(code) })
    expect((await take(watch, 2)).map(summaryOf)).toEqual(['put k4=4', 'put k8=8'])
    expect(asked).toEqual(['/v1/c', '/v1/c?since=7'])
    expect(lost).toEqual(['timeout'])
    await server.stop(true)
  })

  test('half of an event is none: it comes whole after the connection has come back', async () => {
    const { asked, server, kvist } = scripted([
      stream(`retry: 5\n\n${put(1)}${put(2).slice(0, -3)}`, { ends: true }),
      stream(put(2), { ends: true }),
      stream(put(3), { ends: false }),
    ])
    const watch = kvist.collection('c').watch({ prefix: 'k', filter: '*' })
    expect((await take(watch, 3)).map(summaryOf)).toEqual(['put k1=1', 'put k2=2', 'put k3=3'])
    expect(asked).toEqual(['', '&since=1', '&since=2'].map((since) => `/v1/c?prefix=k&filter=*${since}`))
    await server.stop(true)
  })

  test('a watch that reconnects goes on through passing errors, and ends with a lasting one', async () => {
    const refuse = (status: number, code: string) => () =>
      Response.json({ code, detail: code, status }, { status, headers: { 'retry-after': '0' } })
    const { asked, server, kvist } = scripted([
      stream(`retry: 5\n\n${put(1)}`, { ends: true }),
      refuse(503, 'closing'),
      refuse(500, 'internal'),
      refuse(502, ''),
      refuse(429, 'busy'),
      stream(put(2), { ends: true }),
      refuse(401, 'unauthorized'),
    ])
    const events: string[] = []
    const received: string[] = []
    const watch = kvist.watch({
      onConnect: () => received.push('connected'),
      onDisconnect: ({ code }) => received.push(code),
    })
    const watching = (async () => {
      for await (const event of watch) events.push(summaryOf(event))
    })()
    await expect(watching).rejects.toMatchObject({ status: 401, code: 'unauthorized' })
    expect(events).toEqual(['put k1=1', 'put k2=2'])
    expect(received).toEqual(['connected', 'unreachable', 'connected', 'unreachable'])
    expect(asked).toHaveLength(7)
    await server.stop(true)
  })

  test('an event of a kind that is new to it is passed over; a response that is no stream is not', async () => {
    const { server, kvist } = scripted([
      stream(`event: news\nid: 1\ndata: {}\n\n${put(2)}`, { ends: false }),
      () => new Response('<html>'),
    ])
    expect((await take(kvist.watch(), 1)).map(summaryOf)).toEqual(['put k2=2'])
    await expect(kvist.watch().next()).rejects.toMatchObject({ status: 200, code: '' })
    await server.stop(true)
  })
})
