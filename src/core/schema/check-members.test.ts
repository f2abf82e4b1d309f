import { expect, test } from 'bun:test'
import { maxCheckedBytes, maxCheckedMembers } from '../limits.ts'
import type { Member } from '../member.ts'
import { unlimitedMemory } from '../page-memory.ts'
import { checkMembers } from './check-members.ts'

/** Checks the beginning of a collection that has no end. */
function checkEndless(value: string) {
  let keys = 0
  const member = (): Member => ({
    ...{ key: String(++keys).padStart(9, '0'), value, revision: keys, createdAtMs: 0, clock: 0, node: '' },
    ...{ expiresAtMs: null, contentType: 'application/json', flags: 0 },
  })
  return checkMembers(
    { schema: '{"type":"string"}', limit: 10, from: null },
    {
      page: async ({ limit }) => ({
        members: Array.from({ length: limit }, member),
        next: String(keys + 1).padStart(9, '0'),
        prefixes: [],
      }),
      current: null,
      collection: 'c',
      memory: unlimitedMemory,
    },
  )
}

test('one check is of as many members and bytes as docs/limits.md says, and names where the next one goes on', async () => {
  const small = await checkEndless('"a"')
  expect(small).toEqual({ checked: maxCheckedMembers, broken: [], next: '000050001' })
  const value = JSON.stringify('a'.repeat(2 ** 18))
  const large = await checkEndless(value)
  const pages = Math.ceil(maxCheckedBytes / (value.length * 100))
  expect(large.checked).toBe(pages * 100)
  expect(large.next).not.toBeNull()
})
