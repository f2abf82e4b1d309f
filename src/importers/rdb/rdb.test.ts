import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SourceEntry } from '../entry.ts'
import { Crc64 } from './crc64.ts'
import { unpackLzf } from './lzf.ts'
import { rdb } from './rdb.ts'

/** Forms that the Redis of the test machine does not write: those of older and of newer versions. */

const folder = mkdtempSync(join(tmpdir(), 'kvist-rdb-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const nowMs = Date.parse('2026-11-28T12:00:00Z')
const laterMs = Date.parse('2027-01-01T00:00:00Z')

function file(...parts: readonly (Buffer | number)[]): string {
  const path = join(folder, 'dump.rdb')
  const body = parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : part))
  writeFileSync(path, Buffer.concat([Buffer.from('REDIS0012'), ...body, Buffer.from([255]), Buffer.alloc(8)]))
  return path
}

async function read(path: string, note: (line: string) => void = () => {}) {
  const options = { key: null, infer: false, delimiter: ',', json: false, database: null, encodeKeys: false }
  const source = await rdb.open(path, { ...options, password: null, ca: null, note, now: () => nowMs })
  const entries: SourceEntry[] = []
  try {
    for await (const batch of source.read(null)) entries.push(...batch.entries)
  } finally {
    source.close?.()
  }
  return entries
}

async function readValue(type: number, ...content: readonly (Buffer | number)[]): Promise<unknown> {
  const [entry] = await read(file(type, string('k'), ...content))
  if (entry === undefined || 'code' in entry) return entry?.reason
  const value = JSON.parse(`{${entry.value.fields}}`).value
  return entry.lost === undefined ? value : [value, entry.lost]
}

/** A string with its length, of up to 16 KiB. */
function string(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content as string)
  return Buffer.concat([Buffer.from([0x40 | (bytes.length >> 8), bytes.length & 0xff]), bytes])
}

function int64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64LE(BigInt(value))
  return bytes
}

function listpack(...elements: readonly (string | number)[]): Buffer {
  const encoded = elements.map((element) => {
    const small = typeof element === 'number' && element >= 0 && element < 128 ? Buffer.from([element]) : null
    const text = Buffer.from(String(element))
    const bytes = small ?? Buffer.concat([Buffer.from([0x80 | text.length]), text])
    return Buffer.concat([bytes, Buffer.from([bytes.length])])
  })
  return string(Buffer.concat([Buffer.alloc(6), ...encoded, Buffer.from([0xff])]))
}

const ziplistBytes: readonly (readonly [unknown, readonly number[]])[] = [
  ['ab', [0x02, 0x61, 0x62]],
  ['3', [0xf4]],
  ['-2', [0xfe, 0xfe]],
  ['-300', [0xc0, 0xd4, 0xfe]],
  ['70000', [0xf0, 0x70, 0x11, 0x01]],
  ['2147483647', [0xd0, 0xff, 0xff, 0xff, 0x7f]],
  ['-1', [0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
  ['cd', [0x40, 0x02, 0x63, 0x64]],
]

function ziplist(elements: readonly (readonly number[])[]): Buffer {
  const bodies = elements.map((bytes, i) => Buffer.from([...(i === 2 ? [0xfe, 0, 0, 0, 0] : [1]), ...bytes]))
  return string(Buffer.concat([Buffer.alloc(10), ...bodies, Buffer.from([0xff])]))
}

test('ziplists, of lists, hashes and sorted sets, and quicklists of them', async () => {
  const texts = ziplistBytes.map(([text]) => text)
  const packed = ziplist(ziplistBytes.map(([, bytes]) => bytes))
  expect(await readValue(10, packed)).toEqual(texts)
  expect(await readValue(13, packed)).toEqual({ ab: '3', '-2': '-300', '70000': '2147483647', '-1': 'cd' })
  expect(await readValue(12, ziplist([[1, 0x61], [0xf3], [1, 0x62], [3, 0x31, 0x2e, 0x35]]))).toEqual([
    { member: 'a', score: 2 },
    { member: 'b', score: 1.5 },
  ])
  expect(await readValue(14, 2, packed, packed)).toEqual([...texts, ...texts])
})

test('plain lists, hashes and sorted sets', async () => {
  expect(await readValue(1, 2, string('a'), Buffer.from([0xc0, 0xff]))).toEqual(['a', '-1'])
  expect(await readValue(4, 1, string('a'), Buffer.from([0xc1, 0, 1]))).toEqual({ a: '256' })
  expect(
    await readValue(3, 3, string('a'), 254, string('b'), 3, Buffer.from('1.5'), string('c'), 255),
  ).toEqual([
    { member: 'c', score: '-inf' },
    { member: 'b', score: 1.5 },
    { member: 'a', score: 'inf' },
  ])
  expect(await readValue(1, Buffer.from([0x80, 0, 0, 0, 1]), string('a'))).toEqual(['a'])
})

test('sets in listpacks, hashes whose fields expire', async () => {
  expect(await readValue(20, listpack('b', 5, 'a'))).toEqual(['5', 'a', 'b'])
  expect(
    await readValue(
      24,
      int64(laterMs),
      3,
      ...[0, string('a'), string('1')],
      ...[1, string('b'), string('2')],
      ...[11, string('c'), string('3')],
    ),
  ).toEqual([{ a: '1', b: '2', c: '3' }, 'the expiry of its fields'])
  expect(await readValue(25, int64(0), listpack('a', 'x', 0, 'gone', 'y', nowMs - 1))).toEqual({ a: 'x' })
  expect(await readValue(25, int64(0), listpack('a', 'x', laterMs))).toEqual([
    { a: 'x' },
    'the expiry of its fields',
  ])
})

test('streams of all versions', async () => {
  const base = Buffer.alloc(16)
  base.writeBigUInt64BE(1000n)
  const entries = listpack(2, 1, 1, 'f', 0, 2, 0, 1, 'v', 4, 3, 1, 0, 'deleted', 4, 0, 2, 0, 1, 'g', 'w', 6)
  const value = [
    { id: '1000-1', fields: { f: 'v' } },
    { id: '1002-0', fields: { g: 'w' } },
  ]
  const group = (version: number) => [
    ...[string('group'), 0, 0, ...(version === 1 ? [] : [1])],
    ...[1, Buffer.alloc(24), 1],
    ...[1, string('consumer'), Buffer.alloc(version === 3 ? 16 : 8), 1, Buffer.alloc(16)],
  ]
  for (const [version, type, counts] of [
    [1, 15, 3],
    [2, 19, 8],
    [3, 21, 8],
  ] as const) {
    const head = [1, string(base), entries, ...Array.from({ length: counts }, () => 0)]
    expect(await readValue(type, ...head, 0)).toEqual(value)
    expect(await readValue(type, ...head, 1, ...group(version))).toEqual([value, 'its consumer groups'])
  }
})

test('what has no counterpart is rejected, and what follows is read', async () => {
  const path = file(
    ...[250, string('redis-ver'), string('8.0.0'), 251, 5, 0, 244, 1, 2, 3, 245, string('#!lua')],
    ...[247, 9, 2, 1, 5, string('aux'), 0],
    ...[252, int64(laterMs), 248, 5, 7, string('module'), 9, 1, 7, 2, 8, 3, Buffer.alloc(4), 4, int64(1), 0],
    ...[9, string('zipmap'), string('x')],
    ...[253, Buffer.from([0xff, 0xff, 0xff, 0x7f]), 249, 5, 0, string('after'), string('v')],
    ...[254, 2, 0, string('other'), string('v')],
  )
  const notes: string[] = []
  expect(await read(path, (line) => notes.push(line))).toMatchObject([
    { key: 'module', code: 'unsupported', reason: 'it is a value of a module' },
    { key: 'zipmap', code: 'unsupported', reason: 'it is a hash in the form of Redis before 2.6' },
    { key: 'after', expiresAtMs: 2 ** 31 * 1000 - 1000 },
  ])
  expect(notes).toEqual(['only database 0 was read; there are keys in others: 1 in database 2 (--database)'])
})

test.each<[string, (Buffer | number)[]]>([
  ['an unknown type', [99, string('k')]],
  ['an unknown code', [246]],
  ['a listpack that does not end', [16, string('k'), string(Buffer.alloc(7))]],
  ['a listpack of nothing', [16, string('k'), string('')]],
  ['a string beyond the end', [0, string('k'), Buffer.from([0x80, 0x7f, 0xff, 0xff, 0xff])]],
  ['a packed string that is none', [0, string('k'), Buffer.from([0xc3, 2, 50, 0xe0, 0xff])]],
  [
    'a packed string that grows beyond reason',
    [0, string('k'), Buffer.from([0xc3, 1, 0x80, 0x7f, 0, 0, 0, 1])],
  ],
])('%s is damage', async (_what, parts) => {
  await expect(read(file(...parts))).rejects.toThrow(/dump\.rdb (is damaged|ends in the middle)/)
})

test('the checksum is that of the specification', () => {
  const crc = new Crc64()
  crc.add(Buffer.from('1234'))
  crc.add(Buffer.from('56789'))
  expect(crc.value).toBe(0xe9c6d914c4b8d9can)
})

test('LZF: literals, references that overlap, long ones', () => {
  expect(unpackLzf(Buffer.from([1, 0x61, 0x62, 0x20, 1, 0xe0, 2, 0]), 16)?.toString()).toBe(
    `ababa${'a'.repeat(11)}`,
  )
  expect(unpackLzf(Buffer.from([0, 0x61, 0x20, 5]), 4)).toBe(null)
  expect(unpackLzf(Buffer.from([5, 0x61]), 6)).toBe(null)
})
