import { describe, expect, test } from 'bun:test'
import { KvistError } from '../core/errors.ts'
import { collectionOf, memberOf, memberOfRest, parametersOf, pathOf } from './path.ts'
import type { RoutedRequest } from './route.ts'

/** A request as Bun's router would hand it on. */
function routed(url: string, params: Readonly<Record<string, string>> = {}): RoutedRequest {
  return { url, params } as unknown as RoutedRequest
}

function codeOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    if (error instanceof KvistError) return error.code
    throw error
  }
  return 'none'
}

describe('members', () => {
  test('are what the router says, while it is sure', () => {
    const request = routed('http://x/v1/c/a%2Fb', { collection: 'c', key: 'a/b' })
    expect(memberOf(request)).toEqual({ collection: 'c', key: 'a/b' })
  })

  test('are what the path says where the router saw U+FFFD: that character, or an escape that is none', () => {
    const real = routed('http://x/v1/c/%EF%BF%BD', { collection: 'c', key: '\ufffd' })
    expect(memberOf(real)).toEqual({ collection: 'c', key: '\ufffd' })
    for (const path of ['c/%ff', 'c/%zz', 'c/%', '%ff/k', 'c/%ED%A0%80']) {
      const [collection, key] = path.split('/').map((part) => (part.includes('%') ? '\ufffd' : part))
      const request = routed(`http://x/v1/${path}`, { collection: collection!, key: key! })
      expect([path, codeOf(() => memberOf(request))]).toEqual([path, 'invalid_request'])
    }
  })

  test('are all that follows the collection, also without a host, and up to the query', () => {
    for (const host of ['http://x', '', 'http://[::1]:80', 'https://a?b'.slice(0, 9)]) {
      const request = routed(`${host}/v1/c/a/b%20c//?expire_in=5/6`, { collection: 'c' })
      expect(memberOfRest(request)).toEqual({ collection: 'c', key: 'a/b c//' })
    }
  })

  test('are not of another collection than the router found', () => {
    const request = routed('http://x/v1/other/k', { collection: 'c' })
    expect(codeOf(() => memberOfRest(request))).toBe('invalid_request')
  })

  test('have keys of 512 bytes at most', () => {
    const keyed = (key: string) => routed(`http://x/v1/c/${key}`, { collection: 'c', key })
    expect(memberOf(keyed('k'.repeat(512))).key.length).toBe(512)
    expect(codeOf(() => memberOf(keyed('k'.repeat(513))))).toBe('key_too_long')
    expect(codeOf(() => memberOf(keyed('é'.repeat(257))))).toBe('key_too_long')
    expect(codeOf(() => memberOf(keyed('')))).toBe('invalid_key')
  })
})

test('collections are decoded strictly', () => {
  expect(collectionOf(routed('http://x/v1/%EF%BF%BD?a', { collection: '\ufffd' }))).toBe('\ufffd')
  expect(codeOf(() => collectionOf(routed('http://x/v1/%ff', { collection: '\ufffd' })))).toBe(
    'invalid_request',
  )
  expect(codeOf(() => collectionOf(routed('http://x/v1/_a', { collection: '_a' })))).toBe(
    'invalid_collection',
  )
})

test('a path is what stands before the query', () => {
  expect(pathOf('http://x/v1/c?a=/b')).toBe('/v1/c')
  expect(pathOf('/v1/c?a')).toBe('/v1/c')
  expect(pathOf('http://x/')).toBe('/')
})

describe('parameters', () => {
  const parse = (query: string) => parametersOf(routed(`http://x/v1/c${query}`), ['prefix', 'limit'])
  test('are decoded as a form is', () => {
    expect(parse('')).toEqual({})
    expect(parse('?')).toEqual({})
    expect(parse('?prefix=a+b%2Bc&limit=1')).toEqual({ prefix: 'a b+c', limit: '1' })
    expect(parse('?&prefix=a=b&')).toEqual({ prefix: 'a=b' })
    expect(parse('?prefix')).toEqual({ prefix: '' })
    expect(parse('?prefix=%EF%BF%BD%C3%A9%00')).toEqual({ prefix: '\ufffdé\0' })
    expect(parse('?pre%66ix=a')).toEqual({ prefix: 'a' })
  })

  test('are refused when unknown, given twice or badly escaped', () => {
    for (const query of [
      '?x=1',
      '?=',
      '?prefix=1&prefix=1',
      '?prefix=%',
      '?prefix=%zz',
      '?prefix=%ff',
      '?%zz=1',
      '?__proto__=1',
    ]) {
      expect([query, codeOf(() => parse(query))]).toEqual([query, 'invalid_parameter'])
    }
  })
})
