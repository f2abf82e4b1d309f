import { afterAll, beforeAll, expect, test } from 'bun:test'
import { randomUUID } from 'node:crypto'
import { type Ended, type RunOptions, run } from '../../test/support/program.ts'
import { kvistProgram, startServer, type TestServer } from '../../test/support/server.ts'

let server: TestServer

beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.remove())

/** A command that talks to the server of these tests. */
function kvist(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return run(args, { ...options, env: { KVIST_URL: server.url, ...options.env } })
}

/** What it printed, when it went well. */
async function printed(args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await kvist(args, options)
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return stdout.toString()
}

/** A collection that no other test uses. */
function newCollection(): string {
  return `test-${randomUUID()}`
}

async function fill(collection: string, lines: readonly object[]): Promise<void> {
  const response = await fetch(`${server.url}/v1/${collection}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines.map((line) => JSON.stringify(line)).join('\n'),
  })
  expect(await response.json()).toEqual({ stored: lines.length, failed: [] })
}

const roundTrips: [given: string, stored: string][] = [
  ['hello', '"hello"'],
  ['"hello"', '"hello"'],
  ['', '""'],
  ['-5', '-5'],
  ['-12.50', '-12.50'],
  ['0x10', '"0x10"'],
  ['007', '"007"'],
  ['true', 'true'],
  ['{"b": 1,  "a": [1.0, 1e400]}', '{"b": 1,  "a": [1.0, 1e400]}'],
  ['12345678901234567890', '12345678901234567890'],
  ['it\'s "so" \\ line\nbreak', '"it\'s \\"so\\" \\\\ line\\nbreak"'],
  ['grün 🌿', '"grün 🌿"'],
]

test.each(roundTrips)('put %j stores %j', async (given, stored) => {
  const key = `round/trip ${randomUUID()}`
  expect(await printed(['put', key, given])).toBe('')
  expect(await printed(['get', key])).toBe(stored)
  expect(await (await fetch(`${server.url}/v1/keys/${encodeURIComponent(key)}`)).text()).toBe(stored)
})

test('keys and values may begin with dashes after --', async () => {
  await printed(['put', '-c', newCollection(), '--', '-c', '--json'])
  await printed(['put', '--', '--key', '--value'])
  expect(await printed(['get', '--', '--key'])).toBe('"--value"')
})

test('a value can come from standard input, JSON, text or bytes', async () => {
  const collection = newCollection()
  const bytes = new Uint8Array([0, 255, 10, 13, 128])
  await printed(['put', '-c', collection, 'json', '-'], { stdin: '{"a": 1}\n' })
  await printed(['put', '-c', collection, 'text', '-'], { stdin: 'two\nlines\n' })
  await printed(['put', '-c', collection, 'bytes', '-'], { stdin: bytes })
  await printed(['put', '-c', collection, 'typed', '123', '--content-type', 'text/plain'])
  expect(await printed(['get', '-c', collection, 'json'])).toBe('{"a": 1}\n')
  expect(await printed(['get', '-c', collection, 'text'])).toBe('"two\\nlines\\n"')
  expect((await kvist(['get', '-c', collection, 'bytes'])).stdout).toEqual(Buffer.from(bytes))
  expect(await printed(['list', '-c', collection, '--include', 'values'])).toBe(
    'bytes\tAP8KDYA=\njson\t{"a":1}\ntext\t"two\\nlines\\n"\ntyped\t"123"\n',
  )
  expect(JSON.parse(await printed(['get', '-c', collection, 'typed', '--json']))).toMatchObject({
    value_text: '123',
    content_type: 'text/plain',
  })
})

test('get --json has the metadata, and the value as it was stored', async () => {
  const collection = newCollection()
  const stored = JSON.parse(
    await printed(['put', '-c', collection, 'k', '[1.0]', '--expire-in', '15m', '--json']),
  )
  const line = await printed(['get', '-c', collection, 'k', '--json'])
  expect(line).toContain('"value":[1.0]')
  expect(JSON.parse(line)).toEqual({ ...stored, value: [1], flags: 0, origin: expect.any(Object) })
  const livesMs = Date.parse(stored.expires_at) - Date.parse(stored.updated_at)
  expect(Math.abs(livesMs - 900_000)).toBeLessThan(1000)
})

test('get and delete say what is not there, and end with 1', async () => {
  const collection = newCollection()
  await fill(collection, [
    { key: 'a', value: 1 },
    { key: 'b', value: 2 },
    { key: 'nope2', value: 3 },
  ])
  const missing = { exitCode: 1, stdout: Buffer.from(''), stderr: 'kvist: not found: nope\n' }
  expect(await kvist(['get', '-c', collection, 'nope'])).toEqual(missing)
  expect(await kvist(['get', '-c', collection, 'nope', '--json'])).toEqual(missing)
  expect(await kvist(['delete', '-c', collection, 'a', 'nope', 'b'])).toEqual(missing)
  expect(await printed(['list', '-c', collection])).toBe('nope2\n')
})

test('put keeps the conditions it is given', async () => {
  const collection = newCollection()
  const put = ['put', '-c', collection, 'k']
  const { revision } = JSON.parse(await printed([...put, '1', '--create', '--json']))
  expect((await kvist([...put, '2', '--create'])).exitCode).toBe(1)
  const refused = await kvist([...put, '2', '--if-revision', `${revision + 1}`])
  expect(refused.exitCode).toBe(1)
  expect(refused.stderr).toMatch(/^kvist: .*revision.*\n$/)
  await printed([...put, '3', '--if-revision', `${revision}`])
  expect(await printed(['get', '-c', collection, 'k'])).toBe('3')
})

test('what the server refuses is printed in its own words', async () => {
  const { exitCode, stderr } = await kvist(['put', 'k', '1', '--expire-in', '9999999d'])
  expect(exitCode).toBe(1)
  expect(stderr).toMatch(/^kvist: the duration "9999999d" .*\n$/)
})

const notUnderstood: [args: string[], message: string][] = [
  [['gte', 'k'], 'there is no command "gte": see kvist --help'],
  [['toString'], 'there is no command "toString": see kvist --help'],
  [['get'], 'get needs KEY: the key; several may be given'],
  [['put', 'a', 'b', 'c'], 'put does not know what to do with "c"'],
  [['get', 'a', '--raw', '--json'], '--raw and --json do not go together'],
  [['list', '-0', '--json'], '-0 prints keys alone: it goes with neither --json nor --include'],
  [['list', '-5'], 'list does not know what to do with "-5"'],
  [['patch', 'k', '{'], "PATCH is not JSON: Expected '}'"],
  [['drop'], 'drop needs --collection: the collection to delete from'],
  [['drop', '-c', 'c'], 'drop asks before it deletes, and there is no terminal: say --yes'],
  [['drop', '-c', 'c', '--yes', '--prefix', ''], 'prefix must be a text that is not empty, not ""'],
  [['get', 'a', '--jsno'], 'get has no option "--jsno": see kvist get --help'],
  [['get', ''], 'the key must be a text that is not empty, not ""'],
  [
    ['delete', 'users', '-c', '_collections'],
    'the collection must be a name that does not begin with _, not "_collections"',
  ],
  [['delete', 'users', '-c', ''], 'the collection must be a text that is not empty, not ""'],
  [['put', 'k'], 'put needs VALUE: the value, or - to read it from standard input'],
  [['put'], 'put needs KEY: the key'],
  [['list', '--limit', '0'], '--limit must be a whole number from 1 to 9007199254740991, not "0"'],
  [['list', '--order', 'up'], '--order must be asc or desc, not "up"'],
  [
    ['get', 'k', '--url', 'localhost:7070'],
    'the URL of a server must be one of http or https, not "localhost:7070"',
  ],
]

test.each(notUnderstood)('%j is not understood', async (args, message) => {
  expect(await kvist(args)).toEqual({ exitCode: 2, stdout: Buffer.from(''), stderr: `kvist: ${message}\n` })
})

test('a server that is not there is named', async () => {
  const url = 'http://127.0.0.1:1'
  for (const args of [['get', 'k'], ['list'], ['put', 'k', '1'], ['export', '-']]) {
    const stderr = `kvist: cannot reach ${url}: is kvist serve running?\n`
    expect(await run([...args, '--url', url])).toEqual({ exitCode: 1, stdout: Buffer.from(''), stderr })
  }
})

test('a server that is not kvist is reported as such', async () => {
  const other = Bun.serve({ port: 0, fetch: () => new Response('<html>') })
  const { exitCode, stderr } = await run(['list', '--url', other.url.origin])
  await other.stop(true)
  expect({ exitCode, stderr }).toEqual({
    exitCode: 1,
    stderr: `kvist: what responds at ${other.url.origin} is not kvist: see --url and KVIST_URL\n`,
  })
})

test('list pages, selects, turns around and stops', async () => {
  const collection = newCollection()
  const keys = Array.from({ length: 2500 }, (_, i) => `k${String(i).padStart(4, '0')}`)
  await fill(
    collection,
    keys.map((key, i) => ({ key, value: { n: i, odd: `${i % 2}` } })),
  )
  const list = async (...args: string[]) =>
    (await printed(['list', '-c', collection, ...args])).trim().split('\n')
  expect(await list()).toEqual(keys)
  expect(await list('--limit', '2001')).toEqual(keys.slice(0, 2001))
  expect(await list('--order', 'desc', '--limit', '3')).toEqual(['k2499', 'k2498', 'k2497'])
  expect(await list('--prefix', 'k12')).toEqual(keys.slice(1200, 1300))
  expect(await list('--filter', 'k?00?', '--from', 'k0005', '--to', 'k1001')).toEqual([
    ...keys.slice(5, 10),
    'k1000',
  ])
  expect(await list('--match', '1', '--limit', '2')).toEqual(['k0001', 'k0003'])
  expect(await list('--prefix', 'nothing')).toEqual([''])
  expect((await list('--json', '--include', 'keys')).length).toBe(2500)
  expect((await list('--json', '--include', 'values', '--limit', '1500')).length).toBe(1500)
  expect(await list('--include', 'values', '--from', 'k2499')).toEqual(['k2499\t{"n":2499,"odd":"1"}'])
})

test('list --include all has columns with a tab between them, numbers as they were stored', async () => {
  const collection = newCollection()
  await printed(['put', '-c', collection, 'big', '[12345678901234567890,1.0]'])
  const [line] = (await printed(['list', '-c', collection, '--json'])).split('\n')
  const { revision, updated_at } = JSON.parse(line ?? '')
  expect(line).toContain('"value":[12345678901234567890,1.0]')
  expect(await printed(['list', '-c', collection, '--include', 'all'])).toBe(
    `big\t${revision}\t${updated_at}\t-\tapplication/json\t[12345678901234567890,1.0]\n`,
  )
})

test('collections lists what there is', async () => {
  const collection = newCollection()
  await fill(collection, [
    { key: 'a', value: 1 },
    { key: 'b', value: 2 },
  ])
  const rows = (await printed(['collections']))
    .trim()
    .split('\n')
    .map((row) => row.split('\t'))
  expect(rows.find(([name]) => name === collection)?.slice(0, 2)).toEqual([collection, '2'])
  const found = (await printed(['collections', '--json']))
    .trim()
    .split('\n')
    .map((row) => JSON.parse(row))
  expect(found.find(({ name }) => name === collection)).toMatchObject({ members: 2 })
})

test('a reader that has enough ends a list without a complaint', async () => {
  const collection = newCollection()
  await fill(
    collection,
    Array.from({ length: 5000 }, (_, i) => ({ key: `key-${i}`, value: 'x'.repeat(100) })),
  )
  for (const format of ['', '--json', '--include values']) {
    const script = `"$0" list -c ${collection} ${format} | head -n 1 >&2; echo "\${PIPESTATUS[0]}"`
    const child = Bun.spawn(['bash', '-c', script, kvistProgram], {
      env: { PATH: process.env.PATH, KVIST_URL: server.url },
      stdout: 'pipe',
      stderr: 'pipe',
    })
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()])
    expect({ stdout, lines: stderr.trim().split('\n').length }).toEqual({ stdout: '0\n', lines: 1 })
  }
})
