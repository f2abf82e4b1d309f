import { expect, test } from 'bun:test'
import { faultOf } from '../../test/support/engine.ts'
import { maxValueBytes } from './limits.ts'
import { type Patch, parsePatchOperations, patched } from './patch.ts'

const merge = (text: string): Patch => ({ kind: 'merge', text })
const increment = (path: string, by = 1): Patch => ({ kind: 'increment', path, by })
const operations = (text: string): Patch => ({ kind: 'operations', operations: parsePatchOperations(text) })

const current = { value: '{"n": 1.0}', contentType: 'application/ld+json', flags: 7, expiresAtMs: 9 }
const fault = (before: Parameters<typeof patched>[0], patch: Patch) =>
  faultOf(Promise.try(() => patched(before, patch)))

test('all but the value stays what it was', () => {
  for (const patch of [
    merge('{"n":2}'),
    increment('/n'),
    operations('[{"op":"replace","path":"/n","value":2}]'),
  ]) {
    const { value, ...rest } = patched(current, patch)
    expect(JSON.parse(String(value))).toEqual({ n: 2 })
    expect(rest).toEqual({ contentType: 'application/ld+json', flags: 7, expiresAtMs: 9 })
  }
})

test('merge patches and increments begin with nothing, a JSON patch needs a member', async () => {
  const made = { contentType: 'application/json', flags: 0, expiresAtMs: null }
  expect(patched(null, merge('{"a":null,"b":1}'))).toEqual({ value: '{"b":1}', ...made })
  expect(patched(null, increment('', 2.5))).toEqual({ value: '2.5', ...made })
  expect(patched(null, increment('/n', 2))).toEqual({ value: '{"n":2}', ...made })
  expect((await fault(null, operations('[{"op":"add","path":"","value":1}]'))).code).toBe('not_found')
})

test('bytes are not patched, not even as a whole', async () => {
  const bytes = { ...current, value: new Uint8Array([0x31]), contentType: 'text/plain' }
  for (const patch of [merge('1'), increment(''), operations('[]')])
    expect((await fault(bytes, patch)).code).toBe('unprocessable')
})

test('the result is bounded by its bytes', async () => {
  const short = { ...current, value: `{"a":"${'é'.repeat(maxValueBytes / 2 - 10)}"}` }
  expect(patched(short, merge('{"b":1}')).value.length).toBeLessThan(maxValueBytes / 2 + 10)
  const patches = [
    merge('{"b":"ééééééééééé"}'),
    operations('[{"op":"add","path":"/b","value":"ééééééééééé"}]'),
    increment(`/${'b'.repeat(30)}`),
  ]
  for (const patch of patches) {
    const { code, extra } = await fault(short, patch)
    expect([code, extra.limit_bytes]).toEqual(['too_large', maxValueBytes])
  }
})
