import { expect, test } from 'bun:test'
import { KvistInputError } from 'kvist-client'
import { curlLine, newTokenOf, refusalOf } from './token-form.ts'

test('what is sent has what was filled in, and nothing else', () => {
  const grant = { collections: 'users', keyPrefix: '', can: ['read'] } as const
  const draft = { name: 'app', grants: [grant], expiresIn: '', rateLimit: ' ' }
  expect(newTokenOf(draft)).toEqual({
    name: 'app',
    grants: [{ collections: 'users', can: ['read'] }],
    expires_in: 'never',
  })
  const full = { ...draft, grants: [{ ...grant, keyPrefix: ' t1/' }], expiresIn: '90d ', rateLimit: '50/s' }
  expect(newTokenOf(full)).toMatchObject({
    expires_in: '90d',
    rate_limit: '50/s',
    grants: [{ key_prefix: ' t1/' }],
  })
})

test('a refusal is shown where it belongs', () => {
  const refusal = (detail: string) => refusalOf(new KvistInputError(detail))
  expect(refusal('grants[2].collections begins with _')).toEqual({
    field: 2,
    words: 'Collections begins with _',
  })
  expect(refusal('"name" is 1 to 128 bytes')).toEqual({ field: 'name', words: 'The name is 1 to 128 bytes' })
  expect(refusal('"expires_in" is a number')?.field).toBe('expiresIn')
  expect(refusal('"rate_limit" is not a rate')).toEqual({
    field: 'rateLimit',
    words: 'The rate is not a rate',
  })
  expect(refusal('grants[0].can is a list')?.words).toBe('What it may do is a list')
  expect(refusal('there are too many tokens')).toBeNull()
  expect(refusalOf(new Error('name'))).toBeNull()
})

test('the line for a terminal uses what the token may read, whatever it is called', () => {
  const line = (collections: string, can: readonly ('read' | 'write')[], prefix?: string) =>
    curlLine('http://h', 'kvist_a_b', [
      { collections, can, ...(prefix === undefined ? {} : { key_prefix: prefix }) },
    ])
  expect(line('users', ['read'])).toBe("curl http://h/v1/users -H 'Authorization: Bearer kvist_a_b'")
  expect(line("it's; rm", ['read'], "'$(x)")).toStartWith(
    "curl 'http://h/v1/it'\\''s%3B%20rm?prefix='\\''%24(x)' -H",
  )
  for (const other of [line('lo*', ['read']), line('users', ['write'])])
    expect(other).toContain('/v1/_whoami')
})
