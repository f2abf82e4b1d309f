import { expect, test } from 'bun:test'
import { fileNameOf, kindOf, lineBreakOf, textOf, titleOf } from './value-kinds.ts'

test('the content type says what a value is, and its bytes whether that can be', () => {
  const cases = [
    ['application/json', '{}', 'json'],
    ['application/vnd.api+json; charset=utf-8', '{}', 'json'],
    ['application/json', null, 'binary'],
    ['text/plain', 'a', 'text'],
    ['text/html', '<b>', 'text'],
    ['text/plain', null, 'binary'],
    ['application/octet-stream', 'readable\n', 'text'],
    ['application/octet-stream', 'a\0b', 'binary'],
    ['application/x-own', 'text', 'text'],
    ['IMAGE/PNG', null, 'image'],
    ['image/svg+xml', '<svg/>', 'image'],
    ['image/tiff', null, 'binary'],
  ] as const
  for (const [type, text, kind] of cases) expect([type, text, kindOf(type, text)]).toEqual([type, text, kind])
})

test('a text has the bytes that it came from', () => {
  for (const text of ['\ufeffa', 'å\r\n', '😀', '']) {
    expect(textOf(new TextEncoder().encode(text))).toBe(text)
  }
  expect(textOf(new Uint8Array([0xff]))).toBeNull()
  expect(textOf(new Uint8Array([0xc3]))).toBeNull()
})

test('line breaks are known, also where they are mixed', () => {
  expect(['', 'a\nb', 'a\r\nb\r\n', 'a\r\nb\n', '\na\r\n', 'a\rb', '\r\n\n'].map(lineBreakOf)).toEqual([
    '\n',
    '\n',
    '\r\n',
    'mixed',
    'mixed',
    'mixed',
    'mixed',
  ])
})

test('files have safe names and an ending', () => {
  const names = (['a/b', '../..', 'x.md', 'a:b*', ''] as const).map((key) => fileNameOf(key, 'text/plain'))
  expect(names).toEqual(['b.txt', 'value.txt', 'x.md', 'a_b_.txt', 'value.txt'])
  expect(fileNameOf('n', 'application/problem+json')).toBe('n.json')
  expect(fileNameOf('n', 'application/x-own')).toBe('n')
  expect(titleOf('text/plain;charset=x')).toBe('Text')
})
