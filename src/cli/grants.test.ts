import { expect, test } from 'bun:test'
import { UsageError } from '../options.ts'
import { parseGrants, showGrants } from './grants.ts'

/** Grants as people write them after `--allow`. */

test.each([
  ['read:users', [{ collections: 'users', can: ['read'] }]],
  ['read,write:users', [{ collections: 'users', can: ['read', 'write'] }]],
  ['read, write:users', [{ collections: 'users', can: ['read', 'write'] }]],
  ['read:logs/*', [{ collections: 'logs', can: ['read'] }]],
  ['read:logs/t1/*', [{ collections: 'logs', key_prefix: 't1/', can: ['read'] }]],
  ['read:logs/t1:2*', [{ collections: 'logs', key_prefix: 't1:2', can: ['read'] }]],
  ['admin:*/t1/*', [{ collections: '*', key_prefix: 't1/', can: ['admin'] }]],
  ['read:lo*', [{ collections: 'lo*', can: ['read'] }]],
  ['read:a:b?', [{ collections: 'a:b?', can: ['read'] }]],
  [
    'read,write:users,replicate:logs/*',
    [
      { collections: 'users', can: ['read', 'write'] },
      { collections: 'logs', can: ['replicate'] },
    ],
  ],
])('%j grants', (text, grants) => {
  expect(parseGrants(text, undefined)).toEqual(Object(grants))
})

test('--key-prefix is for grants that name no keys', () => {
  expect(parseGrants('read,write:users,read:logs/*,read:files/a*', 'tenant1/')).toEqual([
    { collections: 'users', key_prefix: 'tenant1/', can: ['read', 'write'] },
    { collections: 'logs', can: ['read'] },
    { collections: 'files', key_prefix: 'a', can: ['read'] },
  ])
  expect(parseGrants('read:users', 'a*,b/')).toEqual([
    { collections: 'users', key_prefix: 'a*,b/', can: ['read'] },
  ])
})

test.each([
  ['users', undefined, '--allow "users" names no collection: it reads like read,write:users'],
  ['read', undefined, '--allow "read" names no collection'],
  ['', undefined, '--allow "" names no collection'],
  ['read:users,logs', undefined, '--allow "logs" names no collection'],
  ['read:users,', undefined, '--allow "" names no collection'],
  ['users:read', undefined, '"users" is none of read, write, admin, replicate'],
  ['read,:users', undefined, '"" is none of read, write, admin, replicate'],
  ['reads:users', undefined, '"reads" is none of'],
  ['Read:users', undefined, '"Read" is none of'],
  ['*:users', undefined, '"*" is none of'],
  ['read:', undefined, 'after the colon comes a collection'],
  ['read:/t1/*', undefined, 'after the colon comes a collection'],
  ['read: users', undefined, 'after the colon comes a collection'],
  ['read:users/', undefined, 'keys are named by how they begin, as in users/t1/*'],
  ['read:users/t1', undefined, 'keys are named by how they begin'],
  ['read:users/t?/*', undefined, 'keys are named by how they begin'],
  ['read:users/*/a*', undefined, 'keys are named by how they begin'],
  ['read:users/**', undefined, 'keys are named by how they begin'],
  ['read:users/t1\\*', undefined, 'keys are named by how they begin'],
  ['read:users', '', '--key-prefix is empty: leave it out to allow all keys'],
  ['read:users/*', 't1/', '--key-prefix has no --allow to apply to'],
])('%j with the key prefix %j is refused', (text, prefix, message) => {
  expect(() => parseGrants(text, prefix)).toThrow(UsageError)
  expect(() => parseGrants(text, prefix)).toThrow(message)
})

test('grants are shown as they are written', () => {
  const text = 'read,write:users/t1/* read:logs admin:*'
  expect(showGrants(parseGrants(text.replaceAll(' ', ','), undefined))).toBe(text)
})
