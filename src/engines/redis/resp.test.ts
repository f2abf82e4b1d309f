import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { ErrorReply, ProtocolError, type Reply, ReplyParser } from './resp.ts'

interface Parsed {
  readonly replies: Reply[]
  readonly pushed: (readonly Reply[])[]
}

function parse(...parts: readonly (string | Buffer)[]): Parsed {
  const parsed: Parsed = { replies: [], pushed: [] }
  const parser = new ReplyParser(
    (reply) => parsed.replies.push(reply),
    (message) => parsed.pushed.push(message),
  )
  for (const part of parts) parser.parse(Buffer.from(part))
  return parsed
}

const cases: readonly [name: string, sent: string, reply: Reply][] = [
  ['a simple string', '+OK\r\n', 'OK'],
  ['an error', '-ERR wröng\r\n', new ErrorReply('ERR wröng')],
  ['an integer', ':-1234\r\n', -1234],
  ['an integer with a sign', ':+7\r\n', 7],
  ['the largest exact integer', ':9007199254740991\r\n', Number.MAX_SAFE_INTEGER],
  ['an integer beyond it', ':-9223372036854775808\r\n', '-9223372036854775808'],
  ['a bulk string', '$5\r\na\r\nb\0\r\n', Buffer.from('a\r\nb\0')],
  ['an empty bulk string', '$0\r\n\r\n', Buffer.alloc(0)],
  ['null of RESP2, a string', '$-1\r\n', null],
  ['null of RESP2, an array', '*-1\r\n', null],
  ['null', '_\r\n', null],
  ['true', '#t\r\n', 1],
  ['false', '#f\r\n', 0],
  ['a double', ',-1.5e3\r\n', -1500],
  ['infinity', ',inf\r\n', 'inf'],
  ['a big number', '(12345678901234567890\r\n', '12345678901234567890'],
  ['a bulk error', '!7\r\nSYNTAX \r\n', new ErrorReply('SYNTAX ')],
  ['a verbatim string', '=8\r\ntxt:a\r\nb\r\n', Buffer.from('a\r\nb')],
  ['an empty array', '*0\r\n', []],
  ['an array', '*3\r\n:1\r\n*2\r\n+a\r\n$-1\r\n-E\r\n', [1, ['a', null], new ErrorReply('E')]],
  ['a map', '%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n', ['a', 1, 'b', []]],
  ['a set', '~2\r\n:1\r\n:2\r\n', [1, 2]],
  ['a value with attributes', '|1\r\n+ttl\r\n:3\r\n*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n', [1, 2]],
]

test.each(cases)('%s is parsed, however it is cut', (_name, sent, reply) => {
  const bytes = Buffer.from(sent)
  const twice = Buffer.concat([bytes, bytes])
  expect(parse(twice).replies).toEqual([reply, reply])
  expect(parse(...[...twice].map((byte) => Buffer.of(byte))).replies).toEqual([reply, reply])
  for (let cut = 1; cut < bytes.length; cut++) {
    expect(parse(bytes.subarray(0, cut), bytes.subarray(cut)).replies).toEqual([reply])
  }
})

test('a message is kept apart from replies', () => {
  const { replies, pushed } = parse(':1\r\n>2\r\n+smessage\r\n$1\r\nx\r\n:2\r\n')
  expect(replies).toEqual([1, 2])
  expect(pushed).toEqual([['smessage', Buffer.from('x')]])
})

const bad: readonly [name: string, sent: string][] = [
  ['another protocol', 'HTTP/1.1 400 Bad Request\r\n'],
  ['a line that ends in a newline alone', '+OK\n'],
  ['a length that is no number', '$x\r\n'],
  ['an empty length', '$\r\n'],
  ['a length below -1', '$-2\r\n'],
  ['a length beyond the limit', '$999999999999\r\n'],
  ['more elements than the limit', '*999999999\r\n'],
  ['a string longer than its length', '$1\r\nab\r\n'],
  ['an array too deep', '*1\r\n'.repeat(20)],
  ['a line that never ends', `+${'x'.repeat(70_000)}`],
  ['an integer with other characters', ':1a\r\n'],
  ['a streamed string, which no server sends', '$?\r\n'],
]

test.each(bad)('%s is refused', (_name, sent) => {
  expect(() => parse(sent)).toThrow(ProtocolError)
  expect(() => parse(...[...sent].slice(0, 70_000))).toThrow(ProtocolError)
})

const leaf = fc.oneof(
  fc.constant(null),
  fc.maxSafeInteger(),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc.stringMatching(/^[A-Z]{1,9} [a-z ]{0,20}$/).map((text) => new ErrorReply(text)),
)
const { reply } = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof({ depthSize: 'small' }, leaf, fc.array(tie('reply'), { maxLength: 5 })),
}))

function encode(value: Reply): Buffer {
  if (value === null) return Buffer.from('_\r\n')
  if (typeof value === 'number') return Buffer.from(`:${value}\r\n`)
  if (value instanceof ErrorReply) return Buffer.from(`-${value.text}\r\n`)
  if (typeof value === 'string') return Buffer.from(`+${value}\r\n`)
  if (Buffer.isBuffer(value))
    return Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n')])
  return Buffer.concat([Buffer.from(`*${value.length}\r\n`), ...value.map(encode)])
}

test('any replies are parsed as they were, cut anywhere', () => {
  fc.assert(
    fc.property(fc.array(reply, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 12 }), (all, cuts) => {
      const bytes = Buffer.concat(all.map(encode))
      const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
      const parts = [...ends, bytes.length].map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
      expect(parse(...parts).replies).toEqual(all)
    }),
  )
})

test('a large string in many parts is copied once', () => {
  const size = 32 * 1024 * 1024
  const part = Buffer.alloc(16 * 1024, 'x')
  const replies: Reply[] = []
  const parser = new ReplyParser(
    (one) => replies.push(one),
    () => {},
  )
  parser.parse(Buffer.from(`$${size}\r\n`))
  for (let sent = 0; sent < size; sent += part.length) parser.parse(part)
  parser.parse(Buffer.from('\r\n'))
  expect((replies[0] as Buffer).length).toBe(size)
  // Copied again with each part, it would be 32 GiB.
  expect((replies[0] as Buffer).indexOf('y')).toBe(-1)
})
