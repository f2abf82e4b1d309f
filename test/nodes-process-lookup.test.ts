import { afterEach, expect, test } from 'bun:test'
import { textClient } from './support/memcached/text-client.ts'
import { startServer, type TestServer } from './support/server.ts'

/** Lookups between processes. */

const running: TestServer[] = []
afterEach(async () => {
  for (const server of running.splice(0)) await server.remove()
})

async function start(flags: readonly string[] = []): Promise<TestServer> {
  const server = await startServer({ engine: 'memory', flags })
  running.push(server)
  return server
}

const get = async (url: string) => {
  const response = await fetch(url)
  return [response.status, await response.text()]
}

test('a server with --lookup asks its targets and others, for memcached too', async () => {
  const [holder, other] = [await start(), await start()]
  const flags = ['--mirror-to', other.url, '--lookup', '--lookup-in', holder.url, '--memcached-port', '0']
  const asking = await start(flags)
  await fetch(`${holder.url}/v1/cache/a`, { method: 'PUT', body: '"on the one"' })
  await fetch(`${other.url}/v1/cache/b`, { method: 'PUT', body: '"on the other"' })
  expect(await get(`${asking.url}/v1/cache/a`)).toEqual([200, '"on the one"'])
  expect(await get(`${asking.url}/v1/cache/b`)).toEqual([200, '"on the other"'])
  const port = Number(/"memcached":"127.0.0.1:([0-9]+)"/.exec(asking.output())?.[1])
  const client = await textClient(port)
  const expected = 'VALUE a 0 10\r\non the one\r\nVALUE b 0 12\r\non the other\r\nEND\r\nEND\r\nMN\r\n'
  expect(await client.ask('get a none b\r\nget none\r\nmn\r\n', 'MN\r\n')).toBe(expected)
  await other.crash()
  expect(await client.ask('get none\r\nmn\r\n', 'MN\r\n')).toBe(
    'SERVER_ERROR not all servers answered\r\nMN\r\n',
  )
  client.destroy()
  expect((await get(`${asking.url}/v1/cache/none`))[0]).toBe(503)
  const metrics = await (await fetch(`${asking.url}/metrics`)).text()
  expect(metrics).toContain('kvist_lookups_total{outcome="found"} 4')
})
