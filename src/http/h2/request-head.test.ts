import { expect, test } from 'bun:test'
import { requestHead } from './request-head.ts'

const pseudo = [':method', 'GET', ':scheme', 'https', ':path', '/v1/c?x=1', ':authority', 'db:443']
const start = 'GET /v1/c?x=1 HTTP/1.1\r\nHost: db:443\r\n'

test('a request is written as HTTP/1.1 has it', () => {
  expect(requestHead(pseudo, false)).toEqual({ method: 'GET', text: `${start}\r\n`, bodyBytes: null })
  const fields = ['accept', 'a/b', 'x-tab', 'a\tb', 'authorization', 'Bearer 1', 'authorization', 'Bearer 2']
  expect(requestHead([...pseudo, ...fields, 'te', 'trailers'], false)?.text).toBe(
    `${start}accept: a/b\r\nx-tab: a\tb\r\nauthorization: Bearer 1\r\nauthorization: Bearer 2\r\n\r\n`,
  )
  expect(requestHead([...pseudo.slice(0, 6), 'host', 'db:443'], false)?.text).toBe(`${start}\r\n`)
  expect(requestHead([...pseudo, 'host', 'DB:443'], false)?.text).toBe(`${start}\r\n`)
})

test('a body has its declared length, or comes in chunks', () => {
  expect(requestHead([...pseudo, 'content-length', '5'], true)).toMatchObject({
    text: `${start}content-length: 5\r\n\r\n`,
    bodyBytes: 5,
  })
  expect(requestHead(pseudo, true)).toMatchObject({
    text: `${start}Transfer-Encoding: chunked\r\n\r\n`,
    bodyBytes: null,
  })
})

const malformed: [why: string, fields: readonly string[], hasBody?: boolean][] = [
  ['a line break in a value', [...pseudo, 'x', 'a\r\nHost: evil']],
  ['a line break in a name', [...pseudo, 'x\r\ny', 'a']],
  ['a control character', [...pseudo, 'x', 'a\0b']],
  ['what would be a line break as one byte', [...pseudo, 'x', 'a\u010d\u010aHost: evil']],
  [
    'what would be a line break as one byte, in the path',
    [...pseudo.slice(0, 4), ':path', '/\u010a', ':authority', 'db'],
  ],
  ['a line break in the path', [...pseudo.slice(0, 4), ':path', '/a HTTP/1.1\r\nX: y', ':authority', 'db']],
  ['a space in the path', [...pseudo.slice(0, 4), ':path', '/a b', ':authority', 'db']],
  ['a space in the method', [':method', 'GET /x', ...pseudo.slice(2)]],
  ['a path that is none', [...pseudo.slice(0, 4), ':path', 'https://db/', ':authority', 'db']],
  ['no path', [...pseudo.slice(0, 4), ':authority', 'db']],
  ['no method', pseudo.slice(2)],
  ['no scheme', [':method', 'GET', ...pseudo.slice(4)]],
  ['no authority and no host', pseudo.slice(0, 6)],
  ['another host than its authority', [...pseudo, 'host', 'evil']],
  ['two hosts', [...pseudo.slice(0, 6), 'host', 'db:443', 'host', 'db:443']],
  ['two paths', [...pseudo, ':path', '/other']],
  ['a pseudo field that does not exist', [...pseudo, ':protocol', 'websocket']],
  ['a pseudo field behind others', [...pseudo.slice(0, 6), 'x', 'y', ':authority', 'db']],
  ['a capital letter in a name', [...pseudo, 'X-A', 'y']],
  ['Connection', [...pseudo, 'connection', 'close']],
  ['Transfer-Encoding', [...pseudo, 'transfer-encoding', 'chunked'], true],
  ['Upgrade', [...pseudo, 'upgrade', 'h2c']],
  ['TE with codings', [...pseudo, 'te', 'gzip']],
  ['two lengths', [...pseudo, 'content-length', '1', 'content-length', '1'], true],
  ['a length that is none', [...pseudo, 'content-length', '-1'], true],
  ['a length without a body', [...pseudo, 'content-length', '1'], false],
]

test.each(malformed)('%s is refused', (_why, fields, hasBody = false) => {
  expect(requestHead(fields, hasBody)).toBeNull()
})
