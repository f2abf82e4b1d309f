import { expect, test } from 'bun:test'
import { AccessTable } from './access-table.ts'

const slots = 2 ** 18

test('a version is known to be fetched until another takes its slot', () => {
  const clock = { seconds: 0 }
  const table = new AccessTable(clock)
  expect([table.secondsAgo(0), table.secondsAgo(7)]).toEqual([null, null])
  table.record(7)
  clock.seconds = 5
  table.record(2 ** 45 + 8)
  expect([table.secondsAgo(7), table.secondsAgo(2 ** 45 + 8), table.secondsAgo(8)]).toEqual([5, 0, null])
  table.record(7 + slots)
  expect([table.secondsAgo(7), table.secondsAgo(7 + slots)]).toEqual([null, 0])
})

test('what replaces a version is as fetched as that was', () => {
  const clock = { seconds: 3 }
  const table = new AccessTable(clock)
  table.record(7)
  clock.seconds = 10
  table.carry(7, 9)
  table.carry(8, 10)
  table.carry(0, 11)
  expect([table.secondsAgo(9), table.secondsAgo(10), table.secondsAgo(11)]).toEqual([7, null, null])
})
