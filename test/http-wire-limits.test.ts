import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { checkProblem, membersIn, put } from './support/responses.ts'
import type { TestServer } from './support/server.ts'
import { expectEnded, openWire, ownMib, requestBytes } from './support/wire.ts'
import { expectAlive, startWithValue } from './support/wire-server.ts'

/** What a connection may cost: bytes of heads, and memory for those who do not read. */

let server: TestServer
beforeAll(async () => {
  server = await startWithValue()
})
afterAll(() => server.remove())

describe('sizes', () => {
  const start = 'PUT /v1/c/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n'
  const query = (bytes: number) =>
    `PUT /v1/c/k?${'&'.repeat(bytes - 10)} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n`

  test('of heads and targets up to their limits', async () => {
    const wire = await openWire(server.port)
    for (const bytes of [8000, 8190]) {
      wire.write(`${query(bytes)}\r\n1`)
      expect((await wire.response('PUT')).status).toBeWithin(200, 202)
    }
    for (const bytes of [16_000, 16_300]) {
      wire.write(`${start}X: ${'x'.repeat(bytes - start.length)}\r\n\r\n1`)
      expect((await wire.response('PUT')).status).toBe(200)
      wire.write(`${start}${'x:y\r\n'.repeat((bytes - start.length) / 5)}\r\n1`)
      expect((await wire.response('PUT')).status).toBe(200)
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
        const reply = await wire.response()
        expect(statuses).toContain(reply.status)
        const { headers, body } = reply
        const problem = { ...reply, type: headers['content-type'], text: body.toString() }
        checkProblem(problem, reply.status, JSON.parse(problem.text).code)
        expect(headers.connection).toBe('close')
        await expectEnded(wire)
      } catch (error) {
        throw new Error(what, { cause: error })
      }
    }
    expect(before).toBe(1)
    expect(await membersIn(`${server.url}/v1/c`)).toEqual([])
  })

  test('of chunks may be a byte each, at no cost of memory', async () => {
    const bytes = 2 * 1024 * 1024
    const wire = await openWire(server.port)
    const beforeMib = ownMib(server.pid)
    let peakMib = beforeMib
    const timer = setInterval(() => {
      peakMib = Math.max(peakMib, ownMib(server.pid))
    }, 5)
    const headers = { 'Transfer-Encoding': 'chunked', 'Content-Type': 'a/b' }
    wire.write(requestBytes('PUT', '/v1/tiny/k', { headers }))
    wire.write(Buffer.alloc(bytes * 6, '1\r\nx\r\n'))
    wire.write('0\r\n\r\n')
    try {
      expect((await wire.response('PUT')).status).toBe(201)
    } finally {
      clearInterval(timer)
    }
    expect(peakMib - beforeMib).toBeLessThan(80)
    expect((await (await fetch(`${server.url}/v1/tiny/k`)).bytes()).length).toBe(bytes)
    wire.destroy()
  })
})

describe('a client that sends requests and does not read', () => {
  test('is sent no more than it reads, and gets everything right when it does', async () => {
    const count = 1500
    // Bytes, and text that is not as long in bytes as in characters.
    const values = [
      Buffer.alloc(100_000, 'abc'),
      Buffer.from(`"${'é'.repeat(30_000)}"`),
      Buffer.from(`"${'日1'.repeat(15_000)}"`),
      Buffer.from(`"${'é😀'.repeat(50_000)}"`),
    ]
    for (const [i, value] of values.entries()) {
      const type = { 'content-type': i === 0 ? 'a/b' : 'application/json' }
      await put(`${server.url}/v1/large/${i}`, new Uint8Array(value), type)
    }
    // Together more than the system holds between the two.
    const headers = { 'X-Padding': 'x'.repeat(10_000) }
    const requests = Array.from({ length: count }, (_, i) =>
      requestBytes('GET', `/v1/large/${i % values.length}`, { headers }),
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
    // All of the responses are 190 MiB, all of the requests 15.
    expect(peakMib - beforeMib).toBeLessThan(60)
    expect(isFlushed).toBe(false)
    // Others are served meanwhile.
    expect((await fetch(`${server.url}/v1/kept/k`)).status).toBe(200)
    wire.resume()
    for (let i = 0; i < count; i++) {
      // Slower than the server, which then has to send in parts.
      if (i % 10 === 0) {
        wire.pause()
        await Bun.sleep(3)
        wire.resume()
      }
      const { body } = await wire.response()
      if (!body.equals(values[i % values.length]!)) throw new Error(`response ${i} is not what was asked for`)
    }
    await flushed
    await expectAlive(wire)
    wire.destroy()
    expect(ownMib(server.pid) - beforeMib).toBeLessThan(150)
  })

  test('nor while those ahead wait for something', async () => {
    const wire = await openWire(server.port)
    wire.write(requestBytes('GET', '/v1/kept/none?wait=60', { headers: { 'If-None-Match': '"0"' } }))
    const beforeMib = ownMib(server.pid)
    const padded = requestBytes('GET', '/v1/kept/k', { headers: { 'X-Padding': 'x'.repeat(10_000) } })
    const count = 4000
    wire.write(Buffer.concat(Array.from({ length: count }, () => padded)))
    let peakMib = 0
    for (let i = 0; i < 30; i++) {
      peakMib = Math.max(peakMib, ownMib(server.pid))
      await Bun.sleep(10)
    }
    // The requests are 38 MiB.
    expect(peakMib - beforeMib).toBeLessThan(30)
    await put(`${server.url}/v1/kept/none`, '1')
    expect((await wire.response()).body.toString()).toBe('1')
    for (let i = 0; i < count; i++) {
      if ((await wire.response()).body.toString() !== '"value"') throw new Error(`response ${i}`)
    }
    wire.destroy()
  })
})
