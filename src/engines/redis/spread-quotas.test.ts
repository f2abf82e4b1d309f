import { expect, test } from 'bun:test'
import type { Commit } from '../../core/engine.ts'
import type { CollectionSize, Quota } from '../../core/quota.ts'
import { LineMap } from './layout.ts'
import { SpreadQuotas } from './spread-quotas.ts'

const lines = new LineMap(4, 'spread')
const limit: Quota = { collection: 'c', maxMembers: 10, maxBytes: null, maxValueBytes: null }

function putsOf(count: number, quota = limit): Commit {
  const put = { op: 'put', value: '1', contentType: 'application/json', flags: 0, expiresAtMs: null } as const
  const writes = Array.from({ length: count }, (_, i) => ({
    ...put,
    collection: quota.collection,
    key: `k${i}`,
  }))
  return { checks: [], writes, nowMs: 0, quotas: [quota] }
}

/** The collection with so many members on each line, of two bytes each. */
function withSizes(...members: number[]) {
  let reads = 0
  const quotas = new SpreadQuotas(lines, {
    async sizeOf(line) {
      reads++
      return { members: members[line]!, bytes: 2 * members[line]! }
    },
  })
  return { quotas, members, reads: () => reads }
}

async function settled(elsewhere: Promise<readonly CollectionSize[]>): Promise<number | 'waits'> {
  let result: number | 'waits' = 'waits'
  void elsewhere.then(([size]) => {
    result = size!.members
  })
  for (let i = 0; i < 20; i++) await Promise.resolve()
  return result
}

test('what is under way on other lines counts as if it was done, and nothing waits while there is room', async () => {
  const { quotas } = withSizes(1, 1, 1, 1)
  const all = [0, 1, 1, 2].map((line) => quotas.reserve(line, putsOf(1))!)
  expect(await Promise.all(all.map(({ elsewhere }) => settled(elsewhere)))).toEqual([3, 4, 4, 6])
  for (const { release } of all) release()
  expect(await settled(quotas.reserve(3, putsOf(1))!.elsewhere)).toBe(3)
})

test('a commit that fits only if those before it come to less waits for them, and reads again', async () => {
  const { quotas, members } = withSizes(2, 2, 2, 2)
  const [first, second, third] = [0, 1, 2].map((line) => quotas.reserve(line, putsOf(1))!)
  expect(await settled(first!.elsewhere)).toBe(6)
  expect(await settled(second!.elsewhere)).toBe(7)
  expect(await settled(third!.elsewhere)).toBe('waits')
  members[0]!++
  first!.release()
  expect(await settled(third!.elsewhere)).toBe('waits')
  // It was refused, or replaced a member.
  second!.release()
  expect(await settled(third!.elsewhere)).toBe(7)
})

test('of a collection that is full nothing waits', async () => {
  const { quotas } = withSizes(5, 5, 0, 0)
  const [first, second] = [0, 1].map((line) => quotas.reserve(line, putsOf(1))!)
  expect(await settled(first!.elsewhere)).toBe(5)
  expect(await settled(second!.elsewhere)).toBe(6)
})

test('bytes are limited likewise', async () => {
  const { quotas } = withSizes(1, 0, 0, 0)
  const bytes = { ...limit, maxMembers: null, maxBytes: 10 }
  const [first, second, third] = [1, 2, 3].map((line) => quotas.reserve(line, putsOf(1, bytes))!)
  expect(await settled(first!.elsewhere)).toBe(1)
  expect(await settled(second!.elsewhere)).toBe(2)
  expect(await settled(third!.elsewhere)).toBe('waits')
  first!.release()
  second!.release()
  expect(await settled(third!.elsewhere)).toBe(1)
})

test('a commit that adds nothing, or whose collection is on one line, is for its line alone', () => {
  const { quotas, reads } = withSizes(1, 1, 1, 1)
  const writes = [{ op: 'delete', collection: 'c', key: 'k', cause: 'delete' } as const]
  expect(quotas.reserve(0, { checks: [], writes, nowMs: 0, quotas: [limit] })).toBeNull()
  expect(quotas.reserve(0, putsOf(1, { ...limit, collection: '{c}' }))).toBeNull()
  expect(quotas.reserve(0, { ...putsOf(1), quotas: [] })).toBeNull()
  expect(reads()).toBe(0)
})
