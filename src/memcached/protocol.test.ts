import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { ToyServer } from '../../test/support/memcached/toy-server.ts'
import { seedOfRun } from '../../test/support/random.ts'
import type { Command } from './command.ts'
import { CommandParser, maxGetLineBytes, maxLineBytes } from './protocol.ts'
import recorded from './recorded.json'

const maxValueBytes = 1000
const seed = seedOfRun()

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

function take(parser: CommandParser): Command[] {
  const commands: Command[] = []
  for (let command = parser.next(); command !== null; command = parser.next()) commands.push(command)
  return commands
}

function parse(...pieces: Uint8Array[]): Command[] {
  const parser = new CommandParser(maxValueBytes)
  return pieces.flatMap((piece) => {
    parser.push(piece)
    return take(parser)
  })
}

function refused(response: string, rest: Partial<Extract<Command, { kind: 'refused' }>> = {}): Command {
  return { kind: 'refused', response, silent: false, closes: false, drops: null, ...rest }
}

const noFlags = { base64Key: null, returns: '', opaque: null, quiet: false }
const value = (text: string): Uint8Array => new Uint8Array(latin1(text))

describe('requests to commands', () => {
  const table: [request: string, ...commands: Command[]][] = [
    ['get a\r\n', { kind: 'get', keys: ['a'], withCas: false, touch: null }],
    ['get a\n', { kind: 'get', keys: ['a'], withCas: false, touch: null }],
    ['  gets  a b  a \r\n', { kind: 'get', keys: ['a', 'b', 'a'], withCas: true, touch: null }],
    ['gat 60 a b\r\n', { kind: 'get', keys: ['a', 'b'], withCas: false, touch: 60 }],
    ['gats -1 a\r\n', { kind: 'get', keys: ['a'], withCas: true, touch: -1 }],
    ['get \xc3\xa9/\xe2\x82\xac\r\n', { kind: 'get', keys: ['é/€'], withCas: false, touch: null }],
    ['get \xef\xbb\xbfa\r\n', { kind: 'get', keys: ['\ufeffa'], withCas: false, touch: null }],
    ['get \xe9\r\n', refused('CLIENT_ERROR bad command line format')],
    [`get ${'k'.repeat(251)}\r\n`, refused('CLIENT_ERROR bad command line format')],
    [
      'set a 4294967295 -5 3\r\na\r\n\r\n',
      {
        kind: 'store',
        mode: 'set',
        key: 'a',
        flags: 4294967295,
        exptime: -5,
        casUnique: null,
        noreply: false,
        value: value('a\r\n'),
      },
    ],
    [
      'cas a 1 2 0 9007199254740991 noreply\r\n\r\n',
      {
        kind: 'store',
        mode: 'cas',
        key: 'a',
        flags: 1,
        exptime: 2,
        casUnique: Number.MAX_SAFE_INTEGER,
        noreply: true,
        value: value(''),
      },
    ],
    [
      'cas a 0 0 1 18446744073709551615\r\na\r\n',
      {
        kind: 'store',
        mode: 'cas',
        key: 'a',
        flags: 0,
        exptime: 0,
        casUnique: -1,
        noreply: false,
        value: value('a'),
      },
    ],
    ['set a 0 0 1\r\nab\r\n', refused('CLIENT_ERROR bad data chunk'), refused('ERROR')],
    ['set a 0 0 1 noreply\r\nab\r', refused('CLIENT_ERROR bad data chunk', { silent: true })],
    [
      'set a 0 x 9\r\nflush_all\r\nmn\r\n',
      refused('CLIENT_ERROR bad command line format'),
      { kind: 'metaNoop' },
    ],
    [
      `set a 0 0 1001\r\n${'x'.repeat(1001)}\r\nmn\r\n`,
      refused('SERVER_ERROR object too large for cache', { drops: 'a' }),
      { kind: 'metaNoop' },
    ],
    [
      `add a 0 0 1001 noreply\r\n${'x'.repeat(1001)}\r\nmn\r\n`,
      refused('SERVER_ERROR object too large for cache', { silent: true }),
      { kind: 'metaNoop' },
    ],
    [
      `ms YQ== 1001 b q\r\n${'x'.repeat(1001)}\r\nmn\r\n`,
      refused('SERVER_ERROR object too large for cache', { drops: 'a' }),
      { kind: 'metaNoop' },
    ],
    ['delete a noreply\r\n', { kind: 'delete', key: 'a', noreply: true }],
    [
      'incr a 18446744073709551615\r\n',
      { kind: 'count', key: 'a', up: true, delta: 2n ** 64n - 1n, noreply: false },
    ],
    ['decr a 1 noreply\r\n', { kind: 'count', key: 'a', up: false, delta: 1n, noreply: true }],
    ['touch a 2592001\r\n', { kind: 'touch', key: 'a', exptime: 2592001, noreply: false }],
    ['flush_all\r\n', { kind: 'flushAll', delay: 0, noreply: false }],
    ['flush_all 10 noreply\r\n', { kind: 'flushAll', delay: 10, noreply: true }],
    ['verbosity 1\r\n', { kind: 'verbosity', noreply: false }],
    ['version\r\n', { kind: 'version' }],
    ['stats\r\n', { kind: 'stats', args: [] }],
    ['stats cachedump 1 0\r\n', { kind: 'stats', args: ['cachedump', '1', '0'] }],
    ['quit\r\nget a\r\n', { kind: 'quit' }],
    ['POST /v1 HTTP/1.1\r\nget a\r\n', { kind: 'quit' }],
    [
      'mg a v s k t O1 q T30 N60 R90\r\n',
      {
        ...noFlags,
        kind: 'metaGet',
        key: 'a',
        returns: 'sktOTNR',
        opaque: '1',
        quiet: true,
        returnsValue: true,
        recordsAccess: true,
        touch: 30,
        vivify: 60,
        recache: 90,
      },
    ],
    [
      'ms w6k= 1 b k F7 T60 C5 I MR\r\nx\r\n',
      {
        ...noFlags,
        kind: 'metaStore',
        mode: 'cas',
        key: 'é',
        base64Key: 'w6k=',
        returns: 'kT',
        flags: 7,
        exptime: 60,
        casUnique: 5,
        invalidate: true,
        vivify: null,
        value: value('x'),
      },
    ],
    [
      'ms a 1 MA N60 C0 I s\r\nx\r\n',
      {
        ...noFlags,
        kind: 'metaStore',
        mode: 'append',
        key: 'a',
        returns: 'Ns',
        flags: 0,
        exptime: 0,
        casUnique: null,
        invalidate: false,
        vivify: 60,
        value: value('x'),
      },
    ],
    [
      'md a I x T30 C0\r\n',
      {
        ...noFlags,
        kind: 'metaDelete',
        key: 'a',
        returns: 'T',
        casUnique: 0,
        invalidate: true,
        removeValue: true,
        touch: 30,
      },
    ],
    [
      'ma a M- D2 J7 N0 v\r\n',
      {
        ...noFlags,
        kind: 'metaCount',
        key: 'a',
        returns: 'N',
        returnsValue: true,
        up: false,
        delta: 2n,
        casUnique: null,
        touch: null,
        vivify: 0,
        initial: 7n,
      },
    ],
    ['me YQ== b\r\n', { kind: 'metaDebug', key: 'a', base64Key: 'YQ==' }],
    ['mn\r\n', { kind: 'metaNoop' }],
    ['\r\n', refused('ERROR')],
  ]

  for (const [request, ...commands] of table) {
    test(JSON.stringify(request.slice(0, 60)), () => {
      expect(parse(latin1(request))).toEqual(commands)
    })
  }
})

/** The requests of each recorded conversation in one stream, those with huge values left out. */
const streams = recorded
  .map(({ steps }) => steps.map((step) => step.ask).filter((ask) => !/\{|HTTP|quit| \d{7,}\r\n/.test(ask)))
  .map((asks) => latin1(asks.join('')))
const stream = Buffer.concat(streams)

describe('however the bytes arrive', () => {
  test('split anywhere in two, a stream gives the same commands', () => {
    for (const bytes of streams) {
      const whole = parse(bytes)
      for (let at = 0; at <= bytes.length; at++) {
        const commands = parse(bytes.subarray(0, at), bytes.subarray(at))
        if (!Bun.deepEquals(commands, whole)) expect({ at, commands }).toEqual({ at, commands: whole })
      }
    }
    expect(streams.flatMap((bytes) => parse(bytes)).length).toBeGreaterThan(500)
  })

  test('byte by byte, too', () => {
    expect(parse(...Array.from(stream, (_, at) => stream.subarray(at, at + 1)))).toEqual(parse(stream))
  })

  test('and split at random into many, pushed before any is taken', () => {
    const pieces = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 })
    const property = fc.property(pieces, fc.boolean(), (sizes, atOnce) => {
      const parser = new CommandParser(maxValueBytes)
      const commands: Command[] = []
      for (let at = 0, i = 0; at < stream.length; i++) {
        const size = sizes[i % sizes.length]!
        parser.push(stream.subarray(at, at + size))
        if (!atOnce) commands.push(...take(parser))
        at += size
      }
      commands.push(...take(parser))
      expect(parser.waitingBytes).toBe(0)
      expect(Bun.deepEquals(commands, parse(stream))).toBe(true)
    })
    fc.assert(property, { seed, numRuns: 100 })
  })

  test('thousands in one push come out one at a time', () => {
    const parser = new CommandParser(maxValueBytes)
    parser.push(
      latin1(Array.from({ length: 20_000 }, (_, i) => `set k${i} 0 0 5\r\nvalue\r\nget k${i}\r\n`).join('')),
    )
    let commands = 0
    for (let command = parser.next(); command !== null; command = parser.next()) {
      expect(command.kind).toBe(commands % 2 === 0 ? 'store' : 'get')
      commands++
    }
    expect(commands).toBe(40_000)
  })
})

describe('values', () => {
  const bytes = 16 * 1024 * 1024
  const large = new Uint8Array(bytes).map((_, i) => (i * 31) % 251)

  test('a value of 16 MiB in pieces of 64 KiB is put together without rest', () => {
    const request = Buffer.concat([latin1(`set k 0 0 ${bytes}\r\n`), large, latin1('\r\nmn\r\n')])
    const parser = new CommandParser(bytes)
    const commands: Command[] = []
    for (let at = 0; at < request.length; at += 65_536) {
      parser.push(request.subarray(at, at + 65_536))
      commands.push(...take(parser))
      expect(parser.unfinishedBytes).toBeLessThanOrEqual(2 * (at + 65_536))
    }
    const [store, noop] = commands
    expect(noop).toEqual({ kind: 'metaNoop' })
    if (store?.kind !== 'store') throw new Error('no store')
    expect(Buffer.compare(store.value, large)).toBe(0)
    expect(store.value.buffer.byteLength).toBe(bytes)
    expect(parser.unfinishedBytes).toBeLessThan(4096)
  })

  test('what is announced and not sent costs little', () => {
    const parser = new CommandParser(bytes)
    parser.push(latin1(`set k 0 0 ${bytes}\r\nabc`))
    expect(parser.next()).toBeNull()
    expect(parser.unfinishedBytes).toBeLessThanOrEqual(65_536 + 256)
  })

  test('a small value does not keep alive what came with it, a large one is not copied', () => {
    const chunk = latin1(`set a 0 0 5\r\nsmall\r\nset b 0 0 9000\r\n${'x'.repeat(9000)}\r\n`)
    const parser = new CommandParser(10_000)
    parser.push(chunk)
    const [small, big] = take(parser)
    if (small?.kind !== 'store' || big?.kind !== 'store') throw new Error('no stores')
    expect(small.value.buffer).not.toBe(chunk.buffer)
    expect(big.value.buffer).toBe(chunk.buffer)
    expect(Buffer.from(big.value).toString()).toBe('x'.repeat(9000))
  })

  test('one over the limit is swallowed, however long, and nothing of it is held', () => {
    const parser = new CommandParser(maxValueBytes)
    parser.push(latin1('set k 0 0 100000000\r\n'))
    expect(parser.next()).toEqual(refused('SERVER_ERROR object too large for cache', { drops: 'k' }))
    const piece = Buffer.alloc(1_000_000, 'x\r\n')
    for (let i = 0; i < 100; i++) {
      parser.push(piece)
      expect(parser.next()).toBeNull()
      expect(parser.waitingBytes + parser.unfinishedBytes).toBeLessThan(4096)
    }
    parser.push(latin1('\r\nmn\r\n'))
    expect(take(parser)).toEqual([{ kind: 'metaNoop' }])
  })
})

describe('long lines', () => {
  const tooLong = [refused('CLIENT_ERROR line too long', { closes: true })]
  const line = (name: string, bytes: number): string => name.padEnd(bytes, ' kkkkkkkkk')

  for (const [name, limit] of [
    ['get', maxGetLineBytes],
    ['gets', maxGetLineBytes],
    ['gat 0', maxGetLineBytes],
    ['gats 0', maxGetLineBytes],
    ['  get', maxGetLineBytes],
    ['mg', maxLineBytes],
    ['getx', maxLineBytes],
    ['gts', maxLineBytes],
    [' '.repeat(101), maxLineBytes],
  ] as const) {
    test(`${JSON.stringify(name.slice(0, 10))} may have ${limit} bytes`, () => {
      const fits = parse(latin1(`${line(name, limit)}\nmn\r\n`))
      expect(fits).not.toEqual(tooLong)
      expect(fits.at(-1)).toEqual({ kind: 'metaNoop' })
      const over = latin1(`${line(name, limit + 1)}\nmn\r\n`)
      expect(parse(over)).toEqual(tooLong)
      for (const at of [1, 5, 2000, 2048, 2049, 2050, limit, limit + 1]) {
        expect(parse(over.subarray(0, at), over.subarray(at))).toEqual(tooLong)
      }
    })
  }

  test('a line without end is given up as soon as it is too long, and nothing is read after it', () => {
    const parser = new CommandParser(maxValueBytes)
    const commands: Command[] = []
    for (let i = 0; i < 3000; i++) {
      parser.push(latin1('x'))
      commands.push(...take(parser))
    }
    expect(commands).toEqual(tooLong)
    parser.push(latin1('\nmn\r\n'))
    expect(take(parser)).toEqual([])
    expect(parser.waitingBytes + parser.unfinishedBytes).toBe(0)
  })

  test('a hundred thousand keys are one command', () => {
    const keys = Array.from({ length: 100_000 }, (_, i) => `k${i}`)
    const get = latin1(`get ${keys.join(' ')}\r\n`)
    const parser = new CommandParser(maxValueBytes)
    parser.push(get.subarray(0, 500_000))
    expect(parser.next()).toBeNull()
    parser.push(get.subarray(500_000))
    expect(take(parser)).toEqual([{ kind: 'get', keys, withCas: false, touch: null }])
    expect(parser.unfinishedBytes).toBeLessThanOrEqual(maxLineBytes)
  })
})

describe('rubbish', () => {
  const words = [
    'get',
    'set',
    'ms',
    'mg',
    'md',
    'ma',
    'me',
    'cas',
    'incr',
    'append',
    'stats',
    'flush_all',
    'noreply',
  ]
  const token = fc.oneof(
    fc.constantFrom(...words),
    fc.constantFrom(
      'a',
      'YQ==',
      'b',
      'v',
      'k',
      'q',
      'c',
      't',
      'I',
      'x',
      'MA',
      'ME',
      'C1',
      'T-1',
      'N60',
      'Oabc',
    ),
    fc.constantFrom('0', '1', '-1', '5', '4294967296', '99999999999999999999', ' ', '\0', '\r', '\xff'),
    fc.integer({ min: -10, max: 3000 }).map(String),
    fc.string({ maxLength: 8 }),
  )
  const end = fc.constantFrom('\r\n', '\r\n', '\n', '\r', '')
  const line = fc
    .tuple(
      fc.array(token, { maxLength: 24, size: 'max' }),
      end,
      fc.string({ maxLength: 12, size: 'max' }),
      end,
    )
    .map((parts) =>
      parts
        .flat()
        .join(' ')
        .replace(/ (\r?\n)/g, '$1'),
    )
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 500, size: 'max' }),
    fc.array(line, { maxLength: 30, size: 'max' }).map((lines) => new Uint8Array(latin1(lines.join('')))),
    fc
      .tuple(fc.constantFrom(...streams), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 10 }))
      .map(([bytes, changes]) => {
        const mutated = new Uint8Array(bytes)
        for (const [at, byte] of changes) mutated[at % bytes.length] = byte
        return mutated
      }),
  )

  test('never throws, holds little, and gets a response', () => {
    const property = fc.property(fc.array(bytes, { minLength: 1, maxLength: 6 }), (pieces) => {
      const connection = new ToyServer(maxValueBytes).connect()
      const parser = new CommandParser(maxValueBytes)
      for (const piece of pieces) {
        connection.ask(piece)
        parser.push(piece)
        take(parser)
        expect(parser.waitingBytes).toBe(0)
        expect(parser.unfinishedBytes).toBeLessThanOrEqual(maxGetLineBytes * 2)
      }
    })
    fc.assert(property, { seed, numRuns: 500 })
  })
})

describe('a value that is given up', () => {
  const begun = latin1('set k 0 0 10\r\nabc')
  const rest = latin1('defghij\r\nmn\r\n')
  const tooMuch = 'SERVER_ERROR too much'

  test('is passed over, however it goes on to come', () => {
    for (let cut = 0; cut <= rest.length; cut++) {
      const parser = new CommandParser(maxValueBytes)
      parser.push(begun)
      expect(parser.next()).toBeNull()
      expect<Command | null>(parser.abandonValue(tooMuch)).toEqual(refused(tooMuch, { drops: 'k' }))
      expect(parser.unfinishedBytes).toBeLessThan(1000)
      parser.push(rest.subarray(0, cut))
      const before = take(parser)
      parser.push(rest.subarray(cut))
      expect([...before, ...take(parser)]).toEqual([{ kind: 'metaNoop' }])
    }
  })

  test('is what the command says: of an add nothing is dropped, and noreply gets no response', () => {
    const parser = new CommandParser(maxValueBytes)
    parser.push(latin1('add k 0 0 10 noreply\r\nabc'))
    parser.next()
    expect<Command | null>(parser.abandonValue(tooMuch)).toEqual(refused(tooMuch, { silent: true }))
  })

  test('is one that is coming in, nothing else', () => {
    const parser = new CommandParser(maxValueBytes)
    parser.push(latin1('mn\r\nget k'))
    expect(take(parser)).toHaveLength(1)
    expect(parser.abandonValue(tooMuch)).toBeNull()
    parser.push(latin1('2\r\n'))
    expect(take(parser)).toMatchObject([{ kind: 'get', keys: ['k2'] }])
  })
})

test('a parser knows that it is in the middle of a command', () => {
  const parser = new CommandParser(maxValueBytes)
  const steps: [bytes: string, isMidCommand: boolean][] = [
    ['mn\r\n', false],
    ['ge', true],
    ['t k\r\n', false],
    ['set k 0 0 2\r\n', true],
    ['ab', true],
    ['\r\n', false],
    ['set k 0 0 5000\r\nx', true],
    [`${'x'.repeat(4999)}\r\n`, false],
  ]
  for (const [bytes, isMidCommand] of steps) {
    parser.push(latin1(bytes))
    take(parser)
    expect({ bytes, isMidCommand: parser.isMidCommand }).toEqual({ bytes, isMidCommand })
  }
})
