import { expect, test } from 'bun:test'
import { until } from './support/engine.ts'
import {
  contendedSeconds,
  expectSmallRequests,
  mib,
  startMemoryServer,
  storeValues,
  valueBytes,
} from './support/memory-server.ts'
import { put } from './support/responses.ts'
import { requestBytes, type Wire } from './support/wire.ts'

/** What values on their way to clients, and bodies, hold of the server's memory, and which requests wait for it. */

test('a value is read when there is room for it, and small requests go on meanwhile', async () => {
  const started = await startMemoryServer()
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
  const started = await startMemoryServer()
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

test('a part of a value takes the memory of that part, and none where the value is being sent', async () => {
  const started = await startMemoryServer()
  const { memory, reads, askUnread } = started
  await storeValues(started, 1)
  const range = { Range: `bytes=1-${10 * mib}` }
  const unread: Wire[] = []
  for (let i = 0; i < 7; i++) unread.push(await askUnread('/v1/large/0', range))
  await until(() => memory.values.waiting === 3, 'the others wait')
  expect([memory.values.usedBytes, reads]).toEqual([40 * mib, []])
  await expectSmallRequests(started)
  // While the others wait, another version is written.
  await put(`${started.url}/v1/large/0`, `"${'y'.repeat(12 * mib)}"`)
  for (const one of unread) one.resume()
  for (const [i, one] of unread.entries()) {
    const { status, body } = await one.response()
    expect([i, status, body.length, String.fromCharCode(body[0]!)]).toEqual([
      i,
      206,
      10 * mib,
      i < 4 ? 'x' : 'y',
    ])
  }
  expect([memory.values.usedBytes, memory.values.waiting]).toEqual([0, 0])

  // A range that is the whole is shared, too.
  const wholes: Wire[] = []
  for (const asked of [{ Range: 'bytes=0-' }, { Range: 'bytes=0-' }, {}]) {
    wholes.push(await askUnread('/v1/large/0', asked))
  }
  await until(() => memory.values.usedBytes > 12 * mib, 'the whole is being sent')
  const { usedBytes } = memory.values
  expect(usedBytes).toBeLessThan(13 * mib)
  const part = await askUnread('/v1/large/0', range)
  for (const one of wholes) {
    one.resume()
    await one.response()
    expect(memory.values.usedBytes).toBe(usedBytes)
  }
  part.resume()
  expect((await part.response()).body.length).toBe(10 * mib)
  expect(memory.values.usedBytes).toBe(0)
})

test('a value that is replaced while others wait for it is sent as it is then', async () => {
  const started = await startMemoryServer()
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

test('a client that does not read is cut when others wait, and the next one is served', async () => {
  const started = await startMemoryServer()
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
  const responses = await Promise.allSettled(unread.map((one) => one.response()))
  expect(responses.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'fulfilled', 'rejected'])
  expect(memory.values.usedBytes).toBe(0)
})

test('who waits and resets its connection is forgotten, and is not read for', async () => {
  const started = await startMemoryServer()
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
  const started = await startMemoryServer({ bodiesBytes: 4 * mib })
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
  const started = await startMemoryServer({ bodiesBytes: 2 * mib })
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
  const started = await startMemoryServer({ bodiesBytes: mib })
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
