import { expect, test } from 'bun:test'
import type { Commit, CommitResult, Written } from '../engine.ts'
import { StaleView } from '../stale-view.ts'
import { freshCommits } from './fresh-commits.ts'

/** What is done with commits that were refused because this server knew the indexes as they were. */

const nowMs = 1000

function put(key: string, collection = 'c') {
  const content = { value: '1', contentType: 'application/json', flags: 0, expiresAtMs: null }
  return { op: 'put', collection, key, ...content } as const
}

function written(revision: number): Written {
  return { revision, createdAtMs: nowMs, clock: revision, existed: false }
}

/** Returns commits of an engine that does so many writes of each, and refuses the others. */
function engineThatDoes(...counts: number[]) {
  const given: Commit[] = []
  const views: number[] = []
  const commit = async (one: Commit): Promise<CommitResult> => {
    given.push(one)
    const all = one.writes.map((_, i) => written(100 * given.length + i))
    const done = counts.shift() ?? all.length
    if (done < all.length) throw new StaleView(7, null, new Map([...all.entries()].slice(0, done)))
    return { ok: true, written: all }
  }
  const refresh = async ({ view }: StaleView) => void views.push(view)
  return { commit: freshCommits({ refresh }, commit), given, views }
}

test('what was done of a commit is not done again', async () => {
  const { commit, given, views } = engineThatDoes(1, 0, 2, 9)
  const result = await commit({
    checks: [],
    writes: ['a', 'b', 'd', 'e'].map((key) => put(key)),
    nowMs,
    apart: true,
  })
  expect(given.map(({ writes }) => writes.map(({ key }) => key))).toEqual([
    ['a', 'b', 'd', 'e'],
    ['b', 'd', 'e'],
    ['b', 'd', 'e'],
    ['e'],
  ])
  expect(result).toEqual({ ok: true, written: [100, 300, 301, 400].map(written) })
  expect(views).toEqual([7, 7, 7])
})

test('a delete that only the view decided is not sent again, one with a check of its member is', async () => {
  const orphan = { op: 'delete', collection: '_index-x', key: 'k', cause: 'delete', anywhere: true } as const
  const alone = engineThatDoes(0)
  const refused = await alone.commit({ checks: [], writes: [orphan], nowMs }).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(StaleView)
  expect([alone.given.length, alone.views]).toEqual([1, []])
  const checked = engineThatDoes(0)
  const check = { collection: 'c', key: 'k', revision: 1 }
  expect(await checked.commit({ checks: [check], writes: [orphan], nowMs })).toMatchObject({ ok: true })
})

test('other errors stay what they are, and a view that stays too old is no endless loop', async () => {
  const failing = freshCommits({ refresh: async () => {} }, () => Promise.reject(new Error('disk')))
  expect(await failing({ checks: [], writes: [put('a')], nowMs }).catch(String)).toBe('Error: disk')
  let calls = 0
  const stale = freshCommits({ refresh: async () => {} }, () => {
    calls++
    return Promise.reject(new StaleView(7))
  })
  const error = await stale({ checks: [], writes: [put('a')], nowMs }).catch((one) => one)
  expect(error).toMatchObject({ code: 'busy' })
  expect(calls).toBeLessThan(200)
})
