import { describe, expect, test } from 'bun:test'
import { random, seedOfRun } from '../test/support/random.ts'
import { eventParser, type ServerEvent } from './events.ts'

/** The parser of server-sent events, held to the standard, with its bytes cut anywhere. */

interface Case {
  readonly name: string
  readonly stream: string
  /** Type, data and last id of each event. */
  readonly events: readonly (readonly [type: string, data: string, lastId: string | null])[]
  readonly lastId?: string | null
  readonly retryMs?: number
}

const cases: readonly Case[] = [
  { name: 'nothing', stream: '', events: [] },
  { name: 'an event', stream: 'event: put\nid: 7\ndata: {"a":1}\n\n', events: [['put', '{"a":1}', '7']] },
  { name: 'an event without a type', stream: 'data: x\n\n', events: [['message', 'x', null]] },
  { name: 'an empty type', stream: 'event:\ndata: x\n\n', events: [['message', 'x', null]] },
  {
    name: 'lines that end with CR',
    stream: 'data: a\r\rdata: b\r\r',
    events: [
      ['message', 'a', null],
      ['message', 'b', null],
    ],
  },
  {
    name: 'lines that end with CRLF',
    stream: 'data: a\r\ndata: b\r\n\r\n',
    events: [['message', 'a\nb', null]],
  },
  {
    name: 'line ends of all kinds',
    stream: 'data: a\rdata: b\ndata: c\r\n\ndata: d\r\n\r',
    events: [
      ['message', 'a\nb\nc', null],
      ['message', 'd', null],
    ],
  },
  {
    name: 'LF and CR are two lines',
    stream: 'data: a\n\rdata: b\n\r',
    events: [
      ['message', 'a', null],
      ['message', 'b', null],
    ],
  },
  { name: 'a byte order mark', stream: '\ufeffdata: x\n\n', events: [['message', 'x', null]] },
  {
    name: 'a byte order mark further on',
    stream: 'data: \ufeffx\n\n\ufeffdata: y\n\n',
    events: [['message', '\ufeffx', null]],
  },
  { name: 'comments', stream: ': hello\ndata: x\n:\n:data: y\n\n', events: [['message', 'x', null]] },
  {
    name: 'one space after the colon',
    stream: 'data:x\n\ndata:  x\n\ndata:\tx\n\n',
    events: [
      ['message', 'x', null],
      ['message', ' x', null],
      ['message', '\tx', null],
    ],
  },
  { name: 'colons in a value', stream: 'data: a: b:c\n\n', events: [['message', 'a: b:c', null]] },
  {
    name: 'data of many lines, some empty',
    stream: 'data: a\ndata:\ndata\ndata: b\n\n',
    events: [['message', 'a\n\n\nb', null]],
  },
  {
    name: 'empty data',
    stream: 'data\n\ndata:\n\n',
    events: [
      ['message', '', null],
      ['message', '', null],
    ],
  },
  {
    name: 'a type without data is no event, and is forgotten',
    stream: 'event: put\n\ndata: x\n\n',
    events: [['message', 'x', null]],
  },
  { name: 'an id without data counts', stream: 'id: 5\n\ndata: x\n\n', events: [['message', 'x', '5']] },
  {
    name: 'an id counts from its empty line on',
    stream: ': watching\nid: 5\n\nid: 6\n',
    events: [],
    lastId: '5',
  },
  {
    name: 'an id stays until there is another',
    stream: 'id: 5\ndata: a\n\ndata: b\n\nid: x y\ndata: c\n\n',
    events: [
      ['message', 'a', '5'],
      ['message', 'b', '5'],
      ['message', 'c', 'x y'],
    ],
  },
  { name: 'an empty id', stream: 'id: 5\n\nid\ndata: a\n\n', events: [['message', 'a', '']] },
  {
    name: 'an id with NUL is none',
    stream: 'id: 5\n\nid: 6\0\ndata: a\n\n',
    events: [['message', 'a', '5']],
  },
  {
    name: 'of several ids and types the last counts',
    stream: 'id: 1\nid: 2\nevent: a\nevent: b\ndata: x\n\n',
    events: [['b', 'x', '2']],
  },
  {
    name: 'unknown fields',
    stream: 'Data: x\n data: x\ndata : x\nfoo\nfoo: bar\ndata: y\n\n',
    events: [['message', 'y', null]],
  },
  { name: 'retry', stream: 'retry: 1500\n', events: [], retryMs: 1500 },
  {
    name: 'a retry that is no number',
    stream: 'retry: 10\nretry: 1.5\nretry: -1\nretry:\nretry: 5s\n',
    events: [],
    retryMs: 10,
  },
  {
    name: 'what is cut off by the end is no event',
    stream: 'data: a\n\ndata: b\nid: 9\n',
    events: [['message', 'a', null]],
    lastId: null,
  },
  {
    name: 'characters of several bytes',
    stream: 'event: é\nid: 日\ndata: 🌿\u2028\u0085\n\n',
    events: [['é', '🌿\u2028\u0085', '日']],
  },
]

function parse(parts: readonly Uint8Array[]) {
  const parser = eventParser()
  const events: ServerEvent[] = parts.flatMap((part) => parser.push(part))
  return { events, lastId: parser.lastId(), retryMs: parser.retryMs() }
}

function expectedOf({ events, lastId, retryMs }: Case) {
  return {
    events: events.map(([type, data, lastId]) => ({ type, data, lastId })),
    lastId: lastId === undefined ? (events.at(-1)?.[2] ?? null) : lastId,
    retryMs: retryMs ?? null,
  }
}

const encoder = new TextEncoder()

describe.each([...cases])('$name', (one) => {
  const bytes = encoder.encode(one.stream)

  test('whole, and byte by byte', () => {
    expect(parse([bytes])).toEqual(expectedOf(one))
    expect(parse(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(expectedOf(one))
  })

  test('cut in two, and in three, everywhere', () => {
    for (let first = 0; first <= bytes.length; first++) {
      for (let second = first; second <= bytes.length; second++) {
        const parts = [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)]
        expect({ first, second, ...parse(parts) }).toEqual({ first, second, ...expectedOf(one) })
      }
    }
  })
})

/** Pieces that are put together at random: fields, line ends, and what parsers stumble over. */
const pieces = [
  'data',
  'id',
  'event',
  'retry',
  ':',
  ' ',
  '\n',
  '\n\n',
  '\r',
  '\r\n',
  '\0',
  '\ufeff',
  '7',
  'x',
  '🌿',
  'é',
  'data: a\n',
  'id: 3\r',
]

/** As the standard writes it down: the whole text, then its lines, then their fields. */
function parseWhole(bytes: Uint8Array) {
  const lines = new TextDecoder()
    .decode(bytes)
    .split(/\r\n|\r|\n/)
    .slice(0, -1)
  const events: ServerEvent[] = []
  let data = ''
  let type = ''
  let id: string | null = null
  let lastId: string | null = null
  let retryMs: number | null = null
  for (const line of lines) {
    if (line === '') {
      lastId = id
      if (data !== '') events.push({ type: type === '' ? 'message' : type, data: data.slice(0, -1), lastId })
      data = ''
      type = ''
      continue
    }
    const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/su.exec(line) ?? []
    if (name === 'event') type = value
    if (name === 'data') data += `${value}\n`
    if (name === 'id' && !value.includes('\0')) id = value
    if (name === 'retry' && /^\d+$/.test(value)) retryMs = Number(value)
  }
  return { events, lastId, retryMs }
}

test('random streams, cut at random, give what the standard says', () => {
  const { int, pick } = random(seedOfRun())
  let seen = 0
  for (let round = 0; round < 20_000; round++) {
    const bytes = encoder.encode(Array.from({ length: int(30) }, () => pick(pieces)).join(''))
    const parts: Uint8Array[] = []
    for (let at = 0; at < bytes.length; ) {
      const end = at + 1 + int(6)
      parts.push(bytes.subarray(at, end))
      at = end
    }
    const expected = parseWhole(bytes)
    seen += expected.events.length
    expect({ bytes, ...parse(parts) }).toEqual({ bytes, ...expected })
  }
  expect(seen).toBeGreaterThan(1000)
})

test('a line of 32 MiB that comes in small pieces is read in one pass', () => {
  const parser = eventParser()
  const piece = encoder.encode('x'.repeat(16 * 1024))
  parser.push(encoder.encode('data: '))
  for (let i = 0; i < 2048; i++) expect(parser.push(piece)).toEqual([])
  expect(parser.push(encoder.encode('\n\n'))[0]?.data.length).toBe(32 * 1024 * 1024)
})
