import { expect, test } from 'bun:test'
import type { Engine, ScanPage } from './engine.ts'
import { follower } from './follower.ts'
import { jsonContentType, type Member } from './member.ts'

const collection = '_followed'

function memberOf(key: string, value: string, revision: number): Member {
  const rest = { createdAtMs: 0, clock: revision, node: '', expiresAtMs: null, flags: 0 }
  return { key, value, revision, contentType: jsonContentType, ...rest }
}

/** A follower that keeps values, and an engine whose scans end when the test says so, with what was stored when they began. */
function following(stored: Map<string, Member>) {
  const values = new Map<string, string>()
  const scans: { end(): void; fail(): void }[] = []
  const one = follower({
    collection,
    take(key, member) {
      if (member === null) values.delete(key)
      else values.set(key, String(member.value))
    },
    keys: () => values.keys(),
  })
  const engine: Pick<Engine, 'scan'> = {
    scan() {
      const members = [...stored.values()]
      const { promise, resolve, reject } = Promise.withResolvers<ScanPage>()
      scans.push({
        end: () => resolve({ members, next: null, isCut: false }),
        fail: () => reject(new Error('unavailable')),
      })
      return promise
    },
  }
  function put(key: string, value: string, revision: number) {
    const member = memberOf(key, value, revision)
    stored.set(key, member)
    one.onCommit([{ type: 'put', collection, member }])
  }
  return { one, engine, scans, values, put }
}

async function scanned(scans: readonly unknown[], count: number) {
  while (scans.length < count) await Promise.resolve()
}

/** Ends the scans of two loads, the newest first if both have begun. */
async function bothEnd(scans: readonly { end(): void }[], first: Promise<void>, second: Promise<void>) {
  scans.at(-1)!.end()
  scans[0]!.end()
  await first
  await scanned(scans, 2)
  scans[1]!.end()
  await second
}

test('what is committed during a load stays', async () => {
  const { one, engine, scans, values, put } = following(new Map([['a', memberOf('a', '1', 1)]]))
  const loaded = one.load(engine)
  await scanned(scans, 1)
  put('a', '2', 2)
  put('b', '1', 3)
  scans[0]!.end()
  await loaded
  expect([...values]).toEqual([
    ['a', '2'],
    ['b', '1'],
  ])
})

test('what is committed during two loads at once stays, however they end', async () => {
  const stored = new Map([['a', memberOf('a', '1', 1)]])
  const { one, engine, scans, values, put } = following(stored)
  const first = one.load(engine)
  const second = one.load(engine)
  await scanned(scans, 1)
  put('a', '2', 2)
  await bothEnd(scans, first, second)
  expect([...values]).toEqual([['a', '2']])
})

test('what a load finds lost is gone, though an earlier load found it', async () => {
  const stored = new Map([['lost', memberOf('lost', '1', 1)]])
  const { one, engine, scans, values } = following(stored)
  const first = one.load(engine)
  await scanned(scans, 1)
  stored.clear()
  const second = one.load(engine)
  await bothEnd(scans, first, second)
  expect(values.size).toBe(0)
})

test('after a load that failed comes another one', async () => {
  const { one, engine, scans, values } = following(new Map([['a', memberOf('a', '1', 1)]]))
  const first = one.load(engine)
  await scanned(scans, 1)
  scans[0]!.fail()
  await expect(first).rejects.toThrow('unavailable')
  const second = one.load(engine)
  await scanned(scans, 2)
  scans[1]!.end()
  await second
  expect(values.get('a')).toBe('1')
})
