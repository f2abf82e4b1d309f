import { afterAll, beforeAll, expect, test } from 'bun:test'
import { memcachedCounters } from '../../src/telemetry/memcached-counts.ts'
import { type MemcachedTestServer, serveMemcached } from '../support/memcached/serve.ts'
import { parseSamples, type Sample, sampleOf } from '../support/prometheus.ts'

/** `stats` and /metrics show the same numbers, and the right ones. */

let server: MemcachedTestServer
beforeAll(async () => {
  server = await serveMemcached()
})
afterAll(() => server.remove())

async function scrape(): Promise<Sample[]> {
  return parseSamples(await (await fetch(`${server.url}/metrics`)).text())
}

const block = (line: string): string => `${line}\r\nx\r\n`

/** Everything that is counted, some of it in vain. */
const session = [
  ...['set a 0 0 1', 'set a 0 0 1 noreply', 'add a 0 0 1', 'ms b 1', 'cas a 0 0 1 1', 'cas no 0 0 1 1'].map(
    block,
  ),
  ...['get a no', 'gats 100 a no', 'mg a v', 'mg no v', 'touch a 100', 'touch no 100'].map(
    (one) => `${one}\r\n`,
  ),
  ...['ma n N0 J5', 'ma n', 'incr n 1', 'decr n 1', 'decr no 1', 'delete b', 'delete b', 'md no'].map(
    (one) => `${one}\r\n`,
  ),
  'flush_all 1000\r\n',
  'no such command\r\n',
].join('')

test('what was done is counted once, and reported alike', async () => {
  const client = await server.connect()
  const other = await server.connect()
  await other.ask('mn\r\n', 'MN\r\n')
  const said = await client.ask(`${session}stats\r\n`, 'evictions 0\r\nSTAT limit_maxbytes 0\r\nEND\r\n')
  const stats = Object.fromEntries(
    [...said.matchAll(/^STAT (\S+) (.*)\r$/gm)].map(([, name, value]) => [name, value]),
  )
  expect(stats).toMatchObject({
    pid: `${server.pid}`,
    version: expect.stringContaining('kvist/'),
    curr_connections: '2',
    total_connections: '2',
    cmd_get: '6',
    get_hits: '3',
    get_misses: '3',
    cmd_set: '6',
    cmd_touch: '4',
    touch_hits: '2',
    touch_misses: '2',
    cmd_flush: '1',
    cmd_meta: '7',
    incr_hits: '2',
    incr_misses: '1',
    decr_hits: '1',
    decr_misses: '1',
    delete_hits: '1',
    delete_misses: '2',
    cas_hits: '0',
    cas_badval: '1',
    cas_misses: '1',
    auth_cmds: '0',
    curr_items: '2',
    bytes: '4',
  })
  expect(Number(stats.bytes_read)).toBe(session.length + 'mn\r\nstats\r\n'.length)
  const samples = await scrape()
  for (const { name, of } of memcachedCounters) {
    if (name.endsWith('_sent_bytes_total')) continue
    const counts = typeof of === 'string' ? { '': of } : of
    for (const [command, stat] of Object.entries(counts)) {
      const labels: Record<string, string> = command === '' ? {} : { command }
      expect({ [stat]: sampleOf(samples, name, labels) }).toEqual({ [stat]: Number(stats[stat]) })
    }
  }
  expect(sampleOf(samples, 'kvist_memcached_sent_bytes_total')).toBe(client.received() + other.received())
  expect(sampleOf(samples, 'kvist_open_connections', { protocol: 'memcached' })).toBe(2)
  client.destroy()
  other.destroy()
})

test('stats reset begins anew for stats, and not for the metrics', async () => {
  const client = await server.connect()
  await client.ask(block('set k 0 0 1'), 'STORED\r\n')
  const before = sampleOf(await scrape(), 'kvist_memcached_commands_total', { command: 'set' })
  expect(await client.ask('stats reset\r\n', '\r\n')).toBe('RESET\r\n')
  expect(await client.ask('stats\r\n', 'END\r\n')).toContain('STAT cmd_set 0\r\n')
  expect(sampleOf(await scrape(), 'kvist_memcached_commands_total', { command: 'set' })).toBe(before!)
  expect(await client.ask('stats items\r\nstats slabs\r\nmn\r\n', 'MN\r\n')).toBe('END\r\nEND\r\nMN\r\n')
  expect(await client.ask('stats toString\r\n', '\r\n')).toBe('ERROR\r\n')
  expect(await client.ask('stats settings\r\n', 'END\r\n')).toContain(
    `STAT tcpport ${server.memcachedPort}\r\n`,
  )
})
