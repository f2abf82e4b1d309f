import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { MetaGet } from './command.ts'
import { respondMetaDebug, respondMetaHit, respondMetaStore } from './meta-responses.ts'
import { Responses } from './responses.ts'

const seed = Number(Bun.env.KVIST_TEST_SEED ?? Date.now() % 2 ** 31)
console.log(`seed ${seed}`)

/** Responses whose client takes all there is, and what it has taken. */
function takenWhole() {
  const parts: Buffer[] = []
  const out = new Responses({ unsentBytes: 0, bytes: (part) => void parts.push(Buffer.from(part)) })
  return {
    out,
    taken() {
      out.flush()
      return Buffer.concat(parts)
    },
  }
}

function said(put: (out: Responses) => void): string {
  const { out, taken } = takenWhole()
  put(out)
  return taken().toString()
}

describe('classic responses', () => {
  test('values, lists and lines', () => {
    const response = said((out) => {
      out.value('k', 0, new Uint8Array([97, 13, 10]), null)
      out.value('é/€', 4294967295, '"ü"', Number.MAX_SAFE_INTEGER)
      out.value('k'.repeat(250), 7, '', 1)
      out.endOfList()
      out.line('STORED')
      out.line('18446744073709551615')
      out.stat('curr_items', 5)
      out.stat('bytes', 2n ** 64n)
      out.stat('version', 'kvist')
    })
    expect(response).toBe(
      'VALUE k 0 3\r\na\r\n\r\n' +
        'VALUE é/€ 4294967295 4 9007199254740991\r\n"ü"\r\n' +
        `VALUE ${'k'.repeat(250)} 7 0 1\r\n\r\nEND\r\n` +
        'STORED\r\n18446744073709551615\r\n' +
        'STAT curr_items 5\r\nSTAT bytes 18446744073709551616\r\nSTAT version kvist\r\n',
    )
  })

  test('every length of number', () => {
    const numbers = [
      0,
      9,
      10,
      99,
      100,
      999_999_999,
      1_000_000_000,
      2 ** 31 - 1,
      2 ** 31,
      2 ** 32,
      2 ** 53 - 1,
    ]
    for (const number of numbers) expect(said((out) => out.number(number))).toBe(String(number))
  })

  test('a large value is sent from where it is', () => {
    const parts: Uint8Array[] = []
    const out = new Responses({ unsentBytes: 0, bytes: (part) => void parts.push(part) })
    const value = new Uint8Array(100_000).fill(120)
    out.value('k', 0, value, null)
    out.endOfList()
    expect(out.unsentBytes).toBe('\r\nEND\r\n'.length)
    out.flush()
    expect(out.unsentBytes).toBe(0)
    expect(parts[1]).toBe(value)
    expect(parts.map(({ length }) => length)).toEqual([
      'VALUE k 0 100000\r\n'.length,
      100_000,
      '\r\nEND\r\n'.length,
    ])
  })
})

/** A client that takes bytes when the test says so; what it has not taken is kept where it is, as a socket's output keeps it. */
function slowClient() {
  const queue: Uint8Array[] = []
  const sink = {
    unsentBytes: 0,
    bytes(part: Uint8Array) {
      queue.push(part)
      sink.unsentBytes += part.length
    },
  }
  function take(bytes: number): string {
    let taken = ''
    while (queue.length > 0 && taken.length < bytes) {
      const part = queue[0]!.subarray(0, bytes - taken.length)
      taken += Buffer.from(part).toString()
      if (part.length === queue[0]!.length) queue.shift()
      else queue[0] = queue[0]!.subarray(part.length)
    }
    sink.unsentBytes -= taken.length
    return taken
  }
  return { out: new Responses(sink), take }
}

test('several connections, written in parts of any size, do not get in one another’s way', () => {
  const sizes = fc.oneof(fc.nat(300), fc.constantFrom(16_383, 16_384, 65_536), fc.nat(70_000))
  const put = fc.record({ to: fc.nat(3), bytes: sizes, text: fc.boolean(), write: fc.option(fc.nat(40_000)) })
  const property = fc.property(fc.array(put, { maxLength: 60, size: 'max' }), (puts) => {
    const clients = Array.from({ length: 4 }, () => ({ ...slowClient(), expected: '', taken: '' }))
    for (const [i, { to, bytes, text, write }] of puts.entries()) {
      const one = clients[to]!
      const value = String.fromCharCode(97 + (i % 26)).repeat(bytes)
      one.out.value(`k${i}`, i, text ? value : Buffer.from(value), null)
      one.expected += `VALUE k${i} ${i} ${bytes}\r\n${value}\r\n`
      if (write === null) continue
      one.out.flush()
      one.taken += one.take(write)
    }
    for (const { out, take, expected, taken } of clients) {
      expect(out.unsentBytes).toBe(expected.length - taken.length)
      out.flush()
      expect(taken + take(Number.POSITIVE_INFINITY) === expected).toBe(true)
    }
  })
  fc.assert(property, { seed, numRuns: 200 })
})

describe('meta responses', () => {
  const nowMs = 1_800_000_000_000
  const item = {
    value: 'ü',
    flags: 2 ** 32 + 2 ** 33 + 5,
    revision: 7,
    expiresAtMs: null,
    writtenAtMs: nowMs - 2500,
  }
  const mg: MetaGet = {
    kind: 'metaGet',
    key: 'é',
    base64Key: null,
    returns: 'hlsfctkO',
    opaque: '\xff',
    quiet: true,
    returnsValue: true,
    recordsAccess: true,
    touch: null,
    vivify: null,
    recache: null,
  }

  test('flags come in the order of the request, then the marks', () => {
    const { out, taken } = takenWhole()
    respondMetaHit(out, mg, { item, created: false, won: true }, 1, nowMs)
    expect(taken()).toEqual(
      Buffer.concat([
        Buffer.from('VA 2 h1 l1 s2 f5 c7 t-1 ké O'),
        Buffer.from([0xff]),
        Buffer.from(' Z X W\r\nü\r\n'),
      ]),
    )
    const encoded = { ...mg, base64Key: 'w6k=', returns: 'k', returnsValue: false }
    const hit = { item: { ...item, flags: 0 }, created: false, won: false }
    expect(said((to) => respondMetaHit(to, encoded, hit, null, nowMs))).toBe('HD kw6k= b\r\n')
  })

  test('ms with s returns the size of what is stored', () => {
    const ms = {
      ...mg,
      kind: 'metaStore',
      mode: 'append',
      returns: 'sc',
      quiet: false,
      flags: 0,
      exptime: 0,
      casUnique: null,
      invalidate: false,
      vivify: null,
      value: new Uint8Array(0),
    } as const
    expect(said((out) => respondMetaStore(out, ms, 'stored', 8, 12))).toBe('HD s12 c8\r\n')
  })

  test('me returns all metadata', () => {
    const me = { kind: 'metaDebug', key: 'é', base64Key: null } as const
    const expiring = { ...item, expiresAtMs: nowMs + 1500 }
    expect(said((out) => respondMetaDebug(out, me, expiring, null, nowMs))).toBe(
      'ME é exp=-2 la=2 cas=7 fetch=no cls=0 size=4\r\n',
    )
  })
})
