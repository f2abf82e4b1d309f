import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { getBodyRewriter } from './get-bodies.ts'

const paths = new Set(['/get-value', '/dialects/tenantbase/get-value'])

/** What the server sees of a connection's bytes, sent in parts of these sizes. */
function seen(sent: string, sizes: readonly number[] = [sent.length]): string {
  const rewrite = getBodyRewriter(paths)
  let left = Buffer.from(sent, 'latin1')
  let out = ''
  for (let i = 0; left.length > 0; i++) {
    const size = Math.max(1, sizes[i % sizes.length]!)
    out += Buffer.concat(rewrite(left.subarray(0, size))).toString('latin1')
    left = left.subarray(size)
  }
  return out
}

const asked = 'GET /get-value HTTP/1.1\r\nHost: h\r\nContent-Length: 14\r\n\r\n{"key":"code"}'
const asPost = asked.replace('GET', 'POST')
const chunked =
  'GET /dialects/tenantbase/get-value?x=1 HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5;a="b"\r\nGET /\r\nA\r\nget-value \r\n0\r\nT: GET /get-value\r\n\r\n'
const plain = 'GET /get-value?key=code HTTP/1.1\r\nHost: h\r\n\r\n'
const confusing = 'GET /get-value HTTP/1.1\r\ncontent-length: 3\r\n\r\n'
const stored = `POST /set-value HTTP/1.1\r\nContent-Length: ${confusing.length}\r\n\r\n${confusing}`

const cases: [what: string, sent: string, seen: string][] = [
  ['a GET with a body is a POST', asked, asPost],
  ['so is a chunked one, and no byte of its body is looked at', chunked, chunked.replace('GET', 'POST')],
  ['one without a body is a GET', plain, plain],
  [
    'one with an empty body too',
    asked.replace('14\r\n\r\n{"key":"code"}', '0\r\n\r\n'),
    asked.replace('14\r\n\r\n{"key":"code"}', '0\r\n\r\n'),
  ],
  [
    'other paths are not touched',
    asked.replaceAll('get-value', 'get-values'),
    asked.replaceAll('get-value', 'get-values'),
  ],
  ['nor other methods', asked.replace('GET', 'PUT'), asked.replace('GET', 'PUT')],
  ['nor what looks like one within a body', stored, stored],
  [
    'requests on one connection are told apart',
    stored + asked + plain + chunked + asked,
    stored + asPost + plain + chunked.replace('GET', 'POST') + asPost,
  ],
]

test.each(cases)('%s', (_what, sent, expected) => {
  expect(seen(sent)).toBe(expected)
})

test('however the bytes come', () => {
  const sent = stored + asked + plain + chunked + asked
  const expected = stored + asPost + plain + chunked.replace('GET', 'POST') + asPost
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (sizes) => {
      expect(seen(sent, sizes)).toBe(expected)
    }),
  )
})

const odd: [what: string, head: string][] = [
  ['two lengths', 'GET /get-value HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc'],
  [
    'both kinds of length',
    'GET /get-value HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc',
  ],
  ['another coding', 'POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\nabc'],
  ['a length that is none', 'POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc'],
  ['a folded line', 'POST / HTTP/1.1\r\nA: b\r\n c: d\r\n\r\n'],
  ['a space before the colon', 'POST / HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc'],
  ['bare line feeds', 'GET /get-value HTTP/1.1\nContent-Length: 3\n\nabc'],
  ['another protocol', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['an upgrade', 'GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n'],
  ['a chunk without a size', 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n'],
  ['a head without end', `GET /get-value HTTP/1.1\r\n${'A: b\r\n'.repeat(4000)}`],
]

test.each(odd)('after %s everything passes as it is', (_what, head) => {
  expect(seen(head + asked)).toBe(head + asked)
  expect(seen(head + asked, [7])).toBe(head + asked)
})

test('any bytes come out as many as they went in, but for the longer method', () => {
  const token = fc.constantFrom(
    asked,
    plain,
    'GET ',
    '\r\n',
    '\n',
    'Content-Length: 5',
    '0',
    'x',
    ' ',
    'HTTP/1.1',
  )
  fc.assert(
    fc.property(
      fc.array(token),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      (tokens, sizes) => {
        const sent = `${tokens.join('')}\r\n\r\n`
        expect(seen(sent, sizes).replaceAll('POST /get-value HTTP', 'GET /get-value HTTP')).toBe(
          seen(sent).replaceAll('POST /get-value HTTP', 'GET /get-value HTTP'),
        )
        expect(sent).toStartWith(seen(sent).replaceAll('POST /get-value HTTP', 'GET /get-value HTTP'))
      },
    ),
  )
})
