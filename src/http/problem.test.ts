import { expect, test } from 'bun:test'
import { type ErrorCode, KvistError } from '../core/errors.ts'
import { problemResponse } from './problem.ts'

test.each<[code: ErrorCode, status: number, retryAfter: string | undefined]>([
  ['unavailable', 503, '1'],
  ['busy', 503, '1'],
  ['storage_full', 507, '10'],
  // Who repeats it at once may undo what others have written since.
  ['outcome_unknown', 504, undefined],
  ['conflict', 409, undefined],
])('%s has status %d, and asks for another try after %s seconds', (code, status, retryAfter) => {
  const responded = problemResponse(new KvistError(code, 'why'))
  const asked = /^Retry-After: (.*)\r$/m.exec(responded.headerBlock)?.[1]
  expect([responded.status, asked]).toEqual([status, retryAfter])
  expect(JSON.parse(String(responded.body))).toMatchObject({ status, code, detail: 'why' })
})
