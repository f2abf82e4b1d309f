import { expect, test } from 'bun:test'
import type { Database } from './database.ts'
import { type Leadership, leaderWrites } from './leadership.ts'

/** What clients may do in the store of a node that is not the leader. */

const called: string[] = []
/** A store whose verbs note that they were called. */
const store = new Proxy({} as Database, {
  get: (_target, name) => async () => void called.push(String(name)),
  ownKeys: () => [...writes, ...others],
  getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
})

const writes = [
  'execute',
  'put',
  'delete',
  'patch',
  'touch',
  'update',
  'putAll',
  'write',
  'drop',
  'setSettings',
] as const
const others = [
  'get',
  'getHead',
  'getPart',
  'readMany',
  'page',
  'all',
  'changes',
  'watch',
  'replicate',
  'prepare',
] as const

const ref = { collection: 'c', key: 'k' }
const givenTo: Partial<Record<string, readonly unknown[]>> = {
  execute: [{ operations: [] }],
  put: ['c', 'k', {}],
  delete: ['c', 'k'],
  patch: [ref, {}],
  touch: [ref, 1],
}

async function outcomeOf(db: Database, verb: string, given = givenTo[verb] ?? []): Promise<string> {
  called.length = 0
  const verbs = db as unknown as Record<string, (...given: readonly unknown[]) => Promise<unknown>>
  return verbs[verb]!(...given).then(
    () => called.join(),
    (error: { code: string }) => error.code,
  )
}

const following = (url: string | null): Leadership => ({ leader: () => ({ url, why: 'why' }) })

test.each(writes)('%s is refused by a follower, and done by a leader', async (verb) => {
  expect(await outcomeOf(leaderWrites(store, following('http://a')), verb)).toBe('not_leader')
  expect(await outcomeOf(leaderWrites(store, following(null)), verb)).toBe('read_only')
  expect(await outcomeOf(leaderWrites(store, { leader: () => null }), verb)).toBe(verb)
})

test.each(others)('%s is done by a follower', async (verb) => {
  expect(await outcomeOf(leaderWrites(store, following('http://a')), verb)).toBe(verb)
})

const condition = { ifMatch: [7] }
test.each<[string, readonly unknown[]]>([
  ['execute', [{ operations: [], checks: [{ ...ref, revision: 7 }] }]],
  ['execute', [{ operations: [{ op: 'delete', ...ref, condition }] }]],
  ['put', ['c', 'k', {}, condition]],
  ['put', ['c', 'k', {}, { ifNoneMatch: [7] }]],
  ['delete', ['c', 'k', condition]],
  ['patch', [ref, {}, condition]],
  ['touch', [ref, 1, condition]],
])('%s on the condition of a revision is not for the leader: %j', async (verb, given) => {
  expect(await outcomeOf(leaderWrites(store, following('http://a')), verb, given)).toBe('misdirected')
})

test.each<[string, readonly unknown[]]>([
  ['execute', [{ operations: [], checks: [{ ...ref, revision: null }] }]],
  ['put', ['c', 'k', {}, { ifNoneMatch: 'any' }]],
  ['put', ['c', 'k', {}, { ifMatch: 'any', unmodifiedSinceMs: 1 }]],
])('%s on another condition is: %j', async (verb, given) => {
  expect(await outcomeOf(leaderWrites(store, following('http://a')), verb, given)).toBe('not_leader')
})
