import { expect, test } from 'bun:test'
import type { MaybePromise, MemberRef } from './engine.ts'
import type { Member } from './member.ts'
import { type MemberReader, maxReadTogether, readQueue } from './read-queue.ts'

function memberOf(key: string): Member {
  const times = { revision: 1, createdAtMs: 0, clock: 0, expiresAtMs: null }
  return { key, value: '1', ...times, node: '', contentType: 'application/json', flags: 0 }
}

/** A queue over a store that has all members but `none`, and what was asked of it at once. */
function queueOver(
  readMany: (refs: readonly MemberRef[]) => MaybePromise<(Member | null)[]> = (refs) =>
    refs.map(({ key }) => (key === 'none' ? null : memberOf(key))),
) {
  const asked: string[][] = []
  const uncached: string[][] = []
  const works: (() => void)[] = []
  const queue = readQueue(
    {
      cached: () => undefined,
      readMany(refs) {
        asked.push(refs.map(({ key }) => key))
        return readMany(refs)
      },
      readUncached(refs) {
        uncached.push(refs.map(({ key }) => key))
        return readMany(refs)
      },
    },
    (work) => works.push(work),
  )
  const reported: string[] = []
  const reader = (name: string): MemberReader & { asked: number } => ({
    asked: 0,
    found(members, from, count) {
      for (const member of members.slice(from, from + count)) reported.push(`${name} ${member?.key ?? null}`)
      if (count < this.asked) reported.push(`${name} reads the rest`)
      this.asked = 0
    },
  })
  const add = (key: string, by: MemberReader & { asked: number }) => {
    by.asked++
    queue.add({ collection: 'c', key }, by)
  }
  const run = () => {
    for (const work of works.splice(0)) work()
  }
  return { queue, asked, uncached, reported, reader, add, run, works }
}

test('the cache is asked again only where some of the members may be in it', () => {
  const { queue, asked, uncached, reported, reader, run } = queueOver()
  const [a, b] = [
    { collection: 'c', key: 'a' },
    { collection: 'c', key: 'b' },
  ]
  queue.addUncached(a, reader('1'))
  queue.addUncached(b, reader('2'))
  run()
  expect([asked, uncached]).toEqual([[], [['a', 'b']]])
  queue.addUncached(a, reader('3'))
  queue.add(b, reader('4'))
  run()
  expect([asked, uncached.length]).toEqual([[['a', 'b']], 1])
  expect(reported).toEqual(['1 a', '2 b', '3 a', '4 b'])
})

test('what was asked for until it runs is read together, and given to whoever asked, in order', () => {
  const { asked, reported, reader, add, run, works } = queueOver()
  const [a, b] = [reader('a'), reader('b')]
  add('1', a)
  add('none', b)
  add('2', b)
  add('1', reader('d'))
  expect([asked, works.length]).toEqual([[], 1])
  run()
  expect(asked).toEqual([['1', 'none', '2', '1']])
  expect(reported.splice(0)).toEqual(['a 1', 'b null', 'b 2', 'd 1'])
  add('3', b)
  run()
  expect([asked.length, reported]).toEqual([2, ['b 3']])
})

test('of very many so many are read at once, those of one reader always together', () => {
  const { asked, reported, reader, add, run } = queueOver()
  const counts = [maxReadTogether - 10, 20, maxReadTogether, 1, maxReadTogether - 1, 1, 5]
  for (const [i, count] of counts.entries()) {
    const one = reader(`${i}`)
    for (let k = 0; k < count; k++) add(`${i}-${k}`, one)
  }
  run()
  expect(asked.map(({ length }) => length)).toEqual([
    maxReadTogether - 10,
    20,
    maxReadTogether,
    maxReadTogether,
    6,
  ])
  expect(reported).toEqual(
    counts.flatMap((count, i) => Array.from({ length: count }, (_, k) => `${i} ${i}-${k}`)),
  )
})

test('a reader whose members did not all come is called once to read the rest by itself', () => {
  const { reported, reader, add, run } = queueOver((refs) => refs.slice(0, 3).map(({ key }) => memberOf(key)))
  const [a, b, c] = [reader('a'), reader('b'), reader('c')]
  for (const [key, by] of [
    ['1', a],
    ['2', b],
    ['3', b],
    ['4', b],
    ['5', b],
    ['6', c],
  ] as const)
    add(key, by)
  run()
  expect(reported).toEqual(['a 1', 'b 2', 'b 3', 'b reads the rest', 'c reads the rest'])
})

test('where they cannot be read together, all read by themselves', async () => {
  for (const fail of [
    () => {
      throw new Error('damaged')
    },
    () => Promise.reject(new Error('damaged')),
  ]) {
    const { reported, reader, add, run } = queueOver(fail)
    add('1', reader('a'))
    add('2', reader('b'))
    run()
    await Promise.resolve().then(() => {})
    expect(reported).toEqual(['a reads the rest', 'b reads the rest'])
  }
})

test('what the engine has later is given when it comes', async () => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const { reported, reader, add, run } = queueOver((refs) =>
    held.then(() => refs.map(({ key }) => memberOf(key))),
  )
  add('1', reader('a'))
  run()
  add('2', reader('b'))
  run()
  expect(reported).toEqual([])
  release()
  await held.then(() => {}).then(() => {})
  expect(reported).toEqual(['a 1', 'b 2'])
})
