import { expect, test } from 'bun:test'
import { random, seedOfRun } from '../../../test/support/random.ts'
import { all, eventsOf, json, open, watched } from '../../../test/support/watching.ts'
import { type Database, wholeCollection } from '../database.ts'
import { parseWhere } from '../find/expressions.ts'
import { keyOf } from '../member.ts'
import { nextTick } from '../next-tick.ts'
import type { FeedEvent, Scope } from './scope.ts'

/** Feeds and watches with a filter on values: what does not match leaves. */

const matching: Scope = { ...all, collection: 'c', where: parseWhere('@.on == true') }
const on = '{"on":true}'
const off = '{"on":false}'

function shown({ change, leaves }: FeedEvent): string {
  const value = change.type === 'put' ? ` ${change.member.value}` : ''
  return leaves ? `leave ${keyOf(change)}${value}` : `${change.type} ${keyOf(change)}${value}`
}

async function shownBy(watcher: ReturnType<Database['watch']>): Promise<string[]> {
  const found: string[] = []
  for (;;) {
    const batch = await watcher.read()
    if (batch === null) return found
    found.push(...eventsOf(batch).map(shown))
  }
}

test('what does not match leaves, without its value; removals are shown as ever', async () => {
  const db = await open()
  const live = watched(db, matching, null)
  await db.put('c', 'a', json(on))
  await db.put('c', 'b', json(off))
  await db.put('c', 'bytes', { ...json(''), value: new Uint8Array([1]), contentType: 'x/y' })
  await db.put('c', 'gone', json(off))
  await db.delete('c', 'gone')
  await db.put('other', 'x', json(on))
  const latest = [`put a ${on}`, 'leave b ', 'leave bytes ']
  expect(await shownBy(live)).toEqual([...latest, 'leave gone ', 'delete gone'])
  expect(await shownBy(watched(db, matching, ''))).toEqual([...latest, 'delete gone'])
  const page = await db.changes(matching, '', 100)
  expect(page.events.map(shown)).toEqual([...latest, 'delete gone'])
  await db.put('c', 'a', json(off))
  await db.put('c', 'b', json(on))
  expect(await shownBy(live)).toEqual(['leave a ', `put b ${on}`])
})

test('watchers share the event of what leaves', async () => {
  const db = await open()
  const watchers = [watched(db, matching, null), watched(db, matching, null)]
  await db.put('c', 'a', json(off))
  const [one, other] = await Promise.all(watchers.map(async (watcher) => eventsOf(await watcher.read())[0]))
  expect(one).toBe(other!)
})

test('a mirror of what matches is exact after every change, and after every resumption', async () => {
  const { int, oneIn, pick } = random(seedOfRun())
  let nowMs = 1000
  const db = await open({ now: () => nowMs, watchBounds: { events: 4, bytes: 1 << 20, totalBytes: 1 << 20 } })
  const mirror = new Map<string, number>()
  let watcher = watched(db, matching, '')
  for (let i = 0; i < 400; i++) {
    const key = `k${int(8)}`
    const expiresAtMs = oneIn(5) ? nowMs + 1 + int(3) : null
    if (oneIn(4)) await db.delete('c', key)
    else await db.put('c', key, json(pick([on, off, '1']), expiresAtMs))
    nowMs += int(2)
    if (oneIn(3)) continue
    if (oneIn(4)) {
      const at = watcher.cursor()
      watcher.close()
      watcher = watched(db, matching, at)
    }
    for (let batch = await watcher.read(); batch !== null; batch = await watcher.read()) {
      for (const { change, leaves } of eventsOf(batch)) {
        if (change.type === 'put' && leaves === undefined) mirror.set(keyOf(change), change.member.revision)
        else mirror.delete(keyOf(change))
      }
    }
    const { members } = await db.page('c', wholeCollection)
    const expected = members
      .filter(({ value }) => value === on)
      .map((one) => [one.key, one.revision] as const)
    // Of what expired and is not swept yet, nothing was reported.
    for (const name of mirror.keys()) if (!members.some((one) => one.key === name)) mirror.delete(name)
    expect(Object.fromEntries(mirror)).toEqual(Object.fromEntries(expected))
    if (oneIn(20)) await nextTick()
  }
})
