import { expect, test } from 'bun:test'
import { type Change, revisionOf } from '../../core/member.ts'
import { changeLog } from './change-log.ts'

function tombstone(key: string, revision: number): Change {
  return {
    type: 'delete',
    collection: 'c',
    tombstone: { key, revision, cause: 'delete', clock: 1, node: '', removedClock: 1 },
  }
}

test('changes come after a revision, and the overtaken go when they are more than the others', () => {
  const latest = new Map<string, Change>()
  const log = changeLog((change) => change.type !== 'put' && latest.get(change.tombstone.key) === change)
  const keys = 700
  let most = 0
  for (let revision = 1; revision <= 20_000; revision++) {
    const change = tombstone(`k${(revision * 11) % keys}`, revision)
    const key = change.type === 'put' ? '' : change.tombstone.key
    const isNew = !latest.has(key)
    latest.set(key, change)
    log.append(change)
    if (!isNew) log.overtake()
    if (revision % 100 > 0) continue
    const all = [...log.after(0)]
    most = Math.max(most, all.length)
    const known = new Set(latest.values())
    expect(all.filter((one) => known.has(one)).length).toBe(latest.size)
    expect([...log.after(revision - 10)].map(revisionOf)).toEqual(all.slice(-10).map(revisionOf))
  }
  // They go in thousands, so that each costs little.
  expect(most).toBeLessThan(keys + 1024 + 100)
  expect(most).toBeGreaterThan(keys + 500)
})

test('a renewed change takes the place of its revision', () => {
  const log = changeLog(() => true)
  for (const revision of [3, 5, 9]) log.append(tombstone('a', revision))
  const renewed = tombstone('renewed', 5)
  log.replace(renewed)
  log.replace(tombstone('none', 4))
  expect([...log.after(0)]).toEqual([tombstone('a', 3), renewed, tombstone('a', 9)])
})
