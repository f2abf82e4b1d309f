import { afterAll, beforeEach, expect, spyOn, test } from 'bun:test'
import { contextOf, noConnection, requestOf } from '../../../test/support/connection.ts'
import { faultOf } from '../../../test/support/engine.ts'
import { openTestEngine } from '../../../test/support/test-engine.ts'
import { openDatabase } from '../../core/database.ts'
import { maxWaitMs } from '../../core/limits.ts'
import type { MemberHead } from '../../core/member.ts'
import { watchCounts } from '../../telemetry/watch-counts.ts'
import type { LongLivedResponse } from '../wire/client-connection.ts'
import { parseWait, waitForNews } from './wait.ts'

/** A long poll and its connection, without a server between them. */

const db = await openDatabase({
  open: openTestEngine,
  cacheBytes: 1 << 20,
  now: Date.now,
  onError(error) {
    throw error
  },
})
afterAll(() => db.close())

const counts = watchCounts()
const ref = { collection: 'c', key: 'k' }
const json = (value: string) => ({ value, contentType: 'application/json', flags: 0, expiresAtMs: null })
let known = 0
beforeEach(async () => {
  known = (await db.put('c', 'k', json('1'))).revision
})

const longMs = 60_000

function polling(waitMs = longMs, isKnown = (member: MemberHead | null) => member?.revision === known) {
  const done: string[] = []
  const registered = new Set<LongLivedResponse>()
  let onClose: (() => void) | null = null
  const connection = {
    ...noConnection,
    disableTimeout: () => void done.push('disableTimeout'),
    resetTimeout: () => void done.push('resetTimeout'),
    onClose(listener: (() => void) | null) {
      onClose = listener
    },
    register: (response: LongLivedResponse) => void registered.add(response),
    unregister: (response: LongLivedResponse) => void registered.delete(response),
  }
  const context = contextOf(requestOf('GET /v1/c/k HTTP/1.1'), { connection })
  const news = waitForNews({ db, counts }, ref, context, waitMs, isKnown)
  news.catch(() => {})
  return {
    news,
    done,
    context,
    goAway: () => onClose?.(),
    stopServer() {
      for (const response of registered) response.end()
    },
    /** What is left of it when it is over. */
    left: () => ({
      watchers: db.stats().watch.watchers,
      polls: counts.open.poll,
      registered: registered.size,
      listens: onClose !== null,
    }),
  }
}

const nothing = { watchers: 0, polls: 0, registered: 0, listens: false }

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve))
}

test('while it waits it is counted, registered, and without a time limit', async () => {
  const cleared = spyOn(globalThis, 'clearTimeout')
  const poll = polling()
  await settle()
  expect(poll.left()).toEqual({ watchers: 1, polls: 1, registered: 1, listens: true })
  expect(poll.done).toEqual(['disableTimeout'])
  await db.put('c', 'other', json('1'))
  await settle()
  expect(poll.left().polls).toBe(1)
  const events = counts.events.poll
  await db.put('c', 'k', json('2'))
  await poll.news
  expect(poll.left()).toEqual(nothing)
  expect(poll.done).toEqual(['disableTimeout', 'resetTimeout'])
  expect(counts.events.poll).toBe(events + 1)
  expect(poll.context.waitedMs).toBeGreaterThan(0)
  expect(cleared).toHaveBeenCalledTimes(1)
  cleared.mockRestore()
})

test('a server that stops ends it', async () => {
  const poll = polling()
  await settle()
  const events = counts.events.poll
  poll.stopServer()
  await poll.news
  expect(poll.left()).toEqual(nothing)
  expect(counts.events.poll).toBe(events)
})

test('so does its time, when that is over', async () => {
  const poll = polling(20)
  await poll.news
  expect(poll.left()).toEqual(nothing)
})

test('a client that goes ends it with an AbortError, also when a change comes in the same moment', async () => {
  const poll = polling()
  await settle()
  poll.goAway()
  await expect(poll.news).rejects.toMatchObject({ name: 'AbortError' })
  expect(poll.left()).toEqual(nothing)
  const both = polling(longMs, () => true)
  await settle()
  const putting = db.put('c', 'k', json('2'))
  both.goAway()
  await putting
  await expect(both.news).rejects.toMatchObject({ name: 'AbortError' })
  expect(both.left()).toEqual(nothing)
})

test('a change that is none to its client does not end it, and the next one does', async () => {
  const seen: (number | undefined)[] = []
  const poll = polling(longMs, (member) => seen.push(member?.revision) < 4)
  await settle()
  for (let i = 0; i < 3; i++) {
    await db.put('c', 'k', json(String(i)))
    await settle()
  }
  await poll.news
  expect(seen).toEqual([known, known + 1, known + 2, known + 3])
})

test('what is unknown already is over at once, a member that is not there as well', async () => {
  const poll = polling(longMs, () => false)
  await poll.news
  expect(poll.left()).toEqual(nothing)
  await db.delete('c', 'k')
  const missing = polling(longMs, (member) => member !== null)
  await missing.news
  expect(missing.left()).toEqual(nothing)
})

test('wait is a duration up to the limit', async () => {
  const wait = (query: string) => parseWait(requestOf(`GET /v1/c/k${query} HTTP/1.1`))
  expect(wait('')).toBeNull()
  expect(wait('?wait=30s')).toBe(30_000)
  expect(wait(`?wait=${maxWaitMs / 1000}`)).toBe(maxWaitMs)
  const tooLong = async () => wait(`?wait=${maxWaitMs / 1000 + 0.001}`)
  expect(await faultOf(tooLong())).toMatchObject({
    code: 'invalid_parameter',
    extra: { limit_seconds: maxWaitMs / 1000 },
  })
})
