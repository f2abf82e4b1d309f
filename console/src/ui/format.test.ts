import { expect, test } from 'bun:test'
import { formatBytes, formatCount, formatDuration, formatRelative } from './format.ts'

test('sizes have three digits and a unit', () => {
  const shown = [0, 999, 1000, 9_400_000, 99_950, 999_499, 999_500, 2 ** 50].map(formatBytes)
  expect(shown).toEqual(['0 B', '999 B', '1.0 kB', '9.4 MB', '100 kB', '999 kB', '1.0 MB', '1.1 PB'])
})

test('counts are grouped, and one is one', () => {
  expect([0, 1, 48_210].map((n) => formatCount(n, 'member'))).toEqual([
    '0 members',
    '1 member',
    '48,210 members',
  ])
})

test('times are as far as a person says', () => {
  const now = Date.UTC(2026, 10, 28, 12)
  const secondsAgo = {
    now: 1,
    '12 s ago': 12,
    '3 min ago': 180,
    '2 h ago': 7200,
    yesterday: 90_000,
    '12 Nov': 16 * 86_400,
  }
  for (const [text, seconds] of Object.entries(secondsAgo))
    expect(formatRelative(now - seconds * 1000, now)).toBe(text)
  expect(formatRelative(now + 41_000, now)).toBe('in 41 s')
  expect(formatRelative(Date.UTC(2024, 10, 12), now)).toMatch(/12.*2024/)
})

test('durations have their two largest units', () => {
  expect([0, 41_000, 93_784_000, 3_600_000].map(formatDuration)).toEqual(['0 s', '41 s', '1 d 2 h', '1 h'])
})
