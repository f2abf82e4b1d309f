import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { join } from 'node:path'
import { MemcacheClient, type MultiRetrievalResponse } from 'memcache-client'
import Memcached from 'memcached'
import { type MemcachedTestServer, serveMemcached } from '../support/memcached/serve.ts'
import { needing } from '../support/needs.ts'
import { outputOf } from '../support/spawn.ts'

/** Public memcached clients, as they are, against a real server. */

let server: MemcachedTestServer
beforeAll(async () => {
  server = await serveMemcached()
})
afterAll(() => server.remove())
beforeEach(async () => {
  await (await server.connect()).ask('flush_all\r\n', 'OK\r\n')
})

/** A method of `memcached` with the arguments given: it calls back. */
function called(ask: (callback: (error: unknown, reply?: unknown) => void) => void): Promise<unknown> {
  return new Promise((resolve, reject) =>
    ask((error, reply) => (error === undefined || error === null ? resolve(reply) : reject(error))),
  )
}

test('memcached, from npm', async () => {
  // It has a connection for each command that is under way.
  const poolSize = 100
  const client = new Memcached(`127.0.0.1:${server.memcachedPort}`, { maxValue: 2 ** 24, poolSize })
  const get = (key: string) => called((done) => client.get(key, done))
  const keys = Array.from({ length: 1000 }, (_, i) => `key-${i}`)
  for (let at = 0; at < keys.length; at += poolSize) {
    const some = keys.slice(at, at + poolSize)
    await Promise.all(some.map((key) => called((done) => client.set(key, `value of ${key}`, 0, done))))
  }
  const many = await called((done) => client.getMulti(keys, done))
  expect(many).toEqual(Object.fromEntries(keys.map((key) => [key, `value of ${key}`])))

  await called((done) => client.set('json', { list: [1, 'ü'] }, 0, done))
  await called((done) => client.set('bytes', Buffer.from([0, 13, 10, 255]), 0, done))
  await called((done) => client.set('number', 41, 0, done))
  expect(await get('json')).toEqual({ list: [1, 'ü'] })
  expect(await get('bytes')).toEqual(Buffer.from([0, 13, 10, 255]))
  expect(await called((done) => client.incr('number', 1, done))).toBe(42)
  expect(await called((done) => client.decr('number', 50, done))).toBe(0)

  expect(await called((done) => client.add('key-1', 'x', 0, done)).catch(String)).toContain('not stored')
  await called((done) => client.append('key-1', '!', done))
  await called((done) => client.prepend('key-1', '¡', done))
  expect(await get('key-1')).toBe('¡value of key-1!')
  const cas = await new Promise<string>((resolve) => client.gets('key-1', (_error, { cas }) => resolve(cas)))
  expect(await called((done) => client.cas('key-1', 'new', cas, 0, done))).toBe(true)
  expect(await called((done) => client.cas('key-1', 'newer', cas, 0, done))).toBe(false)
  expect(await called((done) => client.touch('key-1', 100, done))).toBe(true)
  expect(await called((done) => client.del('key-1', done))).toBe(true)
  expect(await get('key-1')).toBeUndefined()

  const large = 'x'.repeat(5_000_000)
  await called((done) => client.set('large', large, 0, done))
  expect(await get('large')).toBe(large)
  expect(await called((done) => client.version(done))).toMatchObject([{ version: '1.6.18' }])
  expect(await called((done) => client.stats(done))).toMatchObject([{ curr_items: 1003 }])
  expect(await called((done) => client.settings(done))).toMatchObject([{ maxconns: 4096 }])
  expect(await called((done) => client.flush(done))).toEqual([true])
  expect(await get('large')).toBeUndefined()
  client.end()
})

test('memcache-client, from npm', async () => {
  // memcache-parser, within it, needs tslib without saying so: package.json does for it.
  const client = new MemcacheClient({ server: `127.0.0.1:${server.memcachedPort}`, cmdTimeout: 20_000 })
  const keys = Array.from({ length: 1000 }, (_, i) => `key-${i}`)
  await Promise.all(keys.map((key) => client.set(key, `value of ${key}`)))
  const many = await client.get<MultiRetrievalResponse<string>>(keys)
  expect(Object.values(many).map(({ value }) => value)).toEqual(keys.map((key) => `value of ${key}`))

  await client.set('json', { list: [1, 'ü'] })
  await client.set('bytes', Buffer.from([0, 13, 10, 255]), { lifetime: 100 })
  const read = async (key: string) => (await client.get<unknown>(key))?.value
  expect(await read('json')).toEqual({ list: [1, 'ü'] })
  expect(await read('bytes')).toEqual(Buffer.from([0, 13, 10, 255]))
  await client.set('n', '41')
  expect(await client.incr('n', 1)).toBe('42')
  expect(await client.decr('n', 50)).toBe('0')

  expect(await client.add('key-1', 'x').catch(String)).toContain('NOT_STORED')
  await client.append('key-1', '!')
  const { casUniq, value } = await client.gets<string>('key-1')
  expect(value).toBe('value of key-1!')
  expect(await client.cas('key-1', 'new', { casUniq })).toEqual(['STORED'])
  expect(await client.cas('key-1', 'newer', { casUniq }).catch(String)).toContain('EXISTS')
  expect(await client.touch('key-1', 100)).toEqual(['TOUCHED'])
  await client.set('quiet', '1', { noreply: true })
  expect(await read('quiet')).toBe('1')
  expect(await client.delete('key-1')).toEqual(['DELETED'])
  expect(await read('key-1')).toBeUndefined()
  expect(await client.version()).toContain('1.6.18')
  client.shutdown()
})

needing('pymemcache').test('pymemcache, from Debian', async () => {
  const script = join(import.meta.dir, '../support/memcached/pymemcache_session.py')
  const seen = JSON.parse(await outputOf(['/usr/bin/python3', script, String(server.memcachedPort)]))
  expect(seen).toEqual({
    'set_many failed': [],
    get_many: true,
    'set_many noreply': [],
    'get quiet': '1',
    delete_many: true,
    left: 1000,
    add: [true, false],
    replace: [true, false],
    appended: '234',
    cas: [true, false, null],
    gets_many: ['a', 'quiet'],
    count: [15, 0, null],
    touch: [true, false],
    delete: [true, false],
    expired: [true, null],
    large: [true, true],
    'bad key': true,
    'too large': "b'object too large for cache'",
    'after errors': 'new',
    object: { list: [1, 2, 3], text: 'grüße' },
    'unicode key': 'wert',
    version: expect.stringMatching(/^1\.6\.18 kvist\//),
    stats: [expect.any(Number), expect.any(Number)],
    flush: true,
    'after flush': 0,
  })
})

needing('memcapable').test(
  'memcapable of libmemcached, from Debian, finds nothing that is not as in memcached',
  async () => {
    const said = await outputOf(['memccapable', '-a', '-h', '127.0.0.1', '-p', String(server.memcachedPort)])
    expect(said).toContain('All tests passed')
    expect(said.match(/\[pass\]/g)!.length).toBeGreaterThan(25)
    expect(said).not.toContain('FAIL')
  },
)
