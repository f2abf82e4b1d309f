import { afterAll, beforeAll, expect, test } from 'bun:test'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { maxValueBytes } from '../src/core/limits.ts'
import { importFixtures, membersOf, runImport } from './support/imports.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { newFolder } from './support/server.ts'

/** `kvist import --from`, with files as other stores leave them. */

let server: ServerInProcess
const folder = newFolder()
beforeAll(async () => {
  server = await serveInProcess()
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

const importAll = (...args: string[]) => runImport(server.url, args)

/** Copies a fixture, because the progress of an import is written beside its file. */
function fixture(name: string): string {
  const path = join(folder, name.replaceAll('/', '-'))
  copyFileSync(join(importFixtures, name), path)
  return path
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

async function dialect(path: string): Promise<unknown> {
  return (await fetch(`${server.url}/dialects/${path}`)).json()
}

test('pickleDB: values without their wrapper, with expiry, byte for byte', async () => {
  const { exitCode, lines } = await importAll('--from', 'pickledb', fixture('pickledb.db'))
  expect({ exitCode, lines }).toEqual({ exitCode: 0, lines: ['stored 5, not taken 0, expired 1'] })
  expect(await dialect('keys/keys/word')).toEqual({ response: 'wörd' })
  const deep = await fetch(`${server.url}/v1/keys/deep`)
  expect(await deep.text()).toBe('{"a": [1, 2.5, null], "big": 12345678901234567890}')
  const members = await membersOf(server.url, 'keys')
  expect(members).toMatchObject({
    lasting: { value: 'here', expires_at: '2126-10-08T12:00:00.250Z' },
    list: { value: [1, 'two'] },
    plain: { value: 'of pickleDB itself' },
  })
  expect(members).not.toHaveProperty('gone')
})

test('Ozza: each resource is a collection, and the later of two members with one id wins', async () => {
  const path = fixture('ozza.oz')
  const { exitCode, lines } = await importAll('--from', 'ozza', path)
  expect({ exitCode, lines }).toEqual({
    exitCode: 1,
    lines: [
      `${path}: "ann": duplicate: it comes again: the later one replaces it`,
      'stored 4, not taken 1 (1 duplicate), expired 1',
    ],
  })
  expect(await (await fetch(`${server.url}/v1/users/7`)).text()).toBe('{"id":7,"n":12345678901234567890}')
  expect(await membersOf(server.url, 'users')).toMatchObject({
    '7': { expires_at: '2100-01-01T00:00:00.000Z' },
    ann: { value: { id: 'ann', name: 'Ann again' } },
  })
  expect(await dialect('ozza/orders')).toMatchObject({ result: [{ id: 'o/1', expiry_time: 0 }] })
})

test('minstore: a record for each file, as the dialect keeps it', async () => {
  const path = join(folder, 'minstore')
  mkdirSync(path)
  for (const name of ['note-1', 'note-2'])
    copyFileSync(join(importFixtures, 'minstore', name), join(path, name))
  writeFileSync(join(path, 'half'), '{"uid": "half", "val')
  writeFileSync(join(path, 'other'), '[1]')
  mkdirSync(join(path, 'nested'))
  writeFileSync(Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0xff])]), '{}')
  const { exitCode, lines } = await importAll('--from', 'minstore', path, '-q')
  expect(exitCode).toBe(1)
  expect(lines.map((line) => line.slice(path.length))).toEqual([
    ': "half": damaged: the file holds no record: a JSON object with "uid" and "value"',
    ': "nested": damaged: it is no file, and so no record',
    ': "other": damaged: the file holds no record: a JSON object with "uid" and "value"',
    ': "ÿ": invalid_key: the key is not UTF-8: --encode-keys stores it in base64',
  ])
  expect(await dialect('minstore/text/note-2')).toMatchObject({ value: 'grüß dich (Marked).', lang: 'ca' })
  expect(await (await fetch(`${server.url}/v1/text/note-1`)).text()).toContain(
    '"check_sum": -8211373447230463210',
  )
})

test('TenantBase: of several rows with one key the last counts', async () => {
  const path = fixture('tenantbase.db')
  const { exitCode, lines } = await importAll('--from', 'tenantbase', path)
  expect({ exitCode, lines }).toEqual({
    exitCode: 1,
    lines: [
      `${path}: "code": duplicate: it comes again: the later one replaces it`,
      'stored 4, not taken 1 (1 duplicate)',
    ],
  })
  expect(await dialect('tenantbase/get-value?key=code')).toEqual({ value: 'test' })
  expect(await membersOf(server.url, 'cache')).toEqual({
    code: { value: 'test' },
    grün: { value: 'schön' },
    number: { value: '12' },
  })
})

test.each(['gnu', 'ndbm', 'sqlite3', 'dumb'])('Reforg: dbm in the format %s', async (format) => {
  const endings = { gnu: [''], ndbm: ['.db'], sqlite3: [''], dumb: ['.dat', '.dir'] }[format]!
  const path = join(folder, `${format}-store`)
  for (const ending of endings)
    copyFileSync(join(importFixtures, `reforg-${format}/store_perm${ending}`), path + ending)
  const args = ['--from', 'reforg', path, '-c', format]
  expect(await importAll(...args)).toMatchObject({
    exitCode: 1,
    lines: [
      `${path}: "ÿ\\u0000": invalid_key: the key is not UTF-8: --encode-keys stores it in base64`,
      'stored 103, not taken 1 (1 invalid_key)',
    ],
  })
  expect((await importAll(...args, '--encode-keys')).lines).toEqual(['stored 104, not taken 0'])
  const members = await membersOf(server.url, format)
  expect(Object.keys(members).length).toBe(104)
  expect(members).toMatchObject({
    'base64:_wA': { value_base64: '/gE=', content_type: 'application/octet-stream' },
    greeting: { value: 'hello' },
    grün: { value: 'schön "quoted"\n' },
    "it's": { value: 'a\\b' },
    'key 051': { value: 'changed' },
    large: { value: '0123456789'.repeat(2000) },
  })
  expect(members).not.toHaveProperty('key 050')
})

test('Consul, Cloudflare KV: base64, flags, expiry, and what is lost', async () => {
  const consul = file(
    'consul.json',
    JSON.stringify([
      { key: 'app/name', flags: 42, value: Buffer.from('grün').toString('base64') },
      { key: 'app/json', flags: 0, value: Buffer.from('{"a": 1}').toString('base64') },
      { key: 'app/', flags: 0, value: '' },
      { key: 'many', flags: 2 ** 40, value: '/w==' },
      { key: 'bad', flags: 0, value: 'x' },
      { value: '' },
      3,
    ]),
  )
  expect(await importAll('--from', 'consul', consul, '-c', 'consul', '--json')).toEqual({
    exitCode: 1,
    lines: [
      `${consul}: "many": incomplete: stored without its flags, which have more than 32 bits`,
      `${consul}: "bad": damaged: its "value" is not base64`,
      `${consul}: "element 6": damaged: it has no "key" that is text`,
      `${consul}: "element 7": damaged: it is no object`,
      'stored 4, not taken 3 (3 damaged), incomplete 1',
    ],
  })
  const text = { content_type: 'text/plain; charset=utf-8' }
  expect(await membersOf(server.url, 'consul')).toEqual({
    'app/': { ...text, value_text: '' },
    'app/json': { value: { a: 1 } },
    'app/name': { ...text, value_text: 'grün', flags: 42 },
    many: { content_type: 'application/octet-stream', value_base64: '/w==' },
  })

  const cloudflare = file(
    'cloudflare.json',
    JSON.stringify([
      { key: 'text', value: '{"a":1}', expiration: 4102444800 },
      { key: 'bytes', value: '/w==', base64: true, metadata: { a: 1 } },
      { key: 'gone', value: '', expiration: 1578435000 },
      { key: 'soon', value: '', expiration_ttl: 3600 },
      { key: 'none', value: 1 },
    ]),
  )
  expect(await importAll('--from', 'cloudflare-kv', cloudflare, '-c', 'workers', '--prefix', 'cf/')).toEqual({
    exitCode: 1,
    lines: [
      `${cloudflare}: "cf/bytes": incomplete: stored without its metadata`,
      `${cloudflare}: "none": damaged: its "value" is no text`,
      'stored 3, not taken 1 (1 damaged), incomplete 1, expired 1',
    ],
  })
  const workers = await membersOf(server.url, 'workers')
  expect(workers).toMatchObject({
    'cf/text': { ...text, value_text: '{"a":1}', expires_at: '2100-01-01T00:00:00.000Z' },
    'cf/bytes': { value_base64: '/w==' },
    'cf/soon': { expires_at: expect.any(String) },
  })
})

test('CSV: strings as they stand, or JSON with --infer', async () => {
  const content = '\ufeffid;name;n;ok\r\n1;"A ""x""; y";007;true\r\n2;"two\nlines";1.50;\r\n'
  const path = file('table.csv', content)
  const args = ['--from', 'csv', '--key', 'id', '--delimiter', ';', path]
  expect(await importAll(...args, '-c', 'strings')).toEqual({
    exitCode: 0,
    lines: ['stored 2, not taken 0'],
  })
  expect(await membersOf(server.url, 'strings')).toEqual({
    '1': { value: { id: '1', name: 'A "x"; y', n: '007', ok: 'true' } },
    '2': { value: { id: '2', name: 'two\nlines', n: '1.50', ok: '' } },
  })
  const packed = file('table.csv.gz', gzipSync(content))
  await importAll(...args.slice(0, -1), packed, '--infer', '-c', 'inferred')
  expect(await (await fetch(`${server.url}/v1/inferred/2`)).text()).toBe(
    '{"id":2,"name":"two\\nlines","n":1.50,"ok":null}',
  )
  expect(await membersOf(server.url, 'inferred')).toMatchObject({ '1': { value: { n: '007', ok: true } } })
})

test('JSON: an array of objects by a field, an object by its names', async () => {
  const array = file('a.json', '[ {"id": 1, "a":\n 1.0}, {"id":"two"}, {}, {"id":"two","b":2}, 5, {"id":x}]')
  expect(await importAll('--from', 'json', '--key', 'id', array, '-c', 'array')).toEqual({
    exitCode: 1,
    lines: [
      `${array}: "element 3": damaged: it has no "id" that is a text or a number`,
      `${array}: "two": duplicate: it comes again: the later one replaces it`,
      `${array}: "element 5": damaged: it has no "id" that is a text or a number`,
      `${array}: "element 6": damaged: it is not JSON`,
      'stored 3, not taken 4 (3 damaged, 1 duplicate)',
    ],
  })
  expect(await (await fetch(`${server.url}/v1/array/1`)).text()).toBe('{"id": 1, "a":\n 1.0}')
  expect(await membersOf(server.url, 'array')).toMatchObject({ two: { value: { b: 2 } } })

  const object = file('o.json', '{"a": [1], "b\\u00e4": "x"}')
  expect(await importAll('--from', 'json', object, '-c', 'object')).toEqual({
    exitCode: 0,
    lines: ['stored 2, not taken 0'],
  })
  expect(await membersOf(server.url, 'object')).toEqual({ a: { value: [1] }, bä: { value: 'x' } })
})

test('keys and values over the limits are named, and the rest is stored', async () => {
  const long = 'k'.repeat(513)
  const path = file(
    'limits.json',
    `{"": 1, "${long}": 1, "large": "${'x'.repeat(maxValueBytes)}", "good": 1, "\\ud800": 1}`,
  )
  const { exitCode, lines } = await importAll('--from', 'json', path, '-c', 'limits')
  expect({ exitCode, lines }).toEqual({
    exitCode: 1,
    lines: [
      `${path}: "": invalid_key: the key is empty`,
      `${path}: "${'k'.repeat(100)}…": invalid_key: the key has more than 512 bytes`,
      `${path}: "large": too_large: the value has 16777218 bytes, and at most 16777216 are allowed`,
      `${path}: "\\ud800": invalid_key: the key is not UTF-8`,
      'stored 1, not taken 4 (3 invalid_key, 1 too_large)',
    ],
  })
})

test('a collection with a default time to live takes what never expires as that', async () => {
  const settings = { method: 'PUT', body: '{"default_ttl":"1h"}' }
  expect((await fetch(`${server.url}/v1/_collections/lasting`, settings)).ok).toBe(true)
  await importAll('--from', 'json', file('lasting.json', '{"a": 1}'), '-c', 'lasting')
  expect(await membersOf(server.url, 'lasting')).toEqual({ a: { value: 1 } })
})

test('a progress that cannot be written does not stop an import', async () => {
  const path = file('unsaved.json', '{"a": 1}')
  mkdirSync(`${path}.kvist-progress.new`)
  const { exitCode, lines } = await importAll('--from', 'json', path, '-c', 'unsaved')
  expect({ exitCode, lines }).toEqual({
    exitCode: 0,
    lines: [
      expect.stringMatching(/: an interrupted import will start at the beginning$/),
      'stored 1, not taken 0',
    ],
  })
})

test('--dry-run stores nothing and reports the same, --report names all in a file', async () => {
  const path = file('dry.json', '{"a": 1, "": 2, "b": 3}')
  const report = join(folder, 'report.ndjson')
  const args = ['--from', 'json', path, '-c', 'dry', '--report', report]
  expect(await importAll(...args, '--dry-run')).toEqual({
    exitCode: 1,
    lines: ['would store 2, not taken 1 (1 invalid_key)'],
  })
  expect(readFileSync(report, 'utf8')).toBe('{"key":"","code":"invalid_key","detail":"the key is empty"}\n')
  expect(await membersOf(server.url, 'dry')).toEqual({})
  expect((await importAll(...args)).lines).toEqual(['stored 2, not taken 1 (1 invalid_key)'])
  expect(existsSync(`${path}.kvist-progress`)).toBe(false)
})

/** Writes a file, in which `NAME` stands for its path. */
test.each([
  ['pickledb', '[1]', 'NAME is no pickleDB file, which is a JSON object'],
  ['pickledb', '', 'NAME holds no JSON'],
  ['pickledb', '{"a": {"value": 1, "date', 'NAME ends in the middle, after 24 bytes'],
  ['pickledb', '{"a": 1} x', 'NAME is no JSON at byte 9'],
  ['ozza', '<html>', 'NAME is no JSON array or object'],
  ['ozza', '{"a": 1,}', 'NAME is no JSON at byte 8'],
  ['tenantbase', 'id,key\n', 'NAME is no TenantBase database: file is not a database'],
  ['minstore', '{}', 'NAME is no folder: minstore keeps a file for each record'],
  ['consul', '{"key": "a"}', 'NAME is no export of Consul, which is a JSON array'],
  ['json', '[1]', 'NAME is no JSON object: for an array say --key FIELD'],
  ['json --key id', '{"a": 1}', 'NAME is no JSON array'],
  ['csv', 'id\n1\n', '--from csv needs --key COLUMN, the column that holds the key'],
  ['csv --key no', 'id,b\n1,2\n', 'NAME has no column "no": it has "id", "b"'],
  ['csv --key id', 'id,id\n1,2\n', 'NAME has two columns "id"'],
  ['csv --key id', '', 'NAME is empty: it needs a header'],
  [
    'csv --key id',
    'id\n"1\n',
    'NAME is no CSV: Quote Not Closed: the parsing is finished with an opening quote at line 2',
  ],
  [
    'csv --key id',
    Buffer.from('id\n\xff\n', 'latin1'),
    'NAME is not UTF-8: convert it first, as iconv -f latin1 -t utf8 does',
  ],
])('--from %s refuses %j in one line', async (from, content, message) => {
  const path = file('bad', content)
  const { exitCode, lines } = await importAll('--from', ...from.split(' '), path, '-c', 'bad')
  expect({ exitCode, lines }).toEqual({ exitCode: 1, lines: [message.replace('NAME', path)] })
  expect(await membersOf(server.url, 'bad')).toEqual({})
})

test('half a gzip file, and a file that is none, is refused in one line', async () => {
  const half = gzipSync(`id\n${Array.from({ length: 1000 }, (_, i) => `${i * 7919}\n`).join('')}`).subarray(
    0,
    900,
  )
  for (const content of [half, 'id\n1\n']) {
    const path = file('half.csv.gz', content)
    const { exitCode, lines } = await importAll('--from', 'csv', '--key', 'id', path, '-c', 'gzip')
    expect({ exitCode, lines }).toEqual({
      exitCode: 1,
      lines: [expect.stringContaining(`${path} is no gzip file, or only a part of one: `)],
    })
  }
})

test('a dbm file of another format is refused with the way to export it', async () => {
  const path = file('odd', 'no dbm at all')
  const { exitCode, lines } = await importAll('--from', 'reforg', path)
  expect(exitCode).toBe(1)
  expect(lines[0]).toStartWith(`${path} is in no dbm format that kvist reads: export it with the Python`)
  for (const format of ['gnu/store_perm', 'ndbm/store_perm.db']) {
    const whole = readFileSync(join(importFixtures, `reforg-${format}`))
    const half = file('half', whole.subarray(0, whole.length / 2))
    expect((await importAll('--from', 'reforg', half)).lines[0]).toStartWith(`${half} is damaged: `)
  }
  expect((await importAll('--from', 'reforg', join(folder, 'missing'))).lines[0]).toEndWith(
    'missing: there is no such file or folder',
  )
})

test.each([
  [['--key', 'id'], '--key needs --from'],
  [['--dry-run'], '--dry-run needs --from'],
  [['--from', 'consul', '--key', 'id'], '--key means nothing with --from consul'],
  [['--from', 'csv', '--source-ca', 'x'], '--source-ca means nothing with --from csv'],
])('options that mean nothing are refused: %j', async (args, message) => {
  expect(await importAll(...args, 'file')).toEqual({ exitCode: 2, lines: [message] })
})

test('an import that lost its server resumes after what was stored', async () => {
  const path = file(
    'many.json',
    `{${Array.from({ length: 9500 }, (_, i) => `"k${i}": "${'x'.repeat(1000)}"`)}}`,
  )
  const args = ['--from', 'json', path, '-c', 'resumed']
  let requests = 0
  const proxy = Bun.serve({
    port: 0,
    async fetch(request) {
      if (++requests === 2) return new Response('{"detail":"the disk is on fire"}', { status: 500 })
      const { pathname } = new URL(request.url)
      return fetch(`${server.url}${pathname}`, {
        method: 'POST',
        headers: request.headers,
        body: await request.bytes(),
      })
    },
  })
  const first = await runImport(proxy.url.origin, args)
  expect(first.exitCode).toBe(1)
  const stored = /; the same command resumes after (\d+) that were stored$/.exec(first.lines[0]!)?.[1]
  expect(Number(stored)).toBeGreaterThan(1000)
  const second = await runImport(proxy.url.origin, args)
  await proxy.stop(true)
  expect(second).toEqual({
    exitCode: 0,
    lines: [`resuming after ${stored} of ${path}`, 'stored 9500, not taken 0'],
  })
  expect(requests).toBe(3) // a stored one, a failed one, and the rest
  expect(Object.keys(await membersOf(server.url, 'resumed')).length).toBe(9500)

  const small = file('small.json', '{"a": 1}')
  writeFileSync(`${small}.kvist-progress`, '{"of":')
  expect((await importAll('--from', 'json', small, '-c', 'resumed')).lines).toEqual([
    `${small}.kvist-progress is of another import: starting at the beginning`,
    'stored 1, not taken 0',
  ])
})
