import { afterAll, beforeAll, expect, test as testAlways } from 'bun:test'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { Kvist } from '../sdk/client.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { run } from './support/program.ts'
import { startRedis } from './support/redis-cluster.ts'
import { newFolder } from './support/server.ts'

/** A whole store is moved from one engine to another, and loses nothing but its revisions. */

const root = 'sesame'
const folder = newFolder()
const file = join(folder, 'store.ndjson.gz')
const started: ServerInProcess[] = []
let source: ServerInProcess
let appToken: string

async function startStore(store?: readonly string[]): Promise<ServerInProcess> {
  const server = await serveInProcess({
    env: { KVIST_TOKEN: root },
    ...(store === undefined ? {} : { store }),
  })
  started.push(server)
  return server
}

function client({ url }: ServerInProcess, token = root): Kvist {
  return new Kvist(url, { token, retries: 0 })
}

beforeAll(async () => {
  source = await startStore()
  const kvist = client(source)
  const users = kvist.collection('users')
  for (let i = 0; i < 300; i++) await users.put(`u${i}`, { i })
  await users.importLines(
    '{"key":"exact","value":{"n":1.0,"big":12345678901234567890}}\n' +
      '{"key":"flagged","value":1,"flags":7,"expires_at":"2999-01-01T00:00:00Z"}\n',
  )
  await users.put('u1', { i: 'later' })
  await users.delete('u2')
  await kvist.collection('files').putRaw('a/b', Uint8Array.of(0, 255), 'image/png')
  await kvist.collection('files').putText('ö', 'grün')
  await kvist.collection('files').setSettings({ default_ttl: '7d', max_members: 100 })
  const grants = [{ collections: 'users', can: ['read'] as const }]
  appToken = (await kvist.tokens.create({ name: 'app', grants })).token
})
afterAll(async () => {
  for (const server of started) await server.stop()
  rmSync(folder, { recursive: true })
})

function kvist(server: ServerInProcess, args: readonly string[], stdin?: Uint8Array<ArrayBuffer>) {
  const env = { KVIST_URL: server.url, KVIST_TOKEN: root }
  return run(args, { env, ...(stdin === undefined ? {} : { stdin }) })
}

async function move(from: ServerInProcess, to: ServerInProcess): Promise<void> {
  expect(await kvist(from, ['export', '--all', file])).toMatchObject({
    exitCode: 0,
    stderr: 'kvist: exported 306\n',
  })
  expect(await kvist(to, ['import', '--all', file])).toMatchObject({
    exitCode: 0,
    stderr: 'kvist: stored 306, not newer than what is there 0, failed 0\n',
  })
  expect(await contentOf(to)).toEqual(await contentOf(from))
}

/** Everything but revisions, in the text of the server. */
async function contentOf(server: ServerInProcess): Promise<unknown> {
  const headers = { authorization: `Bearer ${root}` }
  const found: string[] = []
  for (let since: unknown = 0; ; ) {
    const response = await fetch(`${server.url}/v1/_changes?include=all&limit=1000&since=${since}`, {
      headers,
    })
    const { changes, next } = JSON.parse(
      await response.text(),
      (name, value, context?: { source: string }) =>
        typeof value === 'number' && name !== 'next' ? context?.source : value,
    )
    found.push(...changes.map(({ revision: _, ...change }: { revision: unknown }) => JSON.stringify(change)))
    if (changes.length === 0) break
    since = next
  }
  const tokens = (await client(server).tokens.list()).map(({ last_used_at: _, ...token }) => token)
  const { revision: _, ...settings } = await client(server).collection('files').settings()
  return { members: found.toSorted(), settings, tokens }
}

testAlways('from SQLite to memory, and to SQLite again, with tokens that still work', async () => {
  const memory = await startStore(['--engine', 'memory'])
  await move(source, memory)
  await move(memory, await startStore())
  expect((await client(memory, appToken).collection('users').get('u1'))?.value).toEqual({ i: 'later' })
  expect(await client(memory).collection('users').getText('exact')).toBe(
    '{"n":1.0,"big":12345678901234567890}',
  )
})

needing('redis').test('from SQLite to Redis, on many lines, and to SQLite again', async () => {
  const redis = await startRedis()
  try {
    const url = `redis://127.0.0.1:${redis.port}`
    const server = await startStore(['--engine', url, '--redis-placement', 'spread'])
    await move(source, server)
    await move(server, await startStore())
    await server.stop()
  } finally {
    await redis.stop()
  }
})

testAlways('an import is done again without harm, and what is newer stays', async () => {
  await kvist(source, ['export', '--all', file])
  const target = await startStore()
  await kvist(target, ['import', '--all', '-q', '-'], new Uint8Array(gunzipSync(readFileSync(file))))
  await client(target).collection('users').put('u1', 'newest')
  expect(await kvist(target, ['import', '--all', file])).toMatchObject({
    exitCode: 0,
    stderr: 'kvist: stored 0, not newer than what is there 306, failed 0\n',
  })
  expect((await client(target).collection('users').get('u1'))?.value).toBe('newest')
})

testAlways('tokens are left out if they are to be', async () => {
  const { stdout } = await kvist(source, ['export', '--all', '--no-tokens', '-q', '-'])
  const lines = stdout.toString().trimEnd().split('\n')
  expect(lines).toHaveLength(307)
  expect(lines.at(-1)).toBe('{"end":true,"lines":305}')
  expect(stdout.toString()).not.toContain('_tokens')
})

testAlways(
  'a file that is another one, or a half, and a token that may not have it all, have a line',
  async () => {
    const target = await startStore()
    const whole = gunzipSync(readFileSync(file)).toString()
    const given = async (text: string) => {
      writeFileSync(join(folder, 'bad'), text)
      const { exitCode, stderr } = await kvist(target, ['import', '--all', '-q', join(folder, 'bad')])
      expect(exitCode).toBe(1)
      return stderr.replaceAll(`${folder}/`, '')
    }
    for (const text of ['{"key":"a","value":1}\n', 'PK\x03\x04'])
      expect(await given(text)).toBe(
        'kvist: bad is no export of a whole store, as kvist export --all writes it\n',
      )
    expect(await given('')).toBe('kvist: bad is empty\n')
    expect((await client(target).collectionsPage()).collections).toEqual([])
    const half = whole.slice(0, whole.lastIndexOf('\n', whole.length / 2) + 1)
    expect(await given(half)).toBe(
      'kvist: bad is not whole: what it has is stored, and what follows is missing\n',
    )
    const lacking = whole.split('\n').toSpliced(5, 1).join('\n')
    expect(await given(lacking)).toContain('bad is not whole')
    expect(await given(whole.replace('{"end"', '{"op":"what"}\n{"end"'))).toMatch(/^kvist: bad:308: invalid_/)
    expect(await given(whole.slice(0, -40))).toMatch(
      /^kvist: bad:\d+: invalid_json: .*\nkvist: bad is not whole.*\n$/s,
    )
    await kvist(target, ['import', '--all', '-q', file])
    expect(await contentOf(target)).toEqual(await contentOf(source))

    for (const args of [
      ['export', '--all', '-'],
      ['import', '--all', file],
    ]) {
      const env = { KVIST_URL: source.url, KVIST_TOKEN: appToken }
      expect(await run(args, { env })).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining('does not grant'),
        stdout: Buffer.alloc(0),
      })
    }
    for (const args of [
      ['export', '--all', '-c', 'users', '-'],
      ['export', '--no-tokens', '-'],
      ['import', '--all', '-c', 'users', file],
      ['import', '--all', '--restart', file],
      ['import', '--all', '--from', 'csv', file],
    ])
      expect([args, (await kvist(source, args)).exitCode]).toEqual([args, 2])
  },
)
