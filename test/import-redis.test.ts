import { afterAll, expect } from 'bun:test'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ErrorReply } from '../src/engines/redis/resp.ts'
import { SourceConnection } from '../src/importers/redis/connection.ts'
import { certificateFolder } from './support/certificates.ts'
import { faultProxy } from './support/fault-proxy.ts'
import { membersOf, runImport } from './support/imports.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { freePorts } from './support/ports.ts'
import { type RedisServer, startRedis, startRedisCluster } from './support/redis-cluster.ts'
import { fillingCommands } from './support/redis-values.ts'
import { newFolder } from './support/server.ts'

/** `kvist import --from redis` and `--from rdb`, with a real server and the file that it saves. */

const { test, beforeAll } = needing('redis')
const folder = newFolder()
const password = 'secret words'
let kvist: ServerInProcess
let redis: RedisServer & { stop(): Promise<void> }
let connection: SourceConnection
const login = { user: null, password, tls: null }
const env = { KVIST_SOURCE_PASSWORD: password }

beforeAll(async () => {
  kvist = await serveInProcess()
  redis = await startRedis({ password, config: { dir: folder } })
  connection = await SourceConnection.open(redis, login)
  const replies = await connection.pipeline(fillingCommands())
  expect(replies.filter((reply) => reply instanceof ErrorReply)).toEqual([])
})
afterAll(async () => {
  connection?.close()
  await redis?.stop()
  await kvist?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const rejected = [
  '"bÿ": invalid_key: the key is not UTF-8: --encode-keys stores it in base64',
  '"h:binary": unsupported: a name in the hash is not UTF-8',
  `"${'k'.repeat(100)}…": invalid_key: the key has more than 512 bytes`,
  '"x:group": incomplete: stored without its consumer groups',
  '"x:twice": unsupported: the entry 1-1 of the stream has a field twice',
]
const otherDatabases = (was: string) =>
  `only database 0 ${was} read; there are keys in others: 1 in database 3 (--database)`

test('a server and its file give the same members', async () => {
  const url = `redis://127.0.0.1:${redis.port}`
  const live = await runImport(kvist.url, ['--from', 'redis', url, '-c', 'live'], env)
  expect(live.exitCode).toBe(1)
  expect(live.lines[0]).toBe(otherDatabases('is'))
  expect(live.lines.slice(1, -1).toSorted()).toEqual(rejected.map((line) => `${url}: ${line}`).toSorted())
  expect(live.lines.at(-1)).toBe('stored 20, not taken 4 (2 invalid_key, 2 unsupported), incomplete 1')

  await connection.command('SAVE')
  const file = join(folder, 'dump.rdb')
  const saved = await runImport(kvist.url, ['--from', 'rdb', file, '-c', 'saved'])
  expect(saved.exitCode).toBe(1)
  expect(saved.lines.slice(0, -1).toSorted()).toEqual(
    [...rejected.map((line) => `${file}: ${line}`), otherDatabases('was')].toSorted(),
  )

  const members = await membersOf(kvist.url, 'saved')
  expect(await membersOf(kvist.url, 'live')).toEqual({
    ...members,
    // A server says how long it still lives, and a file when it expires.
    's:lasting': {
      ...members['s:lasting'],
      expires_at: expect.stringMatching(/^2100-01-01T00:00:0|^2099-12-31T23:59:5/),
    },
  })
  expect(members).toMatchObject({
    's:text': { value_text: 'grün', content_type: 'text/plain; charset=utf-8' },
    's:bytes': { value_base64: '/wA=', content_type: 'application/octet-stream' },
    's:integer': { value_text: '12345' },
    's:json': { value_text: '{"a": 1}' },
    's:lasting': { expires_at: '2100-01-01T00:00:00.123Z' },
    'l:3': { value: ['a', 'b', 'a'] },
    'h:3': { value: { b: '1', a: 'ü', '': '' } },
    'set:64': { value: ['1', '1099511627776'] },
    'z:4': {
      value: [
        { member: 'c', score: '-inf' },
        { member: 'a', score: 1 },
        { member: 'b', score: 2.5 },
        { member: 'd', score: 'inf' },
      ],
    },
  })
  const { value: odd } = members['l:odd'] as { value: unknown[] }
  expect(odd.slice(1)).toEqual([
    { base64: '/g==' },
    ...['-1', '70000', '-70000', '9223372036854775807', '4095', '-4096', '8388607', '2147483647', '-32768'],
    'y'.repeat(200),
  ])
  const { value: stream } = members['x:many'] as { value: unknown[] }
  expect(stream.slice(0, 2)).toEqual([
    { id: '1000-0', fields: { name: 'v0', other: 'o0' } },
    { id: '1002-2', fields: { name: 'v2' } },
  ])
  expect(stream.length).toBe(249)
})

test('another database, values that are JSON, and encoded keys', async () => {
  const url = `redis://127.0.0.1:${redis.port}`
  expect(await runImport(kvist.url, ['--from', 'redis', `${url}/3`, '-c', 'three'], env)).toEqual({
    exitCode: 0,
    lines: ['stored 1, not taken 0'],
  })
  await connection.command('SAVE')
  const file = join(folder, 'dump.rdb')
  await runImport(kvist.url, ['--from', 'rdb', file, '--database', '3', '--json', '-c', 'three-json', '-q'])
  expect(await membersOf(kvist.url, 'three-json')).toEqual({ three: { value: 3 } })
  for (const source of [
    ['redis', url],
    ['rdb', file],
  ])
    await runImport(
      kvist.url,
      ['--from', ...source, '--json', '--encode-keys', '-c', `json-${source[0]}`],
      env,
    )
  for (const collection of ['json-redis', 'json-rdb']) {
    expect(await membersOf(kvist.url, collection)).toMatchObject({
      's:json': { value: { a: 1 } },
      'base64:Yv8': { value_text: 'v' },
    })
  }
})

test('a login that fails, and what is no Redis URL, is one line', async () => {
  const url = `redis://127.0.0.1:${redis.port}`
  const [port] = freePorts(1)
  const web = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: { data: (socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n') },
  })
  const cases: [string, Record<string, string>, RegExp][] = [
    [url, {}, /refused: NOAUTH.*: see --source-password-file and KVIST_SOURCE_PASSWORD$/],
    [url, { KVIST_SOURCE_PASSWORD: 'wrong' }, /refused: WRONGPASS.*: see --source-password-file/],
    [`redis://127.0.0.1:${port}`, {}, /^127\.0\.0\.1:\d+: no server listens there$/],
    [
      'redis://:pw@127.0.0.1',
      {},
      /^a password in the URL can be seen by everybody: see --source-password-file$/,
    ],
    [
      'http://127.0.0.1',
      {},
      /^"http:..127.0.0.1" is not redis:\/\/host:port\/database, or rediss:\/\/ for TLS$/,
    ],
    [`${url}/99`, env, /refused: ERR DB index is out of range$/],
    [`redis://127.0.0.1:${web.port}`, {}, /the server sent something that is not RESP|closed the connection/],
  ]
  for (const [location, variables, message] of cases) {
    const { exitCode, lines } = await runImport(kvist.url, ['--from', 'redis', location], variables)
    expect({ exitCode, lines }).toEqual({ exitCode: 1, lines: [expect.stringMatching(message)] })
  }
  web.stop(true)
})

test('a server that goes away in the middle: the same command goes on', async () => {
  await connection.pipeline([
    ['SELECT', 5],
    ['DEBUG', 'POPULATE', 12_000, 'key', 1000],
    ['SELECT', 0],
  ])
  const proxy = await faultProxy(redis.port)
  proxy.cutAfter(11_000_000)
  const args = ['--from', 'redis', `redis://127.0.0.1:${proxy.port}/5`, '-c', 'cut']
  const cwd = process.cwd()
  process.chdir(folder)
  try {
    const first = await runImport(kvist.url, args, env)
    expect(first.exitCode).toBe(1)
    expect(first.lines).toEqual([
      expect.stringMatching(/^127\.0\.0\.1:\d+: .*; the same command resumes after \d+ that were stored$/),
    ])
    const stored = Number(/after (\d+) that/.exec(first.lines[0]!)![1])
    expect(stored).toBeGreaterThan(2000)
    proxy.cutAfter(null)
    const second = await runImport(kvist.url, args, env)
    expect(second.lines[0]).toBe(`resuming after ${stored} of ${args[2]}`)
    expect(second.lines.at(-1)).toMatch(/^stored 12\d\d\d, not taken 0$/)
  } finally {
    process.chdir(cwd)
    await proxy.stop()
  }
  expect(Object.keys(await membersOf(kvist.url, 'cut')).length).toBe(12_000)
})

test('a damaged file, and half of one, is refused before anything is stored', async () => {
  await connection.command('SAVE')
  const whole = readFileSync(join(folder, 'dump.rdb'))
  const flipped = Buffer.from(whole)
  flipped[whole.length >> 1]! ^= 1
  const newer = Buffer.concat([Buffer.from('REDIS0099'), whole.subarray(9)])
  const notChecked = Buffer.concat([whole.subarray(0, whole.length >> 1)])
  notChecked.fill(0, notChecked.length - 8)
  const path = join(folder, 'bad.rdb')
  for (const [bytes, message] of [
    [flipped, `${path} is damaged, or only a part of a file: its checksum does not match`],
    [whole.subarray(0, -1000), `${path} is damaged, or only a part of a file: its checksum does not match`],
    [newer, `${path} is an RDB file of version 99: kvist reads up to 13`],
    [Buffer.from('*3\r\n$3\r\nSET'), `${path} is no RDB file: it does not begin with REDIS`],
    [Buffer.alloc(0), `${path} is no RDB file: it does not begin with REDIS`],
  ] as const) {
    writeFileSync(path, bytes)
    const { exitCode, lines } = await runImport(kvist.url, ['--from', 'rdb', path, '-c', 'bad'])
    expect({ exitCode, lines }).toEqual({ exitCode: 1, lines: [message] })
  }
  writeFileSync(path, notChecked) // as from a server that writes no checksum
  expect((await runImport(kvist.url, ['--from', 'rdb', path, '-c', 'half', '-q'])).lines.at(-1)).toMatch(
    /bad\.rdb (is damaged near byte|ends in the middle)/,
  )
  expect(await membersOf(kvist.url, 'bad')).toEqual({})
})

test('TLS, with the authority of --source-ca', async () => {
  using certificates = certificateFolder()
  const [port] = freePorts(1)
  const authority = await certificates.authority('ca')
  const tls = { ...(await authority.issue('redis')), ca: authority.ca, port: port! }
  const server = await startRedis({ tls, config: { 'tls-auth-clients': 'no' } })
  try {
    await server.command('SET', 'k', 'v')
    const args = ['--from', 'redis', `rediss://127.0.0.1:${port}`, '-c', 'tls']
    expect((await runImport(kvist.url, [...args, '--source-ca', authority.ca])).lines).toEqual([
      'stored 1, not taken 0',
    ])
    expect((await runImport(kvist.url, args)).lines).toEqual([
      `127.0.0.1:${port}: its certificate is not of an authority that is trusted: see --source-ca`,
    ])
  } finally {
    await server.stop()
  }
})

test('all primaries of a cluster', async () => {
  const cluster = await startRedisCluster()
  try {
    for (const { host, port } of cluster.servers.slice(0, 3)) {
      const primary = await SourceConnection.open({ host, port }, { user: null, password: null, tls: null })
      const keys = Array.from({ length: 300 }, (_, i) => `key ${i}`)
      await primary.pipeline(keys.map((key) => ['SET', key, 'v'])) // the two others refuse a key of the third
      primary.close()
    }
    const url = `redis://127.0.0.1:${cluster.servers[4]!.port}` // a replica
    expect(await runImport(kvist.url, ['--from', 'redis', url, '-c', 'cluster'])).toEqual({
      exitCode: 0,
      lines: ['stored 300, not taken 0'],
    })
    expect((await runImport(kvist.url, ['--from', 'redis', `${url}/1`])).lines).toEqual([
      'a cluster has database 0 alone',
    ])
  } finally {
    await cluster.stop()
  }
})
