import { expect, test } from 'bun:test'
import { ResponseParser } from './response-parser.ts'

/** What a response is taken for, in pieces of so many bytes. */
function parsed(text: string, pieceBytes: number, method = 'GET') {
  const seen: unknown[] = []
  const body: Buffer[] = []
  const parser = new ResponseParser(method, {
    onHead: (status, fields, hasBody) => seen.push(status, fields, hasBody),
    onInterim: (status) => seen.push(`interim ${status}`),
    onBody: (part) => body.push(part),
    onEnd: () => seen.push(Buffer.concat(body).toString()),
  })
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += pieceBytes) parser.push(bytes.subarray(at, at + pieceBytes))
  return seen
}

const responses: [text: string, method: string, seen: unknown[]][] = [
  [
    'HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhéll',
    'GET',
    [200, { a: 'b', 'content-length': '5' }, true, 'héll'],
  ],
  [
    'HTTP/1.1 200 OK\r\nLink: 1\r\nLink: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\r\nc\r\n11\r\n0123456789abcdef\n\r\n0\r\n\r\n',
    'GET',
    [200, { link: ['1', '2'] }, true, 'ab\r\nc0123456789abcdef\n'],
  ],
  ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 'GET', [200, { 'content-length': '0' }, false, '']],
  ['HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n', 'HEAD', [200, { 'content-length': '7' }, false, '']],
  ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 'HEAD', [200, {}, false, '']],
  ['HTTP/1.1 204 No Content\r\n\r\n', 'DELETE', [204, {}, false, '']],
  ['HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n', 'GET', [304, { etag: '"1"' }, false, '']],
  [
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
    'PUT',
    ['interim 100', 204, {}, false, ''],
  ],
]

test.each(responses)('%j is understood, in pieces of any size', (text, method, seen) => {
  for (const pieceBytes of [1, 2, 3, 7, 1000]) expect(parsed(text, pieceBytes, method)).toEqual(seen)
})
