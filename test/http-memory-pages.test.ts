import { expect, test } from 'bun:test'
import type { MemoryBudget } from '../src/net/budget.ts'
import { until } from './support/engine.ts'
import type { SentEvent } from './support/events.ts'
import {
  contendedSeconds,
  expectSmallRequests,
  type MemoryServer,
  startMemoryServer,
  storeValues,
  valueBytes,
} from './support/memory-server.ts'
import { rawWatch } from './support/raw-watch.ts'
import { put } from './support/responses.ts'
import { requestBytes, type Wire } from './support/wire.ts'

/** What lists, exports, the feed and watchers hold of the server's memory, and which of them wait for it. */

interface Shown {
  readonly value?: string
  readonly value_base64?: string
}

/** The length of a value that `storeValues` stored, which has to be all there. */
function lengthOf({ value, value_base64 }: Shown): number {
  if (value !== undefined) {
    expect(/^x*$/.test(value)).toBe(true)
    return value.length + 2
  }
  const bytes = Buffer.from(value_base64!, 'base64')
  expect(bytes.equals(Buffer.alloc(bytes.length, bytes[0]))).toBe(true)
  return bytes.length
}

/** Two pages fit, and one more may pass the limit. */
const pagesAtOnce = 3

async function untilOthersWait(pages: MemoryBudget, clients: number): Promise<void> {
  await until(() => pages.waiting === clients - pagesAtOnce, 'the others wait')
  expect(pages.usedBytes).toBe(pagesAtOnce * valueBytes)
}

async function expectSmallLists({ url }: MemoryServer): Promise<void> {
  const body = await (await fetch(`${url}/v1/small`)).text()
  expect(body).toContain('"members":[{"key":"k"')
  const lines = await fetch(`${url}/v1/small`, { headers: { accept: 'application/x-ndjson' } })
  expect(await lines.text()).toContain('{"key":"k"')
}

async function readAll(unread: readonly Wire[]): Promise<string[]> {
  for (const one of unread) one.resume()
  const bodies: string[] = []
  for (const one of unread) bodies.push((await one.response()).body.toString())
  return bodies
}

test('lists of large values end by bytes and wait for memory, and small lists go on meanwhile', async () => {
  const started = await startMemoryServer()
  const { memory, askUnread } = started
  await storeValues(started, 2)
  const unread: Wire[] = []
  for (let i = 0; i < 6; i++) unread.push(await askUnread(`/v1/large?order=${i % 2 === 0 ? 'asc' : 'desc'}`))
  await untilOthersWait(memory.pages, unread.length)
  await expectSmallRequests(started)
  await expectSmallLists(started)
  for (const body of await readAll(unread)) {
    const page = JSON.parse(body) as { members: Shown[]; next: string | null }
    expect(page.members.map(lengthOf)).toEqual([valueBytes])
    expect(page.next).not.toBeNull()
  }
  expect([memory.pages.usedBytes, memory.pages.waiting]).toEqual([0, 0])
})

test('the cursor of a list that ended by bytes goes on with the next value', async () => {
  const started = await startMemoryServer()
  await storeValues(started, 3)
  const lengths: number[] = []
  let cursor = ''
  do {
    const response = await fetch(`${started.url}/v1/large?${cursor}`)
    const page = (await response.json()) as { members: Shown[]; next: string | null }
    lengths.push(...page.members.map(lengthOf))
    cursor = page.next === null ? '' : `cursor=${page.next}`
  } while (cursor !== '')
  expect(lengths).toEqual([valueBytes, valueBytes, valueBytes])
})

test('exports hold one large value each, and wait for memory', async () => {
  const started = await startMemoryServer()
  const { memory, askUnread } = started
  await storeValues(started, 2)
  for (const key of ['a', 'z']) await put(`${started.url}/v1/large/${key}`, '"small"')
  const unread: Wire[] = []
  for (let i = 0; i < 5; i++) unread.push(await askUnread('/v1/large', { Accept: 'application/x-ndjson' }))
  await untilOthersWait(memory.pages, unread.length)
  await expectSmallRequests(started)
  await expectSmallLists(started)
  for (const body of await readAll(unread)) {
    const lines = body
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Shown & { key: string })
    expect(lines.map(({ key }) => key)).toEqual(['0', '1', 'a', 'z'])
    expect(lines.slice(0, 2).map(lengthOf)).toEqual([valueBytes, valueBytes])
  }
  expect([memory.pages.usedBytes, memory.pages.waiting]).toEqual([0, 0])
})

test('pages of the feed with large values wait for memory', async () => {
  const started = await startMemoryServer()
  const { memory, askUnread } = started
  await storeValues(started, 2)
  const unread: Wire[] = []
  for (let i = 0; i < 5; i++) unread.push(await askUnread('/v1/_changes'))
  await untilOthersWait(memory.pages, unread.length)
  await expectSmallRequests(started)
  for (const body of await readAll(unread)) {
    const { changes, next } = JSON.parse(body) as { changes: Shown[]; next: number }
    expect([changes.map(lengthOf), next]).toEqual([[valueBytes], 1])
  }
  expect([memory.pages.usedBytes, memory.pages.waiting]).toEqual([0, 0])
})

test('reads of many large values wait for memory for all of them', async () => {
  const started = await startMemoryServer()
  const { memory, connect } = started
  await storeValues(started, 2)
  const body = JSON.stringify({ members: ['0', '1', 'none'].map((key) => ({ collection: 'large', key })) })
  const unread: Wire[] = []
  for (let i = 0; i < 4; i++) {
    const client = await connect()
    client.pause()
    client.write(requestBytes('POST', '/v1/_read', { headers: { 'Content-Type': 'application/json' }, body }))
    await client.flushed()
    unread.push(client)
  }
  // One fits, and one more may pass the limit.
  await until(() => memory.pages.waiting === 2, 'the others wait')
  expect(memory.pages.usedBytes).toBe(4 * valueBytes)
  await expectSmallRequests(started)
  for (const client of unread) client.resume()
  for (const client of unread) {
    const { members } = JSON.parse((await client.response('POST')).body.toString()) as {
      members: (Shown | null)[]
    }
    expect(members.map((member) => member && lengthOf(member))).toEqual([valueBytes, valueBytes, null])
  }
  expect([memory.pages.usedBytes, memory.pages.waiting]).toEqual([0, 0])
})

test('members and lists of the dialects wait for memory', async () => {
  for (const path of ['/dialects/ozza/large/0', '/dialects/ozza/large']) {
    const started = await startMemoryServer()
    const { memory, askUnread } = started
    await storeValues(started, 1)
    const unread: Wire[] = []
    for (let i = 0; i < 5; i++) unread.push(await askUnread(path))
    await until(() => memory.pages.waiting === 5 - pagesAtOnce, 'the others wait')
    await expectSmallRequests(started)
    for (const body of await readAll(unread)) {
      const { result } = JSON.parse(body) as { result: Shown | Shown[] }
      expect(lengthOf(Array.isArray(result) ? result[0]! : result)).toBe(valueBytes)
    }
    expect([memory.pages.usedBytes, memory.pages.waiting]).toEqual([0, 0])
  }
})

test('a client that does not take its list is cut when others wait', async () => {
  const started = await startMemoryServer()
  const { memory, askUnread, passSeconds } = started
  await storeValues(started, 1)
  const stalled: Wire[] = []
  for (let i = 0; i < pagesAtOnce; i++) stalled.push(await askUnread('/v1/large'))
  await until(() => memory.pages.usedBytes === pagesAtOnce * valueBytes, 'they are being sent to')
  passSeconds(contendedSeconds)
  const next = await askUnread('/v1/large')
  await until(() => memory.pages.waiting === 1, 'one waits')
  // At first the system still takes something for them.
  await until(() => {
    passSeconds(contendedSeconds)
    return memory.pages.waiting === 0
  }, 'one of them is cut')
  next.resume()
  expect((await next.response()).body.length).toBeGreaterThan(valueBytes)
  for (const one of stalled) one.resume()
  const responses = await Promise.allSettled(stalled.map((one) => one.response()))
  expect(responses.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0)
})

test('watchers that catch up hold one large event each, and wait for memory', async () => {
  const started = await startMemoryServer()
  const { memory, port } = started
  await storeValues(started, 2)
  const seen: number[][] = []
  const watches = []
  for (let i = 0; i < 5; i++) {
    const lengths: number[] = []
    seen.push(lengths)
    const onEvent = ({ data }: SentEvent) => lengths.push(lengthOf(JSON.parse(data) as Shown))
    const watch = await rawWatch(port, '/v1/large?since=0', { onEvent })
    watch.pause()
    watches.push(watch)
  }
  await untilOthersWait(memory.pages, watches.length)
  await expectSmallRequests(started)
  for (const watch of watches) watch.resume()
  await until(() => seen.every((lengths) => lengths.length === 2), 'all have all of it')
  expect(seen).toEqual(watches.map(() => [valueBytes, valueBytes]))
  await until(() => memory.pages.usedBytes === 0, 'nothing is held any more')
  for (const watch of watches) watch.destroy()
})

test('a large event is in memory once, however many watchers it is sent to', async () => {
  const started = await startMemoryServer()
  const { memory, port } = started
  const seen: number[][] = []
  const watches = []
  for (let i = 0; i < 12; i++) {
    const lengths: number[] = []
    seen.push(lengths)
    const onEvent = ({ data }: SentEvent) => lengths.push(lengthOf(JSON.parse(data) as Shown))
    const watch = await rawWatch(port, '/v1/large', { onEvent })
    watch.pause()
    watches.push(watch)
  }
  await storeValues(started, 1)
  await until(
    () => memory.pages.usedBytes === valueBytes && memory.pages.waiting === 0,
    'all are sent the first',
  )
  await storeValues(started, 1)
  await expectSmallRequests(started)
  watches.pop()!.destroy()
  seen.pop()
  for (const watch of watches) watch.resume()
  await until(() => seen.every((lengths) => lengths.length === 2), 'all have both')
  await until(() => memory.pages.usedBytes === 0, 'nothing is held any more')
  for (const watch of watches) watch.destroy()
})
