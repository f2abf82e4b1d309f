import { expect, test } from 'bun:test'
import type { MemberState } from '../core/comparison.ts'
import { type Settlement, settle } from './settle.ts'

const nowMs = 1000
const put = (clock: number, node = 'n1', expiresAtMs: number | null = null): MemberState => ({
  type: 'put',
  clock,
  node,
  expiresAtMs,
})
const gone = (clock: number, type: 'delete' | 'expire' = 'delete', node = 'n1'): MemberState => ({
  type,
  clock,
  node,
})
const none: MemberState = { type: 'none' }
const same: Settlement = { kind: 'same' }
const fromA: Settlement = { kind: 'copy', from: 'a' }
const undecided: Settlement = { kind: 'undecided', on: 'a' }

const other = { a: 'b', b: 'a' } as const

function mirrored(settlement: Settlement): Settlement {
  if (settlement.kind === 'copy') return { kind: 'copy', from: other[settlement.from] }
  if (settlement.kind === 'undecided') return { kind: 'undecided', on: other[settlement.on] }
  return settlement
}

test.each<[what: string, a: MemberState, b: MemberState, forgotten: number, Settlement]>([
  ['the same version', put(5), put(5), 9, same],
  ['a later version', put(6), put(5), 9, fromA],
  ['of two at the same moment that of the larger id', put(5, 'n2'), put(5, 'n1'), 9, fromA],
  ['the later expiry of one version', put(5, 'n1', 3000), put(5, 'n1', 2000), 9, fromA],
  ['a version that never expires', put(5), put(5, 'n1', 2000), 9, fromA],
  ['a tombstone of a later delete', gone(6), put(5), 9, fromA],
  ['a version written after a delete', put(6), gone(5), 9, fromA],
  [
    'a version that lives on where the other node expired it',
    put(5, 'n1', 2000),
    gone(5, 'expire'),
    9,
    fromA,
  ],
  ['the tombstone of a version that expired', gone(5, 'expire'), put(5, 'n1', 1000), 9, fromA],
  ['two tombstones', gone(6), gone(5), 9, same],
  ['a tombstone, and nothing', gone(6), none, 9, same],
  ['nothing on either', none, none, 9, same],
  ['a version newer than all that the other forgot', put(10), none, 9, fromA],
  ['a version that the other may have deleted', put(9), none, 9, undecided],
  ['a version, where the other never forgot anything', put(1), none, 0, fromA],
])('%s', (_what, a, b, forgottenClock, expected) => {
  const [of, ofOther] = [a, b].map((state) => ({ state, forgottenClock })) as [never, never]
  expect(settle(of, ofOther, nowMs)).toEqual(expected)
  expect(settle(ofOther, of, nowMs)).toEqual(mirrored(expected))
})

test('what counts is what the node that has nothing forgot', () => {
  const a = { state: put(9), forgottenClock: 100 }
  expect(settle(a, { state: none, forgottenClock: 8 }, nowMs)).toEqual(fromA)
  expect(settle(a, { state: none, forgottenClock: 9 }, nowMs)).toEqual(undecided)
})
