import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { checkProblem, membersIn, put } from './support/answers.ts'
import { until } from './support/engine.ts'
import { startServer, type TestServer } from './support/server.ts'
import { expectEnded, isOpenAt, openWire, ownMib, requestBytes, type Wire } from './support/wire.ts'

/** What a connection may cost: bytes of heads, memory of those who do not read, time of those who say nothing. */

const get = requestBytes('GET', '/v1/kept/k')

async function expectAlive(wire: Wire): Promise<void> {
  wire.write(get)
  expect((await wire.answer()).body.toString()).toBe('"value"')
}

async function startWithValue(flags: readonly string[] = []): Promise<TestServer> {
  const server = await startServer({ flags })
  await put(`${server.url}/v1/kept/k`, '"value"')
  return server
}

describe('sizes', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startWithValue()
  })
  afterAll(() => server.remove())

  const start = 'PUT /v1/c/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n'
  const query = (bytes: number) =>
    `PUT /v1/c/k?${'&'.repeat(bytes - 10)} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n`

  test('of heads and targets up to their limits', async () => {
    const wire = await openWire(server.port)
    for (const bytes of [8000, 8190]) {
      wire.write(`${query(bytes)}\r\n1`)
      expect((await wire.answer('PUT')).status).toBeWithin(200, 202)
    }
    for (const bytes of [16_000, 16_300]) {
      wire.write(`${start}X: ${'x'.repeat(bytes - start.length)}\r\n\r\n1`)
      expect((await wire.answer('PUT')).status).toBe(200)
      wire.write(`${start}${'x:y\r\n'.repeat((bytes - start.length) / 5)}\r\n1`)
      expect((await wire.answer('PUT')).status).toBe(200)
    }
    await expectAlive(wire)
    wire.destroy()
  })

  const tooLarge: [string, string, number[]][] = [
    ['a head', `${start}X: ${'x'.repeat(16_500)}\r\n\r\n1`, [431]],
    ['a head of many fields', `${start}${'x:y\r\n'.repeat(3500)}\r\n1`, [431]],
    ['a large head', `${start}X: ${'x'.repeat(3_000_000)}\r\n\r\n1`, [431]],
    ['a head without an end', `${start}X: ${'x'.repeat(17_000)}`, [431]],
    ['a large head without an end', `${start}X: ${'x'.repeat(3_000_000)}`, [431]],
    ['a name without an end', `${start}${'x'.repeat(17_000)}`, [431]],
    ['a target', `${query(8200)}\r\n1`, [414]],
    ['a target without an end', `PUT /v1/c/k?${'&'.repeat(9000)}`, [414]],
    ['a target in a large head', `${query(9000)}X: ${'x'.repeat(17_000)}\r\n\r\n1`, [414, 431]],
    ['a target that is a large head', `PUT /v1/c/k?${'&'.repeat(100_000)}`, [414, 431]],
    ['a method without an end', 'P'.repeat(20_000), [400, 414, 431]],
    ['empty lines without an end', '\r\n'.repeat(1_000_000), [400, 431]],
  ]
  test('over which a request is refused, without waiting for its end', async () => {
    const before = (await membersIn(`${server.url}/v1/c`)).length
    await fetch(`${server.url}/v1/c`, { method: 'DELETE' })
    for (const [what, request, statuses] of tooLarge) {
      try {
        const wire = await openWire(server.port)
        wire.write(request)
        const answer = await wire.answer()
        expect(statuses).toContain(answer.status)
        const { headers, body } = answer
        const problem = { ...answer, type: headers['content-type'], text: body.toString() }
        checkProblem(problem, answer.status, JSON.parse(problem.text).code)
        expect(headers.connection).toBe('close')
        await expectEnded(wire)
      } catch (error) {
        throw new Error(what, { cause: error })
      }
    }
    expect(before).toBe(1)
    expect(await membersIn(`${server.url}/v1/c`)).toEqual([])
  })
})

describe('a client that sends requests and does not read', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startWithValue()
  })
  afterAll(() => server.remove())

  test('is answered no further than it reads, and gets everything right when it does', async () => {
    const count = 2000
    const values = Array.from({ length: 5 }, (_, i) => Buffer.alloc(100_000, `${i}ab`))
    for (const [i, value] of values.entries()) {
      await put(`${server.url}/v1/large/${i}`, new Uint8Array(value), { 'content-type': 'a/b' })
    }
    // Together more than the system holds between the two.
    const headers = { 'X-Padding': 'x'.repeat(10_000) }
    const requests = Array.from({ length: count }, (_, i) =>
      requestBytes('GET', `/v1/large/${i % 5}`, { headers }),
    )
    const wire = await openWire(server.port)
    wire.pause()
    const beforeMib = ownMib(server.pid)
    wire.write(Buffer.concat(requests))
    let peakMib = 0
    let isFlushed = false
    const flushed = wire.flushed().then(() => {
      isFlushed = true
    })
    for (let i = 0; i < 40; i++) {
      peakMib = Math.max(peakMib, ownMib(server.pid))
      await Bun.sleep(10)
    }
    // All of the answers are 190 MiB, all of the requests 20.
    expect(peakMib - beforeMib).toBeLessThan(60)
    expect(isFlushed).toBe(false)
    // Others are served meanwhile.
    expect((await fetch(`${server.url}/v1/kept/k`)).status).toBe(200)
    wire.resume()
    for (let i = 0; i < count; i++) {
      const { body } = await wire.answer()
      if (!body.equals(values[i % 5]!)) throw new Error(`answer ${i} is not what was asked for`)
    }
    await flushed
    await expectAlive(wire)
    wire.destroy()
    expect(ownMib(server.pid) - beforeMib).toBeLessThan(100)
  })

  test('nor while those ahead wait for something', async () => {
    const wire = await openWire(server.port)
    wire.write(requestBytes('GET', '/v1/kept/none?wait=60', { headers: { 'If-None-Match': '"0"' } }))
    const beforeMib = ownMib(server.pid)
    const padded = requestBytes('GET', '/v1/kept/k', { headers: { 'X-Padding': 'x'.repeat(10_000) } })
    const count = 6000
    wire.write(Buffer.concat(Array.from({ length: count }, () => padded)))
    let peakMib = 0
    for (let i = 0; i < 30; i++) {
      peakMib = Math.max(peakMib, ownMib(server.pid))
      await Bun.sleep(10)
    }
    // The requests are 57 MiB.
    expect(peakMib - beforeMib).toBeLessThan(30)
    await put(`${server.url}/v1/kept/none`, '1')
    expect((await wire.answer()).body.toString()).toBe('1')
    for (let i = 0; i < count; i++) {
      if ((await wire.answer()).body.toString() !== '"value"') throw new Error(`answer ${i}`)
    }
    wire.destroy()
  })
})

describe('time', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startWithValue(['--idle-timeout', '1'])
  })
  afterAll(() => server.remove())

  /** When the server closes it, from now on. */
  async function closedAfterMs(wire: Wire): Promise<number> {
    const from = performance.now()
    await wire.closed
    return performance.now() - from
  }

  /** A second, with what a busy machine adds to it. */
  function expectASecond(ms: number): void {
    expect(ms).toBeWithin(950, 3500)
  }

  /** Sends a part every so often until the server closes. */
  async function drip(wire: Wire, parts: Iterable<string>, everyMs: number): Promise<void> {
    let isOpen = true
    wire.closed.then(() => {
      isOpen = false
    })
    for (const part of parts) {
      if (!isOpen) return
      wire.write(part)
      await Bun.sleep(everyMs)
    }
  }

  test.concurrent('of those who say nothing, at the beginning or after an answer', async () => {
    const silent = await openWire(server.port)
    const used = await openWire(server.port)
    await expectAlive(used)
    for (const ms of await Promise.all([closedAfterMs(silent), closedAfterMs(used)])) expectASecond(ms)
    expect(silent.received()).toBe(0)
    expect(used.rest().length).toBe(0)
  })

  test.concurrent('of those whose head does not end, drop by drop or not', async () => {
    const head = 'GET /v1/kept/k HTTP/1.1\r\nHost: x\r\nX: '
    const stuck = await openWire(server.port)
    stuck.write(head)
    const slow = await openWire(server.port)
    drip(slow, [head, ...'x'.repeat(200)], 50)
    const empty = await openWire(server.port)
    drip(
      empty,
      Array.from({ length: 200 }, () => '\r\n'),
      50,
    )
    const behind = await openWire(server.port)
    await expectAlive(behind)
    drip(behind, head.repeat(5), 50)
    for (const ms of await Promise.all([stuck, slow, empty, behind].map(closedAfterMs))) expectASecond(ms)
  })

  test.concurrent('which begins anew with each request', async () => {
    const wire = await openWire(server.port)
    for (let i = 0; i < 5; i++) {
      await Bun.sleep(700)
      wire.write(get.subarray(0, 10))
      await Bun.sleep(100)
      wire.write(get.subarray(10))
      expect((await wire.answer()).body.toString()).toBe('"value"')
    }
    wire.destroy()
  })

  test.concurrent('of those who stop within a body, of which nothing is stored', async () => {
    const requests = [
      requestBytes('PUT', '/v1/half/k', { headers: { 'Content-Length': '10' } }),
      Buffer.from('PUT /v1/half/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n'),
      requestBytes('PUT', '/v1/half/k', { headers: { 'Content-Length': '10', Expect: '100-continue' } }),
    ]
    const wires = await Promise.all(requests.map(() => openWire(server.port)))
    for (const [i, wire] of wires.entries()) wire.write(requests[i]!)
    for (const ms of await Promise.all(wires.map(closedAfterMs))) expectASecond(ms)
    expect(await membersIn(`${server.url}/v1/half`)).toEqual([])
  })

  test.concurrent('of those who send a large body steadily does not end, that of those with a small one does', async () => {
    const part = 'x'.repeat(2000)
    const parts = ['"', ...Array.from({ length: 10 }, () => part), '"']
    const headers = { 'Content-Length': '20002' }
    const wire = await openWire(server.port)
    wire.write(requestBytes('PUT', '/v1/steady/k', { headers }))
    const small = await openWire(server.port)
    small.write(requestBytes('PUT', '/v1/steady/small', { headers: { 'Content-Length': '1000' } }))
    const smallMs = closedAfterMs(small)
    await Promise.all([drip(wire, parts, 250), drip(small, part, 50)])
    expect((await wire.answer('PUT')).status).toBe(201)
    wire.destroy()
    expectASecond(await smallMs)
    expect((await fetch(`${server.url}/v1/steady/small`)).status).toBe(404)
  })

  test.concurrent('of those who wait for something, or watch, is that which they asked for', async () => {
    const poll = await openWire(server.port)
    poll.write(requestBytes('GET', '/v1/kept/k?wait=3', { headers: { 'If-None-Match': '*' } }))
    const watch = await openWire(server.port)
    watch.write(requestBytes('GET', '/v1/kept', { headers: { Accept: 'text/event-stream' } }))
    const from = performance.now()
    expect((await poll.answer()).status).toBe(304)
    expect(performance.now() - from).toBeGreaterThan(2950)
    expect(isOpenAt(server.port, watch)).toBe(true)
    await expectAlive(poll)
    poll.destroy()
    watch.destroy()
  })

  const largeBytes = 16 * 1024 * 1024
  const bytesASecond = 16 * 1024 * 1024
  const large = Buffer.alloc(largeBytes, 'a long time ago ')
  const getLarge = requestBytes('GET', '/v1/large/k')
  let stored: Promise<unknown> | undefined
  function storeLarge(): Promise<unknown> {
    stored ??= put(`${server.url}/v1/large/k`, new Uint8Array(large), { 'content-type': 'a/b' })
    return stored
  }

  test.concurrent('of those who do not take an answer', async () => {
    await storeLarge()
    const wire = await openWire(server.port)
    wire.pause()
    wire.write(getLarge)
    await wire.flushed()
    const from = performance.now()
    await until(() => !isOpenAt(server.port, wire), 'the server has cut it')
    expectASecond(performance.now() - from)
    wire.resume()
    await wire.closed
    expect(wire.received()).toBeLessThan(largeBytes)
  })

  test.concurrent('of those who take one slowly, but steadily, does not end', async () => {
    await storeLarge()
    const wire = await openWire(server.port)
    const times = 4
    for (let i = 0; i < times; i++) wire.write(getLarge)
    // Reading goes in leaps, of megabytes when there is much; none takes half a second to be made up for.
    for (let taken = 0; taken < times * largeBytes; taken = wire.received()) {
      await until(() => wire.received() > taken, 'more has come')
      wire.pause()
      await Bun.sleep(Math.min(400, (1000 * (wire.received() - taken)) / bytesASecond))
      wire.resume()
    }
    for (let i = 0; i < times; i++) expect((await wire.answer()).body.equals(large)).toBe(true)
    await expectAlive(wire)
    wire.destroy()
  })
})
