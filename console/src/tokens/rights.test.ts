import { expect, test } from 'bun:test'
import type { Capability } from 'kvist-client'
import { consequencesOf, draftOf, mayEverywhere, sentenceOf } from './rights.ts'

const draft = (collections: string, can: readonly Capability[], keyPrefix = '') => ({
  collections,
  keyPrefix,
  can,
})

test('a grant is a sentence', () => {
  const cases = [
    [draft('users', ['read']), 'Read members of users'],
    [draft('users', ['read', 'write'], 't1/'), 'Read and write members of users whose keys begin with t1/'],
    [draft('lo*', ['write']), 'Write members of collections named like lo*'],
    [
      draft('*', ['read', 'admin']),
      'Read members of all collections; change the settings of all collections, and drop them',
    ],
    [draft('users', ['admin']), 'Change the settings of users, and drop it'],
    [draft('users', ['admin'], 'a'), 'Drop all members of users whose keys begin with a at once'],
    [draft('*', ['replicate']), 'Exchange changes of members of all collections as another server does'],
    [draft('users', []), ''],
  ] as const
  for (const [grant, sentence] of cases) expect(sentenceOf(grant)).toBe(sentence)
  expect(sentenceOf(draftOf({ collections: 'users', can: ['read'] }))).toBe('Read members of users')
})

test('what grants mean together is said', () => {
  expect(consequencesOf([draft('users', ['read'])])).toEqual([])
  expect(consequencesOf([draft('users', ['write'])])).toEqual(['It may not read back what it writes'])
  expect(consequencesOf([draft('**', ['read', 'admin'])])).toHaveLength(2)
  expect(consequencesOf([draft('*', ['read', 'admin'], 't1/')])).toEqual([])
})

test('everywhere is a grant of all collections and all keys, as for the server', () => {
  const may = (collections: string, prefix?: string) =>
    mayEverywhere(
      { grants: [{ collections, can: ['read'], ...(prefix === undefined ? {} : { key_prefix: prefix }) }] },
      'read',
    )
  expect([may('*'), may('***'), may('*', ''), may('*', 'a'), may('?*'), may('users')]).toEqual([
    true,
    true,
    true,
    false,
    false,
    false,
  ])
  expect(mayEverywhere(null, 'read')).toBe(false)
  expect(mayEverywhere({ grants: [{ collections: '*', can: ['write'] }] }, 'read')).toBe(false)
})
