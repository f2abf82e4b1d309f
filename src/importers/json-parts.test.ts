import { expect, test } from 'bun:test'
import { type JsonPart, JsonSplitter } from './json-parts.ts'
import { SeenKeys } from './seen-keys.ts'

function split(text: string, blockBytes: number, maxBytes = 1000): JsonPart[] {
  const splitter = new JsonSplitter('it', maxBytes)
  const bytes = Buffer.from(text)
  const parts: JsonPart[] = []
  for (let at = 0; at < bytes.length; at += blockBytes)
    parts.push(...splitter.push(bytes.subarray(at, at + blockBytes)))
  splitter.end()
  return parts
}

test('parts are the same whatever the blocks are in which their bytes come', () => {
  const text = ' { "a\\"}": [1, "]"] ,"ü": {"x": "\\\\"} , "n":-1.0,"s":"{\\"", "":null }\n'
  const whole = split(text, 1000)
  expect(whole).toEqual([
    { name: 'a"}', text: '[1, "]"]' },
    { name: 'ü', text: '{"x": "\\\\"}' },
    { name: 'n', text: '-1.0' },
    { name: 's', text: '"{\\""' },
    { name: '', text: 'null' },
  ])
  for (const blockBytes of [1, 2, 3, 5, 7]) expect(split(text, blockBytes)).toEqual(whole)
})

test('a part of too many bytes is discarded, and the next ones are not', () => {
  expect(split(`[1,"${'x'.repeat(100)}",2]`, 9, 50).map(({ text }) => text)).toEqual(['1', null, '2'])
})

test.each(['[1', '[1,', '{"a"', '{"a":1', '["a', '', '[1,]', '{,}', '[,1]', '{"a" 1}', '[1]]', '{1:2}'])(
  '%j is no whole array or object',
  (text) => {
    for (const blockBytes of [1, 100]) expect(() => split(text, blockBytes)).toThrow(/^it /)
  },
)

test('empty ones have no parts', () => {
  expect([split(' [ ] ', 1), split('{\n}', 1), split('\ufeff[]', 1)]).toEqual([[], [], []])
})

test('keys that come again are noticed, up to a number of keys', () => {
  const seen = new SeenKeys(5000)
  const keys = Array.from({ length: 6000 }, (_, i) => `key ${i}`)
  expect(keys.filter((key) => seen.has(key))).toEqual([])
  expect(keys.filter((key) => seen.has(key)).length).toBe(5000)
})
