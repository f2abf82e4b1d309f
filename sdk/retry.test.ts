import { describe, expect, test } from 'bun:test'
import { countingSignal } from '../test/support/signal.ts'
import { KvistHttpError, KvistTimeoutError, KvistUnreachableError } from './errors.ts'
import { mayRetry, pause, pauseMs, type Retry } from './retry.ts'

function httpError(status: number, code = '', retryAfterSeconds: number | null = null): KvistHttpError {
  return new KvistHttpError(status, '', { code, detail: '' }, retryAfterSeconds)
}

function caused(cause: object): KvistUnreachableError {
  return new KvistUnreachableError('http://h', Object.assign(new Error('no'), cause))
}

const [all, exceptUnsent, idempotent, none]: readonly (readonly Retry[])[] = [
  ['idempotent', 'if-rejected', 'if-unsent'],
  ['idempotent', 'if-rejected'],
  ['idempotent'],
  [],
]

test.each([
  ['a refused connection', caused({ code: 'ECONNREFUSED' }), all],
  ['a name that is not found', caused({ cause: Object.assign(new Error(), { code: 'ENOTFOUND' }) }), all],
  ["Deno's words for it", caused({ message: 'client error (Connect)' }), all],
  ['a lost connection', caused({ code: 'ECONNRESET' }), idempotent],
  ['no word on the connection', new KvistUnreachableError('http://h', null), idempotent],
  ['no response in time', new KvistTimeoutError('http://h', 1), idempotent],
  ['busy', httpError(503, 'busy'), exceptUnsent],
  ['closing', httpError(503, 'closing'), exceptUnsent],
  ['unavailable', httpError(503, 'unavailable'), exceptUnsent],
  ['outcome_unknown', httpError(504, 'outcome_unknown'), none],
  ['429', httpError(429), exceptUnsent],
  ['too many requests', httpError(429, 'rate_limited', 30), exceptUnsent],
  ['too many requests for longer', httpError(429, 'rate_limited', 31), none],
  ['502', httpError(502), idempotent],
  ['503', httpError(503), idempotent],
  ['504', httpError(504), idempotent],
  ['storage_failed', httpError(503, 'storage_failed'), idempotent],
  ['500', httpError(500, 'internal'), none],
  ['400', httpError(400, 'invalid_key'), none],
  ['412', httpError(412, 'precondition_failed'), none],
  ['a pause of 30 s', httpError(503, 'busy', 30), exceptUnsent],
  ['a pause of 31 s', httpError(503, 'busy', 31), none],
  ['another error', new TypeError('a bug'), none],
])('%s is followed by another try of %s', (_name, error, expected = []) => {
  expect(all?.filter((retry) => mayRetry(error, retry))).toEqual([...expected])
})

describe('the pause before the next try', () => {
  const pauses = (failures: number, error: unknown, firstMs?: number) =>
    Array.from({ length: 500 }, () => pauseMs(failures, error, firstMs))

  test.each([
    [0, 100],
    [1, 200],
    [6, 6400],
    [7, 10_000],
    [1000, 10_000],
  ])('after %d failures is %d ms, or up to a half less', (failures, longestMs) => {
    const found = pauses(failures, null)
    expect(Math.min(...found)).toBeWithin(longestMs / 2, longestMs * 0.55)
    expect(Math.max(...found)).toBeWithin(longestMs * 0.95, longestMs + 0.001)
  })

  test('is never shorter than the server asks for, and little longer', () => {
    const found = pauses(0, httpError(503, 'busy', 20))
    expect(Math.min(...found)).toBeWithin(20_000, 20_300)
    expect(Math.max(...found)).toBeWithin(24_700, 25_001)
  })

  test('is that of the server when the client sends too many requests', () => {
    const found = pauses(0, httpError(429, 'rate_limited', 3))
    expect(Math.min(...found)).toBeWithin(3000, 3100)
    expect(Math.max(...found)).toBeWithin(3650, 3751)
  })

  test('may begin longer than the longest one', () => {
    expect(Math.min(...pauses(0, null, 60_000))).toBeGreaterThanOrEqual(30_000)
  })
})

test('a pause ends when it is aborted, at once and with the reason', async () => {
  const { controller, signal } = countingSignal()
  const reason = new Error('enough')
  const ended = pause(60_000, signal).catch((error: unknown) => error)
  controller.abort(reason)
  expect(await Promise.race([ended, Bun.sleep(1000)])).toBe(reason)
  const begunLate = pause(60_000, signal).catch((error: unknown) => error)
  expect(await Promise.race([begunLate, Bun.sleep(1000)])).toBe(reason)
})

test('a pause leaves no listener behind', async () => {
  const { signal, listeners } = countingSignal()
  const pausing = pause(1, signal)
  expect(listeners()).toBe(1)
  await pausing
  expect(listeners()).toBe(0)
})
