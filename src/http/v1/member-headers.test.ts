import { expect, test } from 'bun:test'
import type { Member } from '../../core/member.ts'
import { memberHeaders } from './member-headers.ts'

function member(more: Partial<Member> = {}): Member {
  const times = { createdAtMs: 0, clock: Date.UTC(2026, 0, 1) * 2048, expiresAtMs: null }
  const what = { key: 'k', value: '1', contentType: 'application/json', flags: 0 }
  return { ...what, ...times, node: '', revision: 7, ...more }
}

const laterMs = Date.UTC(2026, 0, 2)

function reported(one: Member): Record<string, string> {
  const lines = memberHeaders(one, laterMs).split('\r\n')
  expect(lines.pop()).toBe('')
  return Object.fromEntries(lines.map((line) => line.split(': ')))
}

const usual = {
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "sandbox; default-src 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-cache',
  Vary: 'Accept',
  'Accept-Ranges': 'bytes',
  'Content-Type': 'application/json',
  ETag: '"7"',
  'Last-Modified': 'Thu, 01 Jan 2026 00:00:01 GMT',
}

test('headers of a member are the same however often it is asked for, whoever is asked for in between', () => {
  const one = member()
  for (let i = 0; i < 4; i++) {
    expect(reported(one)).toEqual(usual)
    expect(reported(member({ revision: 8 + i }))).toEqual({ ...usual, ETag: `"${8 + i}"` })
  }
  expect(memberHeaders(one, laterMs)).toBe(memberHeaders(one, laterMs))
})

test('members of one slot, or of one revision in two stores, are distinguished', () => {
  const [one, far, other] = [member(), member({ revision: 7 + 1024 }), member({ contentType: 'text/plain' })]
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) expect(reported(one)).toEqual(usual)
    for (let j = 0; j < 3; j++) expect(reported(far)).toEqual({ ...usual, ETag: '"1031"' })
    for (let j = 0; j < 3; j++) expect(reported(other)).toEqual({ ...usual, 'Content-Type': 'text/plain' })
  }
})

test('an expiry is in the headers', () => {
  const one = member({ expiresAtMs: Date.UTC(2030, 0, 1) })
  for (let i = 0; i < 3; i++)
    expect(reported(one)).toEqual({ ...usual, 'Kvist-Expires-At': '2030-01-01T00:00:00.000Z' })
})

test('Last-Modified is left out while it would lie after Date: in the second of the write, and with a clock set back', () => {
  const one = member()
  const writtenMs = Date.UTC(2026, 0, 1)
  for (const nowMs of [
    laterMs,
    writtenMs,
    writtenMs + 999,
    writtenMs - 86_400_000,
    laterMs,
    writtenMs + 999,
  ]) {
    const isThere = memberHeaders(one, nowMs).includes('Last-Modified: Thu, 01 Jan 2026 00:00:01 GMT')
    expect([nowMs, isThere]).toEqual([nowMs, nowMs >= writtenMs + 1000])
  }
})
