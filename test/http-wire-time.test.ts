import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { until } from './support/engine.ts'
import { membersIn, put } from './support/responses.ts'
import type { TestServer } from './support/server.ts'
import { expectEnded, isOpenAt, openWire, requestBytes, type Wire } from './support/wire.ts'
import { expectAlive, get, startWithValue } from './support/wire-server.ts'

/** How long a connection may say nothing, or take nothing: `--idle-timeout`. */

/** A pause of a client on a busy machine is shorter. */
const idleSeconds = 2

describe('the time', () => {
  let server: TestServer
  /** With the default. */
  let patient: TestServer
  beforeAll(async () => {
    ;[server, patient] = await Promise.all([
      startWithValue({ flags: ['--idle-timeout', String(idleSeconds)] }),
      startWithValue(),
    ])
  })
  afterAll(() => Promise.all([server.remove(), patient.remove()]))

  /** When the server closes it, from now on. */
  async function closedAfterMs(wire: Wire): Promise<number> {
    const from = performance.now()
    await wire.closed
    return performance.now() - from
  }

  /** Not at once, and long before a slow client is done: a busy machine adds to it, and may hide its beginning. */
  function expectTimeout(ms: number): void {
    expect(ms).toBeWithin(idleSeconds * 500, 30_000)
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

  test.concurrent('of those who read late is theirs to the end, however the connection ends then', async () => {
    const bytes = 3 * 1024 * 1024
    const value = Buffer.alloc(bytes, 'late ')
    await put(`${patient.url}/v1/late/k`, new Uint8Array(value), { 'content-type': 'a/b' })
    const lines = Array.from({ length: 20 }, (_, i) => `{"key":"${i}","value":"${'ü'.repeat(bytes / 6)}"}`)
    const ndjson = 'application/x-ndjson'
    const exported = `${patient.url}/v1/lines?include=values`
    await fetch(`${patient.url}/v1/lines`, {
      method: 'POST',
      headers: { 'content-type': ndjson },
      body: lines.join('\n'),
    })
    const { length: exportedBytes } = await (await fetch(exported, { headers: { accept: ndjson } })).bytes()
    const talks: [Buffer, number, boolean][] = [
      [requestBytes('GET', '/v1/late/k', { headers: { Connection: 'close' } }), bytes, false],
      [Buffer.from('GET /v1/late/k HTTP/1.0\r\n\r\n'), bytes, false],
      [requestBytes('GET', '/v1/late/k'), bytes, true],
      [requestBytes('GET', '/v1/lines?include=values', { headers: { Accept: ndjson } }), exportedBytes, true],
      [
        Buffer.from(`GET /v1/lines?include=values HTTP/1.0\r\nAccept: ${ndjson}\r\n\r\n`),
        exportedBytes,
        false,
      ],
    ]
    const reads = talks.map(async ([request, wanted, ends]) => {
      const wire = await openWire(patient.port)
      wire.pauseSoon()
      wire.write(request)
      if (ends) wire.end()
      await until(() => wire.received() > 0, 'the response has begun')
      await Bun.sleep(6500)
      expect(wire.received()).toBeLessThan(bytes)
      wire.resume()
      const { body } = await wire.response()
      expect([request.toString(), body.length]).toEqual([request.toString(), wanted])
      await expectEnded(wire)
    })
    await Promise.all(reads)
  })

  test.concurrent('of those who send nothing, at the beginning or after a response', async () => {
    const silent = await openWire(server.port)
    // Each is timed from its own beginning: on a busy machine the others take a while.
    const silentMs = closedAfterMs(silent)
    const used = await openWire(server.port)
    await expectAlive(used)
    for (const ms of await Promise.all([silentMs, closedAfterMs(used)])) expectTimeout(ms)
    expect(silent.received()).toBe(0)
    expect(used.rest().length).toBe(0)
  })

  test.concurrent('of those whose head does not end, drop by drop or not', async () => {
    const head = 'GET /v1/kept/k HTTP/1.1\r\nHost: x\r\nX: '
    const stuck = await openWire(server.port)
    stuck.write(head)
    const ends = [closedAfterMs(stuck)]
    const slow = await openWire(server.port)
    ends.push(closedAfterMs(slow))
    drip(slow, [head, ...'x'.repeat(1000)], 50)
    const empty = await openWire(server.port)
    ends.push(closedAfterMs(empty))
    drip(
      empty,
      Array.from({ length: 1000 }, () => '\r\n'),
      50,
    )
    const behind = await openWire(server.port)
    await expectAlive(behind)
    ends.push(closedAfterMs(behind))
    drip(behind, head.repeat(25), 50)
    for (const ms of await Promise.all(ends)) expectTimeout(ms)
  })

  test.concurrent('which begins anew with each request', async () => {
    const wire = await openWire(server.port)
    for (let i = 0; i < 5; i++) {
      await Bun.sleep(500 * idleSeconds)
      wire.write(get.subarray(0, 10))
      await Bun.sleep(100)
      wire.write(get.subarray(10))
      expect((await wire.response()).body.toString()).toBe('"value"')
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
    for (const ms of await Promise.all(wires.map(closedAfterMs))) expectTimeout(ms)
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
    expect((await wire.response('PUT')).status).toBe(201)
    wire.destroy()
    expectTimeout(await smallMs)
    expect((await fetch(`${server.url}/v1/steady/small`)).status).toBe(404)
  })

  test.concurrent('of those who wait for something, or watch, is that which they asked for', async () => {
    const poll = await openWire(server.port)
    poll.write(requestBytes('GET', '/v1/kept/k?wait=5', { headers: { 'If-None-Match': '*' } }))
    const watch = await openWire(server.port)
    watch.write(requestBytes('GET', '/v1/kept', { headers: { Accept: 'text/event-stream' } }))
    const from = performance.now()
    expect((await poll.response()).status).toBe(304)
    expect(performance.now() - from).toBeGreaterThan(4000)
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

  test.concurrent('of those who do not read a response', async () => {
    await storeLarge()
    const wire = await openWire(server.port)
    wire.pause()
    wire.write(getLarge)
    await wire.flushed()
    const from = performance.now()
    await until(() => !isOpenAt(server.port, wire), 'the server has cut it')
    expectTimeout(performance.now() - from)
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
    for (let i = 0; i < times; i++) expect((await wire.response()).body.equals(large)).toBe(true)
    wire.destroy()
  })
})
