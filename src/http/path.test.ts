import { describe, expect, test } from 'bun:test'
import { requestOf } from '../../test/support/connection.ts'
import { KvistError } from '../core/errors.ts'
import { collectionOf, memberOf, parametersOf } from './path.ts'
import type { HttpRequest } from './wire/request.ts'

/** A request as the router would hand it on. */
function routed(target: string, params: Readonly<Record<string, string>> = {}): HttpRequest {
  const request = requestOf(`GET ${target} HTTP/1.1`)
  request.setParameters(Object.keys(params), Object.values(params))
  return request
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
  const member = (collection: string, key: string) => memberOf(routed('/', { collection, key }))

  test('are decoded once', () => {
    expect(member('c', 'a%2Fb')).toEqual({ collection: 'c', key: 'a/b' })
    expect(member('c%C3%A9', 'a%252F')).toEqual({ collection: 'cé', key: 'a%2F' })
    expect(member('c', '%EF%BF%BD')).toEqual({ collection: 'c', key: '\ufffd' })
    expect(memberOf(routed('/', { collection: 'c', '*': 'a/b%20c//' }))).toEqual({
      collection: 'c',
      key: 'a/b c//',
    })
  })

  test('that cannot be decoded are refused', () => {
    for (const [collection, key] of [
      ['c', '%ff'],
      ['c', '%zz'],
      ['c', '%'],
      ['%ff', 'k'],
      ['c', '%ED%A0%80'],
    ] as const) {
      expect([key, codeOf(() => member(collection, key))]).toEqual([key, 'invalid_request'])
    }
  })

  test('have keys of 512 bytes at most', () => {
    expect(member('c', 'k'.repeat(512)).key.length).toBe(512)
    expect(codeOf(() => member('c', 'k'.repeat(513)))).toBe('key_too_long')
    expect(codeOf(() => member('c', 'é'.repeat(257)))).toBe('key_too_long')
    expect(codeOf(() => member('c', ''))).toBe('invalid_key')
  })
})

test('collections are decoded strictly', () => {
  const collection = (name: string) => collectionOf(routed('/', { collection: name }))
  expect(collection('%EF%BF%BD')).toBe('\ufffd')
  expect(codeOf(() => collection('%ff'))).toBe('invalid_request')
  expect(codeOf(() => collection('_a'))).toBe('invalid_collection')
  expect(codeOf(() => collection('%5Fa'))).toBe('invalid_collection')
})

describe('parameters', () => {
  const parse = (query: string) => parametersOf(routed(`/v1/c${query}`), ['prefix', 'limit'])
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
