import { afterAll, expect, test } from 'bun:test'
import { contextOf, noConnection, requestOf } from '../../../test/support/connection.ts'
import { faultOf } from '../../../test/support/engine.ts'
import { openTestEngine } from '../../../test/support/test-engine.ts'
import { type Database, openDatabase } from '../../core/database.ts'
import { KvistError } from '../../core/errors.ts'
import { importLines } from './bulk.ts'

/** How an import groups its lines, and how it ends when a group fails. Bad lines are in test/v1-import.test.ts. */

const db = await openDatabase({
  open: openTestEngine,
  cacheBytes: 0,
  now: Date.now,
  onError(error) {
    throw error
  },
})
afterAll(() => db.close())

interface Group {
  readonly lines: number
  /** Stores it. */
  store(): void
  fail(error: unknown): void
}

/** A store whose groups wait until the test stores them. */
function heldStore(): { store: Database; groups: Group[] } {
  const groups: Group[] = []
  const store: Database = {
    ...db,
    putAll: (_collection, members) => {
      if (members.length === 0) return Promise.resolve([])
      return new Promise((resolve, reject) => {
        groups.push({ lines: members.length, store: () => resolve([]), fail: reject })
      })
    },
  }
  return { store, groups }
}

/** Imports these lines, of which one piece of the body has as many as are given together. */
function importing(store: Database, ...pieces: readonly string[][]) {
  const request = requestOf('POST /v1/c HTTP/1.1', 'Transfer-Encoding: chunked')
  let read = 0
  const connection = { ...noConnection, resetTimeout: () => void read++ }
  for (const lines of pieces) {
    const piece = `${lines.join('\n')}\n`
    request.body.feed(Buffer.from(`${Buffer.byteLength(piece).toString(16)}\r\n${piece}\r\n`))
  }
  request.body.feed(Buffer.from('0\r\n\r\n'))
  let isDone = false
  const done = importLines(store, request, 'c', contextOf(request, { connection })).finally(() => {
    isDone = true
  })
  done.catch(() => {})
  return { done, isDone: () => isDone, read: () => read }
}

const lines = (count: number, value = '1') =>
  Array.from({ length: count }, (_, i) => `{"key":"k${i}","value":${value}}`)

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

test('three groups are on their way at most: the next one waits for the first of them', async () => {
  const { store, groups } = heldStore()
  const { done, isDone } = importing(store, ...Array.from({ length: 6 }, () => lines(1000)))
  await settle()
  expect(groups.map(({ lines }) => lines)).toEqual([1000, 1000, 1000])
  groups[1]!.store()
  await settle()
  expect(groups).toHaveLength(3)
  groups[0]!.store()
  await settle()
  expect(groups).toHaveLength(5)
  for (const { store } of groups) store()
  await settle()
  expect([groups.length, isDone()]).toEqual([6, false])
  groups[5]!.store()
  expect((await done).body).toBe('{"stored":6000,"failed":[]}\n')
})

test('a group has a thousand lines, or values of a mebibyte, or what is left at the end', async () => {
  const { store, groups } = heldStore()
  const quarter = `"${'x'.repeat(256 * 1024 - 2)}"`
  const { done } = importing(store, [...lines(1001), ...lines(3, quarter), ...lines(4, quarter), ...lines(2)])
  const storing = setInterval(() => {
    for (const { store } of groups) store()
  })
  expect((await done).body).toBe('{"stored":1010,"failed":[]}\n')
  clearInterval(storing)
  // One line of 1 byte and four quarters come to more than a mebibyte.
  expect(groups.map(({ lines }) => lines)).toEqual([1000, 5, 5])
})

test('an import that fails waits for the groups on their way, and says what is stored', async () => {
  const { store, groups } = heldStore()
  const { done, isDone } = importing(
    store,
    ['not JSON', ...lines(1000)],
    lines(1000),
    lines(1000),
    lines(1000),
  )
  await settle()
  groups[0]!.fail(new KvistError('storage_full', 'the disk is full', { limit: 1 }))
  await settle()
  expect(isDone()).toBe(false)
  groups[1]!.store()
  await settle()
  expect(isDone()).toBe(false)
  groups[2]!.store()
  expect(await faultOf(done)).toMatchObject({
    code: 'storage_full',
    message: 'the disk is full',
    extra: { limit: 1, stored: 2000, failed: [{ line: 1, code: 'invalid_json' }] },
  })
  expect(groups).toHaveLength(3)
})

test('an error of the program is no summary, and waits as well', async () => {
  const { store, groups } = heldStore()
  const { done, isDone } = importing(store, lines(1000), lines(1000))
  await settle()
  groups[0]!.fail(new TypeError('a bug'))
  await settle()
  expect(isDone()).toBe(false)
  groups[1]!.store()
  await expect(done).rejects.toThrow('a bug')
})

test('its client has its time anew with each piece of the body', async () => {
  const { done, read } = importing(db, lines(1), lines(1), lines(1))
  await done
  expect(read()).toBeGreaterThanOrEqual(3)
})

test('lines are named by their number though they come back in any order', async () => {
  const { store, groups } = heldStore()
  const rejecting: Database = {
    ...store,
    putAll: async (collection, members) => {
      await store.putAll(collection, members)
      if (members.length === 0) return []
      return [{ index: 2, error: new KvistError('unprocessable', 'not so') }]
    },
  }
  const { done } = importing(rejecting, lines(1000), ['x', ...lines(3)])
  await settle()
  groups[1]!.store()
  await settle()
  groups[0]!.store()
  const { stored, failed } = JSON.parse(String((await done).body))
  expect(stored).toBe(1001)
  expect(failed.map((one: { line: number; code: string }) => [one.line, one.code])).toEqual([
    [3, 'unprocessable'],
    [1001, 'invalid_json'],
    [1004, 'unprocessable'],
  ])
})

test('a byte order mark is skipped at the beginning of the body, and nowhere else, however it comes in', async () => {
  const mark = '\ufeff'
  const marked = lines(1).map((line) => mark + line)
  for (const pieces of [[[...marked, ...marked]], [marked, marked], [marked, ['', ...marked]]]) {
    const { done } = importing(db, ...pieces)
    const { stored, failed } = JSON.parse(String((await done).body))
    expect([stored, failed]).toMatchObject([1, [{ code: 'invalid_json' }]])
  }
})
