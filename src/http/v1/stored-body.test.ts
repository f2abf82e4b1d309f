import { expect, test } from 'bun:test'
import { msToStamp } from '../../core/clock.ts'
import type { Stored } from '../../core/content.ts'
import { jsonContentType } from '../../core/member.ts'
import { storedJson } from './serializers.ts'
import { isShort, StoredBody } from './stored-body.ts'

const json = { contentType: jsonContentType }
const nowMs = Date.UTC(2030, 0, 31, 23, 59, 59, 999)
const stored: Stored = {
  revision: 7,
  createdAtMs: nowMs,
  clock: msToStamp(nowMs + 1),
  existed: true,
  expiresAtMs: null,
}

test('is the JSON of the stored member, byte by byte, and as long as it says', () => {
  const times = [0, 5, 1000, nowMs, nowMs + 64_000, Date.UTC(9999, 11, 31)]
  for (const revision of [1, 9, 10, 99, 100, 1_234_567, 2 ** 31 - 1, 2 ** 31, 2 ** 53 - 1]) {
    for (const [i, createdAtMs] of times.entries()) {
      for (const key of ['a', 'users/1', `~${'k'.repeat(500)}`]) {
        const version = { ...stored, revision, createdAtMs, clock: msToStamp(times.at(-1 - i)!) + 3 }
        expect(isShort(key, version, json)).toBe(true)
        const body = new StoredBody(key, version)
        const out = Buffer.alloc(1024, '#')
        body.write(out, new DataView(out.buffer, out.byteOffset, out.length), 3)
        expect(out.toString('utf8', 3, 3 + body.bytes)).toBe(`${storedJson(key, version, json)}\n`)
        expect([out[2], out[3 + body.bytes]]).toEqual([35, 35])
      }
    }
  }
})

test('is not for other members', () => {
  for (const key of ['"', '\\', 'a\nb', '\x7f', 'ä', '🎈']) expect(isShort(key, stored, json)).toBe(false)
  expect(isShort('a', { ...stored, expiresAtMs: nowMs }, json)).toBe(false)
  expect(isShort('a', stored, { contentType: 'text/plain' })).toBe(false)
})
