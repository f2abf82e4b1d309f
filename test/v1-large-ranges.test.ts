import { afterAll, afterEach, beforeAll, expect, mock, spyOn, test } from 'bun:test'
import { realTimers } from '../src/core/timers.ts'
import { openSqlite } from '../src/engines/sqlite/engine.ts'
import { pieceBytes } from '../src/engines/sqlite/table/schema.ts'
import { flushedRevision, newFolder, until } from './support/engine.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { expectProblem, put } from './support/responses.ts'

/** Parts of values that are stored in pieces: no more of a value is read than a part needs. */

const mebibyte = 1024 * 1024
const value = Uint8Array.from({ length: 8 * mebibyte + 1000 }, (_, i) => (i * 7) % 251)
const json = `"${'aé€😀'.repeat(400_000)}"`
const type = { 'content-type': 'application/octet-stream' }

/** Runs before a part is read. */
let beforePart = async () => {}
let server: InProcessServer
let url: string
beforeAll(async () => {
  const dir = newFolder()
  server = await startInProcess(Date.now, null, realTimers, async (onCommit) => {
    const engine = await openSqlite({ dir, durability: 'relaxed', onCommit, segmentBytes: 64 * 1024 })
    return {
      ...engine,
      async readPart(...asked) {
        await beforePart()
        return engine.readPart(...asked)
      },
    }
  })
  url = `${server.url}/v1/files`
  await put(`${url}/bytes`, value, type)
  await put(`${url}/json`, json)
  await until(() => flushedRevision(dir) === 2, 'they are in the tables')
})
afterAll(async () => {
  expect(server.errors).toEqual([])
  await server.stop()
})
afterEach(() => {
  mock.restore()
  beforePart = async () => {}
})

/** Counts the bytes whose checksums are computed: every piece that is read is verified. */
function countReadBytes(): () => number {
  let count = 0
  const { crc32 } = Bun.hash
  spyOn(Bun.hash, 'crc32').mockImplementation((bytes, seed) => {
    count += (bytes as Uint8Array).length
    return crc32(bytes, seed)
  })
  return () => count
}

function get(key: string, range: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/${key}`, { headers: { range, ...headers } })
}

test.each([
  ['bytes=0-0', 0, 1, 1],
  ['bytes=65535-65536', 65_535, 65_537, 2],
  ['bytes=4194304-5242879', 4 * mebibyte, 5 * mebibyte, 16],
  ['bytes=-10', value.length - 10, value.length, 1],
  ['bytes=8388608-', 8 * mebibyte, value.length, 1],
])('%s reads only the pieces that it needs', async (range, from, to, pieces) => {
  const readBytes = countReadBytes()
  const response = await get('bytes', range)
  expect(response.status).toBe(206)
  expect(response.headers.get('content-range')).toBe(`bytes ${from}-${to - 1}/${value.length}`)
  expect(response.headers.get('content-type')).toBe('application/octet-stream')
  expect(response.headers.get('etag')).toBe('"1"')
  const part = await response.bytes()
  expect(Buffer.compare(part, value.subarray(from, to))).toBe(0)
  // Beside the pieces, pages of SQLite's file may be verified.
  expect(readBytes()).toBeLessThan(pieces * pieceBytes + 64 * 1024)
})

test('a part of large JSON is a part of its bytes', async () => {
  const bytes = Buffer.from(json)
  const readBytes = countReadBytes()
  for (const from of [0, 1, 3, 65_530, 2_000_000]) {
    const response = await get('json', `bytes=${from}-${from + 99}`)
    expect([response.status, response.headers.get('content-type')]).toEqual([206, 'application/json'])
    expect(Buffer.from(await response.bytes())).toEqual(bytes.subarray(from, from + 100))
  }
  expect(readBytes()).toBeLessThan(bytes.length / 2)
})

test('what does not lie in a large value is refused, and conditions decided, without reading it', async () => {
  const readBytes = countReadBytes()
  const response = await get('bytes', `bytes=${value.length}-`)
  expect(response.headers.get('content-range')).toBe(`bytes */${value.length}`)
  await expectProblem(response, 416, 'range_not_satisfiable')
  expect(readBytes()).toBeLessThan(mebibyte)
  expect((await get('bytes', 'bytes=0-9', { 'if-none-match': '"1"' })).status).toBe(304)
  expect((await get('bytes', 'bytes=0-9', { 'if-match': '"2"' })).status).toBe(412)
})

test('the whole of a large value is read where the client asks for it', async () => {
  for (const [range, ifRange, status] of [
    ['bytes=0-', '"1"', 206],
    ['bytes=0-9', '"7"', 200],
    ['bytes=0-1,5-6', '"1"', 200],
  ] as const) {
    const response = await get('bytes', range, { 'if-range': ifRange })
    expect([range, response.status]).toEqual([range, status])
    expect(Buffer.compare(await response.bytes(), value)).toBe(0)
  }
})

test('a part of a value that is replaced meanwhile is one of the new value, be it small', async () => {
  await put(`${url}/changing`, value, type)
  const other = value.map((byte) => 255 - byte)
  beforePart = async () => {
    beforePart = async () => {}
    await put(`${url}/changing`, other, type)
  }
  const response = await get('changing', 'bytes=100-199')
  const etag = (await fetch(`${url}/changing`, { method: 'HEAD' })).headers.get('etag')
  expect([response.status, response.headers.get('etag')]).toEqual([206, etag])
  expect(Buffer.from(await response.bytes())).toEqual(Buffer.from(other.subarray(100, 200)))

  beforePart = async () => void (await put(`${url}/changing`, '"small"'))
  const small = await get('changing', 'bytes=1-3')
  expect([small.status, small.headers.get('content-range'), await small.text()]).toEqual([
    206,
    'bytes 1-3/7',
    'sma',
  ])
})
