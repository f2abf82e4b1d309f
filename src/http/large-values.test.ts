import { expect, test } from 'bun:test'
import { jsonContentType, type Member } from '../core/member.ts'
import type { Store } from '../core/store.ts'
import { MemoryBudget } from '../net/budget.ts'
import { largeValues } from './large-values.ts'
import type { Connection } from './wire/client-connection.ts'
import type { MemoryShare } from './wire/request-memory.ts'

function member(key: string, letter: string): Member {
  const times = { revision: key.length, createdAtMs: 0, clock: 0, expiresAtMs: null }
  return {
    key,
    value: `"${letter.repeat(100_000)}"`,
    ...times,
    node: '',
    contentType: jsonContentType,
    flags: 0,
  }
}

const members = [member('a', 'a'), member('bb', 'b'), member('ccc', 'c')]
const db: Pick<Store, 'get'> = { get: (_, key) => members.find((one) => one.key === key) ?? null }

/** A connection that releases what it holds when it is told to. */
function connectionWith(values: MemoryBudget) {
  const held: MemoryShare[] = []
  const connection: Pick<Connection, 'hold'> & { memory: { values: MemoryBudget } } = {
    memory: { values },
    hold: (share) => void held.push(share),
  }
  return {
    connection: connection as unknown as Connection,
    sent: () => {
      for (const share of held.splice(0)) share.release()
    },
  }
}

test('what is sent stays as it is while the memory of other values is used again', async () => {
  const { get, part } = largeValues(db as Store)
  const budget = new MemoryBudget(1 << 30)
  const one = connectionWith(budget)
  const other = connectionWith(budget)
  const ref = (key: string) => ({ collection: 'c', key })
  const first = (await get(ref('a'), one.connection))!
  const { value, ...rest } = members[0]!
  const head = { ...rest, valueBytes: value.length }
  const range = (await part(ref('a'), head, 1, 4, other.connection))!
  other.sent()
  const second = (await get(ref('bb'), other.connection))!
  expect([String(first.value), String(second.value)]).toEqual([value, members[1]!.value] as string[])
  one.sent()
  other.sent()
  const third = (await get(ref('ccc'), one.connection))!
  expect(String(third.value)).toBe(String(members[2]!.value))
  expect([first, second].map((sent) => (sent.value as Buffer).buffer)).toContain(
    (third.value as Buffer).buffer,
  )
  const fourth = (await get(ref('bb'), one.connection))!
  expect(String(fourth.value)).toBe(String(members[1]!.value))
  expect(String(range)).toBe('aaa')
})
