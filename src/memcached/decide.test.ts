import { describe, expect, test } from 'bun:test'
import type { Command } from './command.ts'
import {
  clientFlags,
  decideCount,
  decideMetaDelete,
  decideMetaGet,
  decideStore,
  type Item,
  isStale,
  isWinSent,
  touched,
} from './decide.ts'
import { CommandParser } from './protocol.ts'

/** What a real memcached does is held against in recorded.test.ts; here is what kvist adds, and what newer ones do. */
const nowMs = 1_800_000_000_000
const flags = 0xffff_ffff
const found: Item = { value: 'old', flags, revision: 7, expiresAtMs: nowMs + 5000, writtenAtMs: nowMs - 9000 }

function command<K extends Command['kind']>(kind: K, request: string): Extract<Command, { kind: K }> {
  const parser = new CommandParser(100)
  parser.push(Buffer.from(request))
  const parsed = parser.next()
  const is = (one: Command | null): one is Extract<Command, { kind: K }> => one?.kind === kind
  if (!is(parsed)) throw new Error(`${JSON.stringify(request)} is no ${kind}`)
  return parsed
}

describe('marks', () => {
  test('stand above the flags of the client and leave them alone', () => {
    const stale = decideMetaDelete(command('metaDelete', 'md k I\r\n'), found, nowMs)
    if (stale.status !== 'changed') throw new Error(stale.status)
    expect(isStale(stale.write.flags)).toBe(true)
    expect(isWinSent(stale.write.flags)).toBe(false)
    expect(clientFlags(stale.write.flags)).toBe(flags)
    expect(stale.write).toMatchObject({ value: 'old', expiresAtMs: found.expiresAtMs })

    const won = decideMetaGet(command('metaGet', 'mg k v\r\n'), { ...found, ...stale.write }, nowMs)
    if (won.status !== 'hit' || won.write === null) throw new Error(won.status)
    expect(won.won).toBe(true)
    expect(isStale(won.write.flags)).toBe(true)
    expect(isWinSent(won.write.flags)).toBe(true)
    expect(clientFlags(won.write.flags)).toBe(flags)

    const second = decideMetaGet(command('metaGet', 'mg k v\r\n'), { ...found, ...won.write }, nowMs)
    expect(second).toMatchObject({ status: 'hit', won: false, write: null })
  })

  test('outlive a touch and a count, not a store', () => {
    const marked = { ...found, value: '5', flags: flags + 2 ** 32 + 2 ** 33 }
    expect(touched(marked, 0, nowMs)).toEqual({ value: '5', flags: marked.flags, expiresAtMs: null })
    const counted = decideCount(command('count', 'incr k 1\r\n'), marked, nowMs)
    expect(counted).toMatchObject({
      status: 'counted',
      number: 6n,
      write: { flags: marked.flags, value: '6' },
    })
    const appended = decideStore(command('store', 'append k 1 1 1\r\nx\r\n'), marked, nowMs, 100)
    expect(appended).toMatchObject({ write: { flags, expiresAtMs: found.expiresAtMs } })
    const stored = decideStore(command('store', 'set k 1 0 1\r\nx\r\n'), marked, nowMs, 100)
    expect(stored).toMatchObject({ write: { flags: 1, expiresAtMs: null } })
  })
})

test('mg with R wins the recache where less time is left than it says, not where just as much is', () => {
  const mg = command('metaGet', 'mg k R5\r\n')
  const at = (leftMs: number) => decideMetaGet(mg, { ...found, expiresAtMs: nowMs + leftMs }, nowMs)
  expect([4999, 5000, 5001].map((leftMs) => [leftMs, at(leftMs)])).toMatchObject([
    [4999, { won: true }],
    [5000, { won: false, write: null }],
    [5001, { won: false, write: null }],
  ])
  expect(decideMetaGet(mg, { ...found, expiresAtMs: null }, nowMs)).toMatchObject({ won: false })
  // The T before it decides what is left, the T behind it does not.
  const touched = (request: string) => decideMetaGet(command('metaGet', request), found, nowMs)
  expect(touched('mg k T4 R5\r\n')).toMatchObject({ won: true })
  expect(touched('mg k T5 R5\r\n')).toMatchObject({ won: false })
  expect(touched('mg k R5 T4\r\n')).toMatchObject({ won: false })
})

test('md with x keeps the member and empties it', () => {
  const kept = decideMetaDelete(command('metaDelete', 'md k x\r\n'), found, nowMs)
  expect(kept).toEqual({
    status: 'changed',
    write: { value: new Uint8Array(0), flags: 0, expiresAtMs: found.expiresAtMs },
  })
  const stale = decideMetaDelete(command('metaDelete', 'md k x I T60\r\n'), found, nowMs)
  if (stale.status !== 'changed') throw new Error(stale.status)
  expect(stale.write).toMatchObject({ flags: 2 ** 32, expiresAtMs: nowMs + 60_000 })
})

test('ms with N makes what is to be appended to', () => {
  const made = decideStore(command('metaStore', 'ms k 1 MA N60 F3\r\nx\r\n'), null, nowMs, 100)
  expect(made).toMatchObject({ status: 'stored', write: { flags: 3, expiresAtMs: nowMs + 60_000 } })
})

test('append joins text and bytes, as far as the limit', () => {
  const append = command('store', 'append k 0 0 2\r\n\u00e9\r\n')
  const joined = decideStore(append, { ...found, value: '€' }, nowMs, 5)
  if (joined.status !== 'stored') throw new Error(joined.status)
  expect(Buffer.from(joined.write.value).toString()).toBe('€é')
  expect(decideStore(append, { ...found, value: '€' }, nowMs, 4)).toEqual({ status: 'notStored' })
})

test('a cas unique past the safe integers matches nothing, nor is it older than anything', () => {
  for (const request of ['ms k 1 C18446744073709551615 I\r\nx\r\n', 'ms k 1 C0 I\r\nx\r\n']) {
    expect(decideStore(command('metaStore', request), found, nowMs, 100)).toEqual({ status: 'exists' })
  }
})

test('a long value is no counter', () => {
  const incr = command('count', 'incr k 1\r\n')
  expect(decideCount(incr, { ...found, value: `${'0'.repeat(1000)}7` }, nowMs)).toMatchObject({ number: 8n })
  expect(decideCount(incr, { ...found, value: '0'.repeat(1025) }, nowMs)).toEqual({ status: 'notANumber' })
})
