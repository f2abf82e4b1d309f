import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect } from 'node:net'
import type { Stored } from '../sdk/types.ts'
import { until } from './support/engine.ts'
import { parseSamples, sampleOf } from './support/prometheus.ts'
import { expectProblem, jsonOf, put } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'

/** `GET` of a member with `wait`: the response comes at the next change. */

let server: TestServer
beforeAll(async () => {
  server = await startServer({ flags: ['--idle-timeout', '1'] })
})
afterAll(() => server.remove())

function at(path: string): string {
  return `${server.url}/v1/${path}`
}

async function stored(path: string, value: string): Promise<string> {
  return `"${(await jsonOf<Stored>(put(at(path), value))).revision}"`
}

function poll(path: string, tag: string, init: RequestInit = {}): Promise<Response> {
  return fetch(at(path), { ...init, headers: { 'if-none-match': tag } })
}

async function metric(name: string, labels: Record<string, string>): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return sampleOf(parseSamples(text), name, labels)!
}

function waiting(count: number): Promise<void> {
  return until(
    async () => (await metric('kvist_open_watches', { kind: 'poll' })) === count,
    `${count} are waiting`,
  )
}

test('it responds with the next state, headers and all', async () => {
  const tag = await stored('next/k', '1')
  const reply = poll('next/k?wait=60', tag)
  await waiting(1)
  await stored('next/other', '1')
  const changed = await stored('next/k', '{"n": 2}')
  const response = await reply
  expect([response.status, await response.text(), response.headers.get('etag')]).toEqual([
    200,
    '{"n": 2}',
    changed,
  ])
  expect(response.headers.get('content-type')).toBe('application/json')
  await waiting(0)
})

test('a hundred who wait for one member all get it', async () => {
  const tag = await stored('crowd/k', '1')
  const responses = Array.from({ length: 100 }, () => poll('crowd/k?wait=60', tag))
  await waiting(100)
  const changed = await stored('crowd/k', '2')
  for (const response of await Promise.all(responses)) {
    expect([response.status, response.headers.get('etag'), await response.text()]).toEqual([
      200,
      changed,
      '2',
    ])
  }
  await waiting(0)
})

test('of a member that is deleted, dropped or has expired, it responds as GET does', async () => {
  const tags = [
    ['gone/a', await stored('gone/a', '1')],
    ['gone/b', await stored('gone/b', '1')],
    ['gone/c', await stored('gone/c?expire_in=0.5', '1')],
  ] as const
  const responses = tags.map(([path, tag]) => poll(`${path}?wait=60`, tag))
  await waiting(3)
  await fetch(at('gone/a'), { method: 'DELETE' })
  await expectProblem(await responses[0]!, 404, 'not_found')
  await expectProblem(await responses[2]!, 404, 'not_found')
  await fetch(at('gone?prefix=b'), { method: 'DELETE' })
  await expectProblem(await responses[1]!, 404, 'not_found')
})

test('when the time is over and nothing has changed it responds 304', async () => {
  const tag = await stored('still/k', '1')
  const startedMs = performance.now()
  const response = await poll('still/k?wait=0.4s', tag)
  expect([response.status, response.headers.get('etag'), await response.text()]).toEqual([304, tag, ''])
  expect(performance.now() - startedMs).toBeGreaterThan(300)
  const head = await poll('still/k?wait=0.1', `W/${tag}`, { method: 'HEAD' })
  expect(head.status).toBe(304)
  // Silent for longer than anybody else may be here.
  expect((await poll('still/k?wait=4s', tag)).status).toBe(304)
})

test('it responds at once when the state is another, when nothing is known, or nothing is there', async () => {
  const old = await stored('once/k', '1')
  await stored('once/k', '2')
  expect((await poll('once/k?wait=60', old)).status).toBe(200)
  expect((await poll('once/k?wait=60', '"0"')).status).toBe(200)
  expect((await fetch(`${at('once/k')}?wait=60`)).status).toBe(200)
  await expectProblem(await poll('once/none?wait=60', '"7"'), 404, 'not_found')
  await expectProblem(await poll('once/none?wait=60', '*'), 404, 'not_found')
  await expectProblem(await fetch(`${at('once/none')}?wait=60`), 404, 'not_found')
  // A request that does not wait gets the usual response.
  await expectProblem(await poll('once/none', '"0"'), 404, 'not_found')
})

test('who knows that there is no member can wait until there is one', async () => {
  const reply = poll('come/k?wait=60', '"0"')
  await waiting(1)
  const tag = await stored('come/k', '1')
  const response = await reply
  expect([response.status, response.headers.get('etag')]).toEqual([200, tag])
  const never = await poll('come/never?wait=0.2', '"0"')
  expect([never.status, never.headers.get('etag'), await never.text()]).toEqual([304, '"0"', ''])
})

test('who knows any state there may be waits until it is gone', async () => {
  await stored('any/k', '1')
  const reply = poll('any/k?wait=60', '*')
  await waiting(1)
  await stored('any/k', '2')
  await fetch(at('any/k'), { method: 'DELETE' })
  await expectProblem(await reply, 404, 'not_found')
})

test('a chain of polls gets the last of many changes', async () => {
  let tag = await stored('chain/k', '0')
  let seen = 0
  const writing = (async () => {
    for (let i = 1; i <= 200; i++) await stored('chain/k', String(i))
  })()
  while (seen < 200) {
    const response = await poll('chain/k?wait=60', tag)
    expect(response.status).toBe(200)
    const value = Number(await response.text())
    expect(value).toBeGreaterThan(seen)
    seen = value
    tag = response.headers.get('etag')!
  }
  await writing
})

test('what is wrong with a wait is reported', async () => {
  const tag = await stored('wrong/k', '1')
  for (const [query, says] of [
    ['wait=abc', /"abc" is not a duration/],
    ['wait=', /duration/],
    ['wait=0', /at least a millisecond/],
    ['wait=301', /300 seconds at most/],
    ['wait=6m', /300 seconds at most/],
    ['wait=1&wait=2', /twice/],
    ['waits=1', /"waits".*known are wait/],
  ] as const) {
    const problem = await expectProblem(await poll(`wrong/k?${query}`, tag), 400, 'invalid_parameter')
    expect(problem.detail).toMatch(says)
    if (query === 'wait=6m') expect(problem.limit_seconds).toBe(300)
  }
})

test('who goes away leaves nothing behind', async () => {
  const tag = await stored('leave/k', '1')
  const sockets = Array.from({ length: 20 }, () =>
    connect(server.port, '127.0.0.1', function (this: ReturnType<typeof connect>) {
      this.write(`GET /v1/leave/k?wait=60 HTTP/1.1\r\nHost: x\r\nIf-None-Match: ${tag}\r\n\r\n`)
    }),
  )
  await waiting(20)
  for (const [i, socket] of sockets.entries()) {
    if (i % 2 === 0) socket.destroy()
    else socket.end()
  }
  await waiting(0)
})

test('the time that somebody waits is not counted as latency', async () => {
  const route = { method: 'GET', route: '/v1/:collection/:key' }
  const before = await metric('request_latency_seconds_sum', route)
  const tag = await stored('count/k', '1')
  await poll('count/k?wait=2', tag)
  expect((await metric('request_latency_seconds_sum', route)) - before).toBeLessThan(1)
})
