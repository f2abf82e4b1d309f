import { expect, test } from 'bun:test'
import { type Access, anyone, authenticator, isAuthorized, unauthenticated } from './authenticate.ts'

const { byHeader, byToken } = authenticator('s3cret/+=')

test.each(['Bearer s3cret/+=', 'bearer s3cret/+=', 'BEARER   s3cret/+='])(
  '%s is the header of root',
  (header) => {
    expect(byHeader(header).name).toBe('root')
  },
)

test.each([
  null,
  '',
  's3cret/+=',
  'Bearer',
  'Bearer ',
  'Bearer s3cret/+',
  'Bearer s3cret/+==',
  'Bearer S3CRET/+=',
  'Bearer s3cret/+= ',
  'Bearer s3cret/+= x',
  'Bearer s3cret/+=, Bearer s3cret/+=',
  'Basic s3cret/+=',
  'Bearer\ts3cret/+=',
  `Bearer ${'x'.repeat(10_000)}`,
])('%j is that of nobody', (header) => {
  expect(byHeader(header)).toBe(unauthenticated)
})

test('a token is told without a header', () => {
  expect(byToken('s3cret/+=').name).toBe('root')
  for (const token of ['', 's3cret/+', 'S3CRET/+=']) expect(byToken(token)).toBe(unauthenticated)
})

test('who brings no token may do what is open, others everything', () => {
  const all: Access[] = ['open', 'read', 'write', 'admin']
  const allowed = (principal: typeof anyone) => all.filter((access) => isAuthorized(principal, access))
  expect(allowed(unauthenticated)).toEqual(['open'])
  expect(allowed(byToken('s3cret/+='))).toEqual(all)
  expect(allowed(anyone)).toEqual(all)
})
