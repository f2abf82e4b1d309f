import { afterEach, expect, mock, spyOn, test } from 'bun:test'
import { until } from './support/engine.ts'
import { serveInProcess } from './support/in-process-server.ts'
import { memcachedPortOf } from './support/memcached/serve.ts'
import { textClient } from './support/memcached/text-client.ts'
import { put } from './support/responses.ts'

afterEach(() => mock.restore())

/** Returns the timers that were started since the call and neither ended nor were stopped, by where they were started. */
function watchTimers(): () => string[] {
  const running = new Map<unknown, string>()
  const { setInterval, setTimeout, clearInterval, clearTimeout } = globalThis
  const origin = () => new Error().stack?.split('\n').find((line) => line.includes('/src/')) ?? 'elsewhere'
  type Start = (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => unknown
  spyOn(globalThis, 'setInterval').mockImplementation(((run, ms, ...args) => {
    const timer = setInterval(run, ms, ...args)
    running.set(timer, origin())
    return timer
  }) as Start as typeof setInterval)
  spyOn(globalThis, 'setTimeout').mockImplementation(((run, ms, ...args) => {
    const timer = setTimeout(() => {
      running.delete(timer)
      run(...args)
    }, ms)
    running.set(timer, origin())
    return timer
  }) as Start as typeof setTimeout)
  spyOn(globalThis, 'clearInterval').mockImplementation((timer) => {
    running.delete(timer)
    clearInterval(timer as Timer)
  })
  spyOn(globalThis, 'clearTimeout').mockImplementation((timer) => {
    running.delete(timer)
    clearTimeout(timer as Timer)
  })
  return () => [...running.values()].filter((where) => where !== 'elsewhere')
}

test('a server that was stopped has no timer and no port left', async () => {
  const left = watchTimers()
  const server = await serveInProcess({ flags: ['--memcached-port', '0'] })
  const memcachedPort = memcachedPortOf(server)
  const client = await textClient(memcachedPort)
  expect(await client.ask('set k 0 0 1\r\n1\r\n', '\r\n')).toBe('STORED\r\n')
  expect(await client.ask('flush_all 3600\r\n', '\r\n')).toBe('OK\r\n')
  expect((await put(`${server.url}/v1/c/k`, '1')).status).toBe(201)
  const url = `${server.url}/v1/c/k`
  const before = left().length
  const watch = await fetch(url, { headers: { accept: 'text/event-stream' } })
  const poll = fetch(`${url}?wait=60`, { headers: { 'if-none-match': '*' } }).catch(() => null)
  await until(() => left().length >= before + 2, 'the watch and the poll are open')
  await server.stop()
  await Promise.all([watch.text().catch(() => ''), poll])
  expect(left()).toEqual([])
  for (const port of [server.port, memcachedPort]) {
    const connecting = Bun.connect({ hostname: '127.0.0.1', port, socket: { data() {} } })
    expect(
      await connecting.then(
        () => 'connected',
        (error: { code: string }) => error.code,
      ),
    ).toBe('ECONNREFUSED')
  }
})
