import { expect, test } from 'bun:test'
import { faultOf } from '../../../test/support/engine.ts'
import { maxTimeMs } from '../../core/limits.ts'
import { fieldExpiry, parameterExpiry } from './expiry.ts'

const nowMs = 1_800_000_000_000

test('fields say seconds, durations, times or never, in one set of words', () => {
  const cases = [
    [{}, null],
    [{ expire_in: 90 }, nowMs + 90_000],
    [{ expire_in: 0.5 }, nowMs + 500],
    [{ expire_in: '15m' }, nowMs + 900_000],
    [{ expire_in: 'never' }, 'never'],
    [{ expire_at: '2027-01-15T08:00:01Z' }, nowMs + 1000],
    [{ expire_at: '2020-01-01T00:00:00Z' }, Date.UTC(2020, 0)],
    [{ expire_at: null }, 'never'],
    [{ expires_at: '2027-01-15T08:00:01Z' }, nowMs + 1000],
    [{ expires_at: null }, 'never'],
    [{ expire_at: '9999-12-31T23:59:59.999Z' }, maxTimeMs],
    [{ expire_in: (maxTimeMs - nowMs) / 1000 }, maxTimeMs],
  ] as const
  for (const [fields, expected] of cases)
    expect([fields, fieldExpiry(fields, nowMs)]).toEqual([fields, expected])
})

test('parameters say the same; null is a word there', () => {
  expect(parameterExpiry({}, nowMs)).toBeNull()
  expect(parameterExpiry({ expire_in: '1.5' }, nowMs)).toBe(nowMs + 1500)
  expect(parameterExpiry({ expire_in: 'never' }, nowMs)).toBe('never')
  expect(parameterExpiry({ expire_at: 'null' }, nowMs)).toBe('never')
  expect(parameterExpiry({ expire_at: '2027-01-15T08:00:01Z' }, nowMs)).toBe(nowMs + 1000)
})

test.each([
  [{ expire_in: 1, expire_at: null }, 'expire_in and expire_at are both given'],
  [{ expire_at: null, expires_at: null }, 'expire_at and expires_at are both given'],
  [{ expire_in: 'never', expires_at: null }, 'expire_in and expires_at are both given'],
  [{ expire_in: null }, 'expire_in is a number of seconds'],
  [{ expire_in: true }, 'expire_in is a number of seconds'],
  [{ expire_in: ['1'] }, 'expire_in is a number of seconds'],
  [{ expire_in: 'null' }, 'is not a duration'],
  [{ expire_in: 0 }, ''],
  [{ expire_in: -1 }, ''],
  [{ expire_at: 'never' }, ''],
  [{ expire_at: true }, 'expire_at is a time in RFC 3339, or null'],
  [{ expires_at: {} }, 'expires_at is a time in RFC 3339, or null'],
  [{ expire_in: (maxTimeMs - nowMs + 1) / 1000 }, 'after the year 9999'],
])('%j is refused', async (fields, detail) => {
  const error = await faultOf((async () => fieldExpiry(fields, nowMs))())
  expect(error.code).toBe('invalid_parameter')
  expect(error.message).toContain(detail)
})
