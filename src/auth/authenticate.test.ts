import { describe, expect, test } from 'bun:test'
import { authenticatorOf } from '../../test/support/authenticator.ts'
import { capabilities, parseGrants } from '../core/grants.ts'
import { permitsOf } from '../core/permits.ts'
import { authenticator } from './authenticate.ts'
import { anyone, type Principal, root, tokenIdOf, unauthenticated } from './principal.ts'
import { type TokenRegistry, tokenRegistry } from './tokens.ts'

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

test('a certificate to which nothing is granted is as none', () => {
  expect(authenticatorOf('secret').bySubject('CN=app', 1000)).toBe(unauthenticated)
  expect(open.bySubject('CN=app', 1000)).toBe(anyone)
})

test('a client without a valid token may do nothing, and has no token id', () => {
  expect(unauthenticated.isAuthenticated).toBe(false)
  for (const capability of capabilities) {
    expect(unauthenticated.permits.somewhere(capability)).toBe(false)
    expect(unauthenticated.permits.reach(capability, 'users')).toEqual([])
  }
  expect([unauthenticated, anyone, root].map(tokenIdOf)).toEqual([null, null, 'root'])
})

describe('what is remembered of a header', () => {
  const tokenOf = (i: number) => `kvist_${String(i).padStart(12, '0')}_${'x'.repeat(43)}`
  const headerOf = (i: number) => `Bearer ${tokenOf(i)}`

  /** An authenticator whose registry knows the tokens with even numbers, and counts how often it is asked. */
  function counting() {
    const counts = { finds: 0, uses: 0 }
    const grants = parseGrants([{ collections: 'users', can: ['read'] }])
    const known = { name: 'app', isAuthenticated: true, grants, permits: permitsOf(grants), rateLimit: null }
    const principalOf = (id: string): Principal => ({ ...known, id, expiresAtMs: null })
    const registry = tokenRegistry(() => {})
    const tokens: TokenRegistry = {
      ...registry,
      find(token) {
        counts.finds++
        const id = token.slice(6, 18)
        return Number(id) % 2 === 0 ? principalOf(id) : null
      },
      findSubject: (subject) => principalOf(subject),
    }
    const { byHeader, bySubject } = authenticator({ token: 'root', tokens, onUse: () => counts.uses++ })
    return { counts, byHeader, bySubject }
  }

  test('is for a minute, and not for a clock that was set back', () => {
    const { counts, byHeader } = counting()
    for (const ms of [0, 1, 59_999]) byHeader(headerOf(2), () => 1_000_000 + ms)
    expect(counts.finds).toBe(1)
    byHeader(headerOf(2), () => 1_060_000)
    expect(counts.finds).toBe(2)
    byHeader(headerOf(2), () => 1_059_999)
    expect(counts.finds).toBe(3)
  })

  test('is nothing of one that is not valid', () => {
    const { counts, byHeader } = counting()
    for (let i = 0; i < 3; i++) expect(byHeader(headerOf(1), now)).toBe(unauthenticated)
    expect(counts.finds).toBe(3)
  })

  test('is bounded', () => {
    const { counts, byHeader } = counting()
    for (let i = 0; i <= 4096; i++) byHeader(headerOf(2 * i), now)
    expect(counts.finds).toBe(4097)
    byHeader(headerOf(0), now)
    expect(counts.finds).toBe(4098)
  })

  test('counts as one use an hour, and so does a certificate', () => {
    const { counts, byHeader, bySubject } = counting()
    for (let i = 0; i < 3; i++) byHeader(headerOf(2), now)
    expect(counts.uses).toBe(1)
    for (let i = 0; i < 3; i++) bySubject('CN=app', 1000)
    expect(counts.uses).toBe(2)
    bySubject('CN=app', 3_601_000)
    expect(counts.uses).toBe(3)
  })
})
