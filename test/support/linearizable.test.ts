import { expect, test } from 'bun:test'
import { checkLinearizable, type Operation } from './linearizable.ts'
import { random, seedOfRun } from './random.ts'

type Register = string

const write = (value: string, calledAt: number, returnedAt: number): Operation<Register> => ({
  calledAt,
  returnedAt,
  label: `write ${value}`,
  step: () => value,
})

const read = (value: string, calledAt: number, returnedAt: number): Operation<Register> => ({
  calledAt,
  returnedAt,
  label: `read ${value}`,
  step: (state) => (state === value ? state : null),
})

const check = (...operations: Operation<Register>[]) => checkLinearizable(operations, '', (state) => state)
const never = Number.POSITIVE_INFINITY

test('a read after a write sees it', () => {
  expect(check(write('a', 0, 1), read('a', 2, 3)).ok).toBe(true)
  expect(check(write('a', 0, 1), read('', 2, 3))).toEqual({ ok: false, ordered: 1, stuckAt: ['read '] })
})

test('a read beside a write sees it or not, but no read after one that saw it may miss it', () => {
  expect(check(write('a', 0, 10), read('', 1, 2), read('a', 3, 4)).ok).toBe(true)
  expect(check(write('a', 0, 10), read('a', 1, 2), read('', 3, 4)).ok).toBe(false)
})

test('a write without a response may come later, or never, and only once', () => {
  expect(check(write('a', 0, never), read('', 5, 6)).ok).toBe(true)
  expect(check(write('a', 0, never), read('', 5, 6), read('a', 7, 8)).ok).toBe(true)
  const twice = [write('a', 0, never), read('a', 1, 2), write('b', 3, 4), read('a', 5, 6)]
  expect(check(...twice).ok).toBe(false)
})

test(`random histories get the verdict of trying every order`, () => {
  const r = random(seedOfRun())
  let refused = 0
  for (let round = 0; round < 3000; round++) {
    const operations = Array.from({ length: 1 + r.int(6) }, () => {
      const calledAt = r.int(10)
      const returnedAt = r.oneIn(6) ? never : calledAt + 1 + r.int(6)
      const value = r.pick(['a', 'b'])
      return r.oneIn(2) ? write(value, calledAt, returnedAt) : read(value, calledAt, returnedAt)
    })
    const { ok } = check(...operations)
    expect(ok).toBe(someOrder(operations, ''))
    if (!ok) refused++
  }
  expect(refused).toBeGreaterThan(100)
})

/** Without any cleverness: an operation comes next unless another one returned before it was called. */
function someOrder(open: readonly Operation<Register>[], state: Register): boolean {
  if (open.every(({ returnedAt }) => returnedAt === never)) return true
  return open.some((operation) => {
    if (open.some(({ returnedAt }) => returnedAt < operation.calledAt)) return false
    const after = operation.step(state)
    return (
      after !== null &&
      someOrder(
        open.filter((other) => other !== operation),
        after,
      )
    )
  })
}
