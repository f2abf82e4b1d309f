import { afterAll, beforeAll, expect, test } from 'bun:test'
import { randomUUID } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type RunOptions, run, runOnTerminal } from '../../test/support/program.ts'
import { newFolder, startServer, type TestServer } from '../../test/support/server.ts'

/** Commands that change members, and keys that are hard to print. */

let server: TestServer
const folder = newFolder()
beforeAll(async () => {
  server = await startServer()
})
afterAll(async () => {
  await server.remove()
  rmSync(folder, { recursive: true, force: true })
})

function kvist(args: readonly string[], options: RunOptions = {}) {
  return run(args, { ...options, env: { KVIST_URL: server.url, ...options.env } })
}

/** What it printed, when it went well. */
async function printed(args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await kvist(args, options)
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return stdout.toString()
}

function newCollection(): string {
  return `writes-${randomUUID()}`
}

test('get --raw prints the text of a JSON string, and everything else as it is', async () => {
  const c = newCollection()
  const bytes = new Uint8Array([0, 255, 34])
  await printed(['put', '-c', c, 'text', 'it\'s "so"\n\u00fc'])
  await printed(['put', '-c', c, 'number', '12345678901234567890'])
  await printed(['put', '-c', c, 'object', '{"a":  "b"}'])
  await printed(['put', '-c', c, 'spaced', '-'], { stdin: '  "x"  ' })
  await printed(['put', '-c', c, 'bytes', '-'], { stdin: bytes })
  await printed(['put', '-c', c, 'quoted', '"x"', '--content-type', 'text/plain'])
  await printed(['put', '-c', c, 'typed', '"x"', '--content-type', 'application/vnd.x+json'])
  for (const [key, expected] of [
    ['text', 'it\'s "so"\n\u00fc'],
    ['number', '12345678901234567890'],
    ['object', '{"a":  "b"}'],
    ['spaced', 'x'],
    ['quoted', '"x"'],
    ['typed', 'x'],
  ] as const)
    expect(await printed(['get', '-c', c, '--raw', key])).toBe(expected)
  expect((await kvist(['get', '-c', c, '-r', 'bytes'])).stdout).toEqual(Buffer.from(bytes))
})

test('get prints the values of several keys, a line feed after each', async () => {
  const c = newCollection()
  await printed(['put', '-c', c, 'a', 'A'])
  await printed(['put', '-c', c, 'b', '-'], { stdin: '{"n": 1.0}\n' })
  expect(await printed(['get', '-c', c, 'a', 'b', 'a'])).toBe('"A"\n{"n": 1.0}\n"A"\n')
  expect(await printed(['get', '-c', c, '--raw', 'a', 'b'])).toBe('A\n{"n": 1.0}\n')
  expect(
    (await printed(['get', '-c', c, '--json', 'b', 'a'])).split('\n').map((line) => line.slice(0, 9)),
  ).toEqual(['{"key":"b', '{"key":"a', ''])
  expect(await kvist(['get', '-c', c, 'a', 'nope', 'b', 'nor'])).toEqual({
    exitCode: 1,
    stdout: Buffer.from('"A"\n{"n": 1.0}\n'),
    stderr: 'kvist: not found: nope\nkvist: not found: nor\n',
  })
})

test('keys with line breaks stay one line a key, and come out exactly with -0 and --json', async () => {
  const c = newCollection()
  const keys = ['a', 'a\nb', 'b\tc\r', '\u001b[2J']
  for (const key of keys) await printed(['put', '-c', c, key, '1'])
  const sorted = ['\u001b[2J', 'a', 'a\nb', 'b\tc\r']
  expect(await printed(['list', '-c', c])).toBe('\\u001b[2J\na\na\\u000ab\nb\\u0009c\\u000d\n')
  expect(await printed(['list', '-c', c, '--include', 'values', '--prefix', 'b'])).toBe(
    'b\\u0009c\\u000d\t1\n',
  )
  expect(await printed(['list', '-c', c, '-0'])).toBe(sorted.map((key) => `${key}\0`).join(''))
  const lines = (await printed(['list', '-c', c, '--json'])).trim().split('\n')
  expect(lines.map((line) => JSON.parse(line).key)).toEqual(sorted)
  await printed(['delete', '-c', c, ...keys])
  await fetch(`${server.url}/v1/${c}/a%00b`, { method: 'PUT', body: '1' })
  expect(await kvist(['list', '-c', c, '--null'])).toMatchObject({
    exitCode: 1,
    stderr: 'kvist: the key "a\\u0000b" has a zero byte in it: use --json\n',
  })
})

test('the keys . and .. can be put, read, listed and deleted', async () => {
  const c = newCollection()
  for (const key of ['.', '..']) {
    await printed(['put', '-c', c, key, '1'])
    expect(await printed(['get', '-c', c, key])).toBe('1')
    expect(JSON.parse(await printed(['get', '-c', c, key, '--json']))).toMatchObject({ key, value: 1 })
    await printed(['patch', '-c', c, key, '2'])
    await printed(['delete', '-c', c, key])
    expect((await kvist(['get', '-c', c, key])).stderr).toBe(`kvist: not found: ${key}\n`)
  }
})

test('patch merges, or does the operations of a JSON patch, numbers as they were written', async () => {
  const c = newCollection()
  const value = () => printed(['get', '-c', c, 'k'])
  await printed(['patch', '-c', c, 'k', '{"name":"Ada","big":12345678901234567890,"n":1.0}'])
  await printed(['patch', '-c', c, 'k', '-'], { stdin: '{"name":null,"city":"London"}' })
  expect(await value()).toBe('{"big":12345678901234567890,"n":1.0,"city":"London"}')
  const operations = '[{"op":"remove","path":"/city"},{"op":"add","path":"/x","value":2.50}]'
  const stored = JSON.parse(await printed(['patch', '-c', c, 'k', operations, '--json-patch', '--json']))
  expect(stored).toMatchObject({ key: 'k', expires_at: null })
  expect(await value()).toBe('{"big":12345678901234567890,"n":1.0,"x":2.50}')
  const stale = await kvist(['patch', '-c', c, 'k', '{}', '--if-revision', `${stored.revision + 1}`])
  expect(stale).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/^kvist: .*revision.*\n$/) })
  expect(await kvist(['patch', '-c', c, 'k', '[{"op":"put"}]', '--json-patch'])).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/^kvist: operations\[0\]: op must be .*\n$/),
  })
})

async function fill(c: string): Promise<void> {
  const body = ['a1', 'a2', 'b1'].map((key) => `{"key":"${key}","value":1}\n`).join('')
  const headers = { 'content-type': 'application/x-ndjson' }
  await fetch(`${server.url}/v1/${c}`, { method: 'POST', headers, body })
}

test('drop deletes what is selected, and says how many', async () => {
  const c = newCollection()
  await fill(c)
  const drop = ['drop', '-c', c, '--yes']
  expect(await kvist([...drop, '--prefix', 'a', '--from', 'a2'])).toMatchObject({
    exitCode: 0,
    stderr: 'kvist: deleted 1\n',
  })
  expect(await printed(['list', '-c', c])).toBe('a1\nb1\n')
  expect(await printed(['drop', '-c', c, '-y', '--json'])).toBe('{"deleted":2}\n')
})

test('drop asks on a terminal, and deletes nothing unless the reply is yes', async () => {
  const c = newCollection()
  await fill(c)
  const env = { KVIST_URL: server.url }
  for (const [typed, exitCode] of [
    ['\r', 1],
    ['n\r', 1],
    ['yesterday\r', 1],
    ['\u0003', 130],
    ['\u0004', 1],
  ] as const) {
    const terminal = runOnTerminal(['drop', '-c', c], { env })
    await terminal.shows(`delete ALL members of "${c}"? [y/N] `)
    terminal.type(typed)
    expect([typed, await terminal.exited]).toEqual([typed, exitCode])
  }
  expect(await printed(['list', '-c', c])).toBe('a1\na2\nb1\n')
  const terminal = runOnTerminal(['drop', '-c', c, '--prefix', 'a'], { env })
  await terminal.shows(`delete the members with prefix "a" of "${c}"? [y/N] `)
  terminal.type('y\r')
  await terminal.shows('kvist: deleted 2')
  expect(await terminal.exited).toBe(0)
  expect(await printed(['list', '-c', c])).toBe('b1\n')
})

test('batch commits a file, or standard input, numbers as they were written', async () => {
  const c = newCollection()
  const ref = (key: string) => `"collection":"${c}","key":"${key}"`
  const batch = `{"checks":[{${ref('a')},"revision":null}],"operations":[
    {"op":"put",${ref('a')},"value":{"big":12345678901234567890,"n":1.0},"expire_in":"1h"},
    {"op":"increment",${ref('n')},"by":2},{"op":"delete",${ref('nope')}}]}`
  const file = join(folder, 'batch.json')
  writeFileSync(file, batch)
  const { results } = JSON.parse(await printed(['batch', file]))
  const revision = expect.any(Number)
  expect(results).toEqual([{ revision }, { revision, value: 2 }, { revision: 0 }])
  expect(await printed(['get', '-c', c, 'a'])).toBe('{"big":12345678901234567890,"n":1.0}')
  const again = await kvist(['batch', '-'], { stdin: batch })
  expect(again).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/^kvist: .*revision.*\n$/) })
  for (const [stdin, message] of [
    ['{', /^kvist: - is not JSON: .*\n$/],
    ['[]', /^kvist: expected an object of fields.*\n$/],
    ['{"ops":[]}', /^kvist: there is no field "ops"; known are checks, operations, atomic\n$/],
    ['{"operations":[5]}', /^kvist: operations\[0\]: op must be .*\n$/],
    [Uint8Array.of(255), /^kvist: - is not UTF-8 text\n$/],
  ] as const)
    expect(await kvist(['batch', '-'], { stdin })).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(message),
    })
  expect(await kvist(['batch', join(folder, 'missing')])).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/^kvist: .*missing.*\n$/),
  })
})

test('batch --no-atomic names the operations that failed, and does the others', async () => {
  const c = newCollection()
  const ref = (key: string) => `"collection":"${c}","key":"${key}"`
  await printed(['put', '-c', c, 'text', 'no number'])
  const stdin = `{"operations":[{"op":"put",${ref('a')},"value":1.0},{"op":"increment",${ref('text')}},{"op":"increment",${ref('n')}}]}`
  const found = await kvist(['batch', '--no-atomic', '-'], { stdin })
  expect(found).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/^kvist: operations\[1\]: unprocessable: .*\n$/),
  })
  expect(JSON.parse(found.stdout.toString()).results).toEqual([
    { revision: expect.any(Number) },
    { error: { code: 'unprocessable', detail: expect.any(String) } },
    { revision: expect.any(Number), value: 1 },
  ])
  expect(await printed(['get', '-c', c, 'a'])).toBe('1.0')
  for (const [bad, message] of [
    ['[]', 'expected an object'],
    [`{"checks":[{${ref('a')},"revision":1}],"operations":[]}`, 'a batch that is not atomic has no checks'],
  ] as const)
    expect(await kvist(['batch', '--no-atomic', '-'], { stdin: bad })).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining(message),
    })
})

test('increment prints the number, and sets an expiry only where it creates', async () => {
  const c = newCollection()
  const increment = (...args: string[]) => printed(['increment', '-c', c, 'n', ...args])
  expect(await increment()).toBe('1\n')
  expect(await increment('-3')).toBe('-2\n')
  expect(await increment('0.5', '--if-created-expire-in', '1m')).toBe('-1.5\n')
  const first = JSON.parse(
    await printed(['increment', '-c', c, 'w', '--if-created-expire-in', '1m', '--json']),
  )
  expect(first).toMatchObject({ key: 'w', value: 1, expires_at: expect.any(String) })
  await printed(['put', '-c', c, 'page', '{"views":1}'])
  expect(await printed(['increment', '-c', c, 'page', '--path', '/views'])).toBe('2\n')
  for (const [args, message] of [
    [['increment', '-c', c, 'n', 'five'], 'BY must be a number, not "five"'],
    [['increment', '-c', c, 'n', '1e999'], 'the number to add must be a finite number, not Infinity'],
    [
      ['increment', '-c', c, 'n', '--path', 'views'],
      'path must be a JSON pointer such as "/visits", not "views"',
    ],
  ] as const)
    expect(await kvist(args)).toMatchObject({ exitCode: 2, stderr: `kvist: ${message}\n` })
})

test('touch changes when members expire, and nothing else', async () => {
  const c = newCollection()
  await printed(['put', '-c', c, 'a', 'x'])
  await printed(['put', '-c', c, 'b', '-'], { stdin: Uint8Array.of(255) })
  const before = JSON.parse(await printed(['get', '-c', c, 'a', '--json']))
  await printed(['touch', '-c', c, 'a', 'b', '--expire-at', '2999-01-01T00:00:00Z'])
  for (const key of ['a', 'b'])
    expect(JSON.parse(await printed(['get', '-c', c, key, '--json'])).expires_at).toBe(
      '2999-01-01T00:00:00.000Z',
    )
  await printed(['touch', '-c', c, 'a', '--expire-in', 'never'])
  // A shortened life is newer to other nodes, by the least that it can be.
  const origin = { ...before.origin, clock: before.origin.clock + 1 }
  expect(JSON.parse(await printed(['get', '-c', c, 'a', '--json']))).toEqual({ ...before, origin })
  expect(await kvist(['touch', '-c', c, 'nope', 'a', '--expire-in', '5m'])).toMatchObject({
    exitCode: 1,
    stderr: 'kvist: not found: nope\n',
  })
  const needs = 'touch needs --expire-in or --expire-at; --expire-in never takes the expiry away'
  expect(await kvist(['touch', '-c', c, 'a'])).toMatchObject({ exitCode: 2, stderr: `kvist: ${needs}\n` })
  const both = ['touch', '-c', c, 'a', '--expire-in', '5m', '--expire-at', '2999-01-01T00:00:00Z']
  expect((await kvist(both)).exitCode).toBe(2)
})

test('list --delimiter lists one level, in the order of the keys', async () => {
  const c = newCollection()
  const keys = ['a', 'a/1', 'a/b/1', 'b/1', 'c', 'ü/1', '\ud83c\udf3f/1']
  const body = keys.map((key) => `${JSON.stringify({ key, value: 1 })}\n`).join('')
  await fetch(`${server.url}/v1/${c}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body,
  })
  const list = (...args: string[]) => printed(['list', '-c', c, '--delimiter', '/', ...args])
  expect(await list()).toBe('a\na/\nb/\nc\nü/\n\ud83c\udf3f/\n')
  expect(await list('--prefix', 'a/')).toBe('a/1\na/b/\n')
  expect(await list('--order', 'desc', '--limit', '3')).toBe('\ud83c\udf3f/\nü/\nc\n')
  expect(await list('--json', '--prefix', 'a')).toBe('{"key":"a"}\n{"prefix":"a/"}\n')
  expect(await list('-0', '--prefix', 'a')).toBe('a\0a/\0')
  expect(await kvist(['list', '-c', c, '--delimiter', '/', '--include', 'all'])).toMatchObject({
    exitCode: 2,
    stderr: 'kvist: --delimiter lists keys alone: it does not go with --include\n',
  })
})
