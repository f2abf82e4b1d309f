import { afterEach, expect, test } from 'bun:test'
import { openDatabase } from '../src/core/database.ts'
import type { Member } from '../src/core/member.ts'
import { openMemory } from '../src/engines/memory/engine.ts'
import { listen } from '../src/http/server.ts'
import { v1Routes } from '../src/http/v1/routes.ts'
import type { ServerMemory } from '../src/http/wire/request-memory.ts'
import { MemoryBudget } from '../src/net/budget.ts'
import { startSockets } from '../src/net/sockets.ts'
import { until } from './support/engine.ts'
import { put } from './support/responses.ts'
import { openWire, requestBytes, type Wire } from './support/wire.ts'

/** What requests hold of the server's memory, and who waits for it: in process, with a clock that the test moves. */

const mib = 1024 * 1024
/** More than the system holds for a client that does not read. */
const valueBytes = 12 * mib
const idleTimeoutSeconds = 60
/** How long a client that does nothing may hold up others that wait for memory. */
const contendedSeconds = 11

const running: { stop(): Promise<void> }[] = []
const clients: Wire[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  for (const one of running.splice(0)) await one.stop()
})

async function start({ valuesBytes = 30 * mib, pagesBytes = 30 * mib, bodiesBytes = 30 * mib } = {}) {
  const errors: unknown[] = []
  const reads: string[] = []
  const db = await openDatabase({
    open: async (onCommit) => {
      const engine = openMemory({ onCommit })
      return {
        ...engine,
        read(collection, key) {
          reads.push(key)
          return engine.read(collection, key)
        },
        readMany(refs, maxBytes) {
          const members = engine.readMany(refs, maxBytes) as (Member | null)[]
          reads.push(...refs.slice(0, members.length).map(({ key }) => key))
          return members
        },
      }
    },
    cacheBytes: 0,
    now: Date.now,
    onError: (error) => errors.push(error),
  })
  const memory: ServerMemory = {
    values: new MemoryBudget(valuesBytes),
    pages: new MemoryBudget(pagesBytes),
    bodies: new MemoryBudget(bodiesBytes),
  }
  const sockets = startSockets((error) => errors.push(error))
  sockets.registry.stop()
  const server = listen({
    host: '127.0.0.1',
    port: 0,
    idleTimeoutSeconds,
    hostNames: ['x'],
    token: null,
    routes: v1Routes(db),
    now: Date.now,
    onError: (error) => errors.push(error),
    observe: () => () => {},
    sockets,
    reads: db.readQueue(sockets.ticks.scheduleWork),
    memory,
  })
  running.push({
    async stop() {
      await server.stop(0)
      await db.close()
      expect(errors).toEqual([])
    },
  })
  const port = Number(new URL(server.url).port)
  async function connect(): Promise<Wire> {
    const client = await openWire(port)
    clients.push(client)
    return client
  }
  /** A client that asks and does not read. */
  async function askUnread(path: string, headers: Record<string, string> = {}): Promise<Wire> {
    const client = await connect()
    client.pause()
    client.write(requestBytes('GET', path, { headers }))
    await client.flushed()
    return client
  }
  function passSeconds(seconds: number): void {
    for (let i = 0; i < seconds; i++) sockets.registry.passSecond()
  }
  return { server, memory, reads, connect, askUnread, passSeconds, url: server.url }
}

type Started = Awaited<ReturnType<typeof start>>

async function storeValues({ url }: Started, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const isText = i % 2 === 0
    const body = isText ? JSON.stringify('x'.repeat(valueBytes - 2)) : new Uint8Array(valueBytes).fill(i)
    await put(`${url}/v1/large/${i}`, body, { 'content-type': isText ? 'application/json' : 'a/b' })
  }
}

/** What is small goes on whatever large values are waited for. */
async function expectSmallRequests({ url }: Started): Promise<void> {
  expect((await put(`${url}/v1/small/k`, '1')).ok).toBe(true)
  expect(await (await fetch(`${url}/v1/small/k`)).text()).toContain('1')
}

test('a value is read when there is room for it, and small requests go on meanwhile', async () => {
  const started = await start()
  const { memory, reads, askUnread } = started
  const count = 8
  await storeValues(started, count)
  const unread: Wire[] = []
  for (let i = 0; i < count; i++) unread.push(await askUnread(`/v1/large/${i}`))
  // Two fit, and one more may pass the limit.
  await until(() => memory.values.waiting === count - 3, 'the others wait')
  expect(reads).toEqual(['0', '1', '2'])
  expect(memory.values.usedBytes).toBe(3 * valueBytes)
  await expectSmallRequests(started)
  expect((await fetch(`${started.url}/v1/large/7`, { method: 'HEAD' })).headers.get('content-length')).toBe(
    String(valueBytes),
  )
  for (const one of unread) one.resume()
  for (const [i, one] of unread.entries()) {
    const { body } = await one.response()
    expect([i, body.length, body[100]]).toEqual([i, valueBytes, i % 2 === 0 ? 120 : i])
  }
  expect([memory.values.usedBytes, memory.values.waiting]).toEqual([0, 0])
})

test('a value is in memory once, however many it is sent to', async () => {
  const started = await start()
  const { memory, reads, askUnread } = started
  await storeValues(started, 2)
  const unread: Wire[] = []
  for (let i = 0; i < 20; i++) unread.push(await askUnread(`/v1/large/${i % 2}`))
  await until(() => memory.values.usedBytes === 2 * valueBytes, 'both are being sent')
  await expectSmallRequests(started)
  expect(memory.values.waiting).toBe(0)
  expect(reads.filter((key) => key !== 'k')).toEqual(['0', '1'])
  unread.pop()!.destroy()
  for (const one of unread) one.resume()
  for (const one of unread) expect((await one.response()).body.length).toBe(valueBytes)
  await until(() => memory.values.usedBytes === 0, 'all have it')
})

test('a value that is replaced while others wait for it is sent as it is then', async () => {
  const started = await start()
  const { memory, askUnread } = started
  await storeValues(started, 4)
  const first = await askUnread('/v1/large/0')
  for (const i of [1, 2]) await askUnread(`/v1/large/${i}`)
  const waiting = await askUnread('/v1/large/3')
  await until(() => memory.values.waiting === 1, 'one waits')
  await put(`${started.url}/v1/large/3`, '"small"')
  first.resume()
  expect((await first.response()).body.length).toBe(valueBytes)
  waiting.resume()
  expect((await waiting.response()).body.toString()).toBe('"small"')
})

test('who does not read is cut when others wait, and whoever is next has its turn', async () => {
  const started = await start()
  const { memory, reads, askUnread, passSeconds } = started
  await storeValues(started, 5)
  const unread: Wire[] = []
  for (let i = 0; i < 3; i++) unread.push(await askUnread(`/v1/large/${i}`))
  await until(() => reads.length === 3, 'they are being sent to')
  passSeconds(contendedSeconds)
  expect(memory.values.usedBytes).toBe(3 * valueBytes)
  const next = await askUnread('/v1/large/3')
  await until(() => memory.values.waiting === 1, 'one waits')
  passSeconds(contendedSeconds)
  await until(() => reads.includes('3'), 'it has its turn')
  next.resume()
  expect((await next.response()).body.length).toBe(valueBytes)
  // No more are cut than it takes.
  for (const one of unread) one.resume()
  const answers = await Promise.allSettled(unread.map((one) => one.response()))
  expect(answers.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'fulfilled', 'rejected'])
  expect(memory.values.usedBytes).toBe(0)
})

test('who waits and resets its connection is forgotten, and is not read for', async () => {
  const started = await start()
  const { memory, reads, url } = started
  await storeValues(started, 6)
  const unread = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const socket = await Bun.connect({
        hostname: '127.0.0.1',
        port: Number(new URL(url).port),
        socket: { data() {} },
      })
      socket.pause()
      return socket
    }),
  )
  for (const [i, socket] of unread.entries()) {
    socket.write(requestBytes('GET', `/v1/large/${i}`))
    await until(() => reads.length + memory.values.waiting === i + 1, 'it is asked for')
  }
  expect(memory.values.waiting).toBe(3)
  for (const i of [3, 4]) unread[i]!.terminate()
  await until(() => memory.values.waiting === 1, 'two are forgotten')
  for (const i of [0, 1, 2]) unread[i]!.terminate()
  await until(() => reads.length === 4, 'the last has its turn')
  expect(reads).toEqual(['0', '1', '2', '5'])
  unread[5]!.terminate()
  await until(() => memory.values.usedBytes === 0, 'all are gone')
})

test('bodies that come in share memory: the oldest goes on, the others wait, and all are stored', async () => {
  const started = await start({ bodiesBytes: 4 * mib })
  const { memory, connect } = started
  const body = new Uint8Array(2 * mib).fill(7)
  const half = mib + 1000
  const request = (i: number) =>
    requestBytes('PUT', `/v1/sent/${i}`, { headers: { 'Content-Type': 'a/b' }, body })
  const senders: Wire[] = []
  for (let i = 0; i < 6; i++) {
    const sender = await connect()
    sender.write(request(i).subarray(0, half))
    senders.push(sender)
  }
  await until(() => memory.bodies.waiting > 0, 'some wait')
  expect(memory.bodies.usedBytes).toBeLessThan(4 * mib + half)
  await expectSmallRequests(started)
  for (const [i, sender] of senders.entries()) sender.write(request(i).subarray(half))
  for (const sender of senders) expect((await sender.response('PUT')).status).toBe(201)
  expect([memory.bodies.usedBytes, memory.bodies.waiting]).toEqual([0, 0])
})

test('who stops sending is cut when others wait with their bodies', async () => {
  const started = await start({ bodiesBytes: 2 * mib })
  const { memory, connect, passSeconds } = started
  const body = new Uint8Array(3 * mib).fill(7)
  const request = requestBytes('PUT', '/v1/sent/k', { headers: { 'Content-Type': 'a/b' }, body })
  const [silent, over, waiting] = [await connect(), await connect(), await connect()]
  silent.write(request.subarray(0, 1.5 * mib))
  await until(() => memory.bodies.usedBytes > mib, 'it has sent the half')
  over.write(request.subarray(0, 1.5 * mib))
  await until(() => memory.bodies.usedBytes > 2 * mib, 'another has passed the limit')
  waiting.write(request)
  await until(() => memory.bodies.waiting === 1, 'a third waits')
  passSeconds(contendedSeconds)
  passSeconds(contendedSeconds)
  expect(await Promise.all([silent.closed, over.closed])).toHaveLength(2)
  expect((await waiting.response('PUT')).status).toBe(201)
  expect(memory.bodies.usedBytes).toBe(0)
})

test('imports share the memory of bodies', async () => {
  const started = await start({ bodiesBytes: mib })
  const { memory, connect, url } = started
  const line = (i: number) => `${JSON.stringify({ key: String(i), value: 'x'.repeat(400_000) })}\n`
  const senders: Wire[] = []
  for (let i = 0; i < 6; i++) {
    const sender = await connect()
    const text = line(i) + line(i + 10)
    const request = requestBytes('POST', '/v1/imported', {
      headers: { 'Content-Type': 'application/x-ndjson' },
      body: text,
    })
    // Lines that do not end are held.
    sender.write(request.subarray(0, request.length - 10))
    senders.push(Object.assign(sender, { rest: () => request.subarray(request.length - 10) }))
  }
  await until(() => memory.bodies.waiting > 0, 'some wait')
  await expectSmallRequests(started)
  for (const sender of senders) sender.write(sender.rest())
  for (const sender of senders)
    expect((await sender.response('POST')).body.toString()).toContain('"stored":2')
  expect([memory.bodies.usedBytes, memory.bodies.waiting]).toEqual([0, 0])
  expect(
    (await (await fetch(`${url}/v1/imported?include=keys&limit=100`)).text()).match(/"key"/g),
  ).toHaveLength(12)
})
