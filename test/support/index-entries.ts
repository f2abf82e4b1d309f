import type { Engine } from '../../src/core/engine.ts'
import type { Index } from '../../src/core/indexes/definition.ts'
import { asDuplicate, entryOf } from '../../src/core/indexes/entries.ts'
import { compareKeys } from '../../src/core/keys.ts'
import type { Member } from '../../src/core/member.ts'

/** Returns all members of a collection, expired ones and those of kvist's own collections included. */
export async function allMembers(engine: Pick<Engine, 'scan'>, collection: string): Promise<Member[]> {
  const members: Member[] = []
  let from: string | null = null
  do {
    const range = { collection, from, to: null, order: 'asc', limit: 1000, keysOnly: false } as const
    const page = await engine.scan(range)
    members.push(...page.members)
    from = page.next
  } while (from !== null)
  return members
}

/**
 * Returns what is wrong with the entries of an index: those that are missing, and those of no member. In a unique index one of the
 * members with the same values has the entry that all of them would have, and the others have their own.
 */
export async function wrongEntries(engine: Pick<Engine, 'scan'>, index: Index): Promise<string[]> {
  const members = await allMembers(engine, index.of)
  const entries = new Map(
    (await allMembers(engine, index.entries)).map(({ key, value }) => [key, String(value)]),
  )
  const wrong: string[] = []
  for (const { key, value } of members) {
    const expected = entryOf(index, key, value)
    const own = entries.get(expected.key) === expected.value ? expected : asDuplicate(expected, key)
    if (entries.get(own.key) === own.value) entries.delete(own.key)
    else wrong.push(`${key} has no entry ${JSON.stringify(expected.key)}`)
  }
  for (const key of [...entries.keys()].toSorted(compareKeys))
    wrong.push(`${JSON.stringify(key)} is of no member`)
  return wrong
}
