import { expect, test } from 'bun:test'
import { authenticatorOf } from '../../test/support/authenticator.ts'
import { anyone, root, unauthenticated } from './principal.ts'

const { byHeader, byToken } = authenticatorOf('s3cret/+=')
const open = authenticatorOf(null)
const now = () => 1000

test.each(['Bearer s3cret/+=', 'bearer s3cret/+=', 'BEARER   s3cret/+='])(
  '%s is the header of root, also the second time',
  (header) => {
    expect(byHeader(header, now)).toBe(root)
    expect(byHeader(header, now)).toBe(root)
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
  expect(byHeader(header, now)).toBe(unauthenticated)
  expect(open.byHeader(header, now)).toBe(anyone)
})

test('a token is recognized without a header', () => {
  expect(byToken('s3cret/+=', 1000)).toBe(root)
  for (const token of ['', 's3cret/+', 'S3CRET/+=']) expect(byToken(token, 1000)).toBe(unauthenticated)
})

test('a server without a token refuses what looks like a token of its own and is not', () => {
  const forged = `kvist_0123456789ab_${'x'.repeat(43)}`
  expect(open.byHeader(`Bearer ${forged}`, now)).toBe(unauthenticated)
  expect(open.byToken(forged, 1000)).toBe(unauthenticated)
  expect(open.byHeader(`Bearer ${forged}x`, now)).toBe(anyone)
})
