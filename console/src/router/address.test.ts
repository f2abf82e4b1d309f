import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { type Address, hrefOf, parseAddress } from './address.ts'

/** Addresses survive the way through a browser, which parses them as URLs. */

function throughBrowser(address: Address): Address {
  const { pathname, search } = new URL(hrefOf(address), 'http://127.0.0.1:7070')
  return parseAddress(pathname, search)
}

function openMember(collection: string, key: string, query = {}): Address {
  return { page: 'members', collection, key, query }
}

test('every key and every name comes back as it was', () => {
  const odd = [
    '.',
    '..',
    'a//b',
    '/',
    '//',
    'a/../b',
    './a',
    'a/',
    '%2F',
    '%',
    '?',
    '#',
    ' ',
    '\\',
    'a\u0000b',
    'å/ø',
    '💡',
  ]
  for (const key of odd) expect(throughBrowser(openMember('users', key))).toEqual(openMember('users', key))
  const text = fc.string({ minLength: 1, unit: 'grapheme' })
  const name = text.filter((given) => !given.includes('/') && given !== '.' && given !== '..')
  fc.assert(
    fc.property(
      name,
      text,
      fc.dictionary(
        text.filter((given) => given !== 'key'),
        text,
      ),
      (collection, key, query) => {
        const address = openMember(collection, key, { ...query })
        expect(throughBrowser(address)).toEqual(address)
      },
    ),
  )
})

test('slashes of a key stay readable where they can', () => {
  expect(hrefOf(openMember('users', 'team/north/ann'))).toBe('/console/c/users/m/team/north/ann')
  expect(hrefOf(openMember('users', 'a/../b'))).toBe('/console/c/users/m/a%2F..%2Fb')
  expect(hrefOf(openMember('users', '..', { prefix: 'a' }))).toBe('/console/c/users/m/?prefix=a&key=..')
})

test('pages have their addresses, and what is none of them is unknown', () => {
  const query = {}
  const pages: readonly (readonly [path: string, address: Address])[] = [
    ['/console/', { page: 'collections', query }],
    ['/console/c/users', { page: 'members', collection: 'users', key: null, query }],
    ['/console/c/users/settings', { page: 'settings', collection: 'users', query }],
    ['/console/overview', { page: 'overview', query }],
    ['/console/tokens', { page: 'tokens', query }],
    ['/console/transfer', { page: 'transfer', query }],
    ['/console/requests', { page: 'requests', query }],
  ]
  for (const [path, address] of pages) {
    expect(parseAddress(path, '')).toEqual(address)
    expect(hrefOf(address)).toBe(path)
  }
  expect(parseAddress('/console', '').page).toBe('collections')
  const none = [
    '/',
    '/consoles',
    '/console/nothing',
    '/console/c',
    '/console/c/',
    '/console/c/%',
    '/console/c/a/b',
    '/console/c/a/m',
    '/console/c/a/m/',
    '/console/c/a/m/%',
    '/console/c/a/settings/b',
    '/console/overview/a',
  ]
  for (const path of none) expect([path, parseAddress(path, '').page]).toEqual([path, 'unknown'])
})

test('a parameter that is empty is left out', () => {
  const address = {
    page: 'members',
    collection: 'c',
    key: null,
    query: { prefix: '', view: 'folders' },
  } as const
  expect(hrefOf(address)).toBe('/console/c/c?view=folders')
})
