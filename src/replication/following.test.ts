import { expect, test } from 'bun:test'
import type { Kvist } from '../../sdk/client.ts'
import { msToStamp } from '../core/clock.ts'
import type { SentChange } from '../core/entry-lines.ts'
import { withoutForgotten } from './following.ts'

const nowMs = Date.UTC(2026, 5, 1)
const dayMs = 24 * 3_600_000

function put(key: string, agoMs: number, collection = 'c'): SentChange {
  const member = {
    key,
    value: '1',
    revision: 1,
    createdAtMs: nowMs - agoMs,
    clock: msToStamp(nowMs - agoMs),
    node: '',
    expiresAtMs: null,
    contentType: 'application/json',
    flags: 0,
  }
  return { change: { type: 'put', collection, member }, isRenewal: false }
}

function removal(key: string): SentChange {
  const clock = msToStamp(nowMs - 9 * dayMs)
  const tombstone = { key, revision: 1, cause: 'delete', clock, node: '', removedClock: clock } as const
  return { change: { type: 'delete', collection: 'c', tombstone }, isRenewal: false }
}

function filtering(held: readonly string[]) {
  const asked: string[][] = []
  const warnings: object[] = []
  const comparison = {
    async states(refs: readonly { key: string }[]) {
      asked.push(refs.map(({ key }) => key))
      const states = refs.map(({ key }) => ({ type: held.includes(key) ? 'put' : 'none' }))
      return { states, forgotten_clock: msToStamp(nowMs - 7 * dayMs) }
    },
  }
  const filter = withoutForgotten({
    leader: { url: 'http://a', nodes: { comparison } } as unknown as Kvist,
    log: { info() {}, warn: (_message, fields = {}) => warnings.push(fields) },
    now: () => nowMs,
  })
  return { filter, asked, warnings }
}

test('what the leader may have deleted and forgotten is not sent to it again', async () => {
  const { filter, asked, warnings } = filtering(['held'])
  const entries = [
    put('recent', 1000),
    put('old', 6 * dayMs),
    put('forgotten', 8 * dayMs),
    put('held', 8 * dayMs),
    removal('gone'),
    put('c', 8 * dayMs, '_settings'),
  ]
  const sent = await filter(entries)
  expect(sent).toEqual(entries.filter((_entry, i) => i !== 2))
  expect(asked).toEqual([['old', 'forgotten', 'held']])
  expect(warnings).toEqual([{ server: 'http://a', members: 1, first: 'c/forgotten' }])
})

test('the leader is not asked about what was written just now', async () => {
  const { filter, asked } = filtering([])
  const entries = [put('a', 0), put('b', 59_000)]
  expect(await filter(entries)).toEqual(entries)
  expect(asked).toEqual([])
})
