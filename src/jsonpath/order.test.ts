import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { compareJson } from './compare.ts'
import { compareNumbers } from './decimal.ts'
import { InvalidExpression } from './errors.ts'
import { maxOrderFields } from './limits.ts'
import { parseOrder } from './order.ts'

const parameters = { includeErrorInReport: true }

describe('the order of all values', () => {
  /** Ascending; values of one line are equal. */
  const ascending: readonly (readonly (string | undefined)[])[] = [
    [undefined],
    ['null', ' null '],
    ['false'],
    ['true'],
    ['-1e1000000000000000000001'],
    ['-1e1000000000000000000000', '-10e999999999999999999999'],
    ['-1e400'],
    ['-123456789012345678901234567890.5'],
    ['-100', '-1e2', '-1.0E+2'],
    ['-1e-400'],
    ['0', '-0', '0.00', '0e99999999999999999999', '-0.0e-99999999999999999999'],
    ['1e-1000000000000000000001'],
    ['1e-1000000000000000000000', '0.1e-999999999999999999999', '10e-1000000000000000000001'],
    ['0.1', '1e-1', '0.10', '1e-0001'],
    ['0.100000000000000000001'],
    ['1', '1.000000000000000000000000', '100e-2'],
    ['9007199254740992'],
    ['9007199254740993', '9007199254740993.0'],
    ['1e400', '0.0001e404'],
    ['1e1000000000000000', '10e999999999999999', '0.1e1000000000000001'],
    ['""'],
    ['"A"', '"\\u0041"'],
    ['"a"'],
    ['"a\\u0000"'],
    ['"aa"'],
    ['"é"', '"\\u00E9"'],
    ['"\\ud83d"'],
    ['"\\ud83da"'],
    ['"\\ud83d\\ue000"'],
    ['"\uffff"'],
    ['"😀"', '"\\ud83d\\ude00"'],
    ['"😁"'],
    ['[1]'],
    ['[]'],
    ['{"a":1}'],
    ['{}'],
  ]
  const ranked = ascending.flatMap((line, rank) => line.map((json) => ({ json, rank })))

  test('compares each with each', () => {
    for (const a of ranked) {
      for (const b of ranked) {
        expect([a.json, b.json, Math.sign(compareJson(a.json, b.json))]).toEqual([
          a.json,
          b.json,
          Math.sign(a.rank - b.rank),
        ])
      }
    }
  })

  test('numbers compare exactly, however they are written', () => {
    const digits = fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n })
    const exponent = fc.integer({ min: -60, max: 60 })
    const number = fc.tuple(digits, exponent, fc.nat({ max: 4 }))
    /** The same number in several ways; all are multiples of 10^-100. */
    const write = ([digit, power, style]: [bigint, number, number]) => {
      const sign = digit < 0n ? '-' : ''
      const text = String(digit < 0n ? -digit : digit)
      if (style === 0) return `${sign}${text}e${power}`
      if (style === 1) return `${sign}0.${text}E+${power + text.length}`.replace('+-', '-')
      if (style === 2) return `${sign}${text}000e${power - 3}`
      if (style === 3) return `${sign}${text}.000e00${power}`.replace('00-', '-00')
      return `${sign}${text[0]}.${text.slice(1)}0e${power + text.length - 1}`
    }
    const exact = ([digit, power]: [bigint, number, number]) => digit * 10n ** BigInt(power + 100)
    fc.assert(
      fc.property(number, number, (a, b) => {
        const [one, other] = [exact(a), exact(b)]
        const order = one === other ? 0 : one < other ? -1 : 1
        expect([write(a), write(b), Math.sign(compareNumbers(write(a), write(b)))]).toEqual([
          write(a),
          write(b),
          order,
        ])
        expect(compareNumbers(write(a), write([a[0], a[1], b[2]]))).toBe(0)
      }),
      { ...parameters, numRuns: 2000 },
    )
  })

  test('exponents of any length are added to exactly', () => {
    const large = fc.bigInt({ min: 10n ** 15n, max: 10n ** 40n })
    const shift = fc.integer({ min: -20, max: 20 })
    const write = (exponent: bigint, by: number) =>
      by >= 0
        ? `1${'0'.repeat(by)}e${exponent - BigInt(by)}`
        : `0.${'0'.repeat(-by - 1)}1e${exponent + BigInt(-by)}`
    fc.assert(
      fc.property(
        large,
        fc.boolean(),
        shift,
        shift,
        fc.integer({ min: -1, max: 1 }),
        (given, isNegative, a, b, by) => {
          const exponent = isNegative ? -given : given
          const other = exponent + BigInt(by)
          expect(Math.sign(compareNumbers(write(exponent, a), write(other, b)))).toBe(by === 0 ? 0 : -by)
        },
      ),
      { ...parameters, numRuns: 1000 },
    )
    for (const exponent of ['9'.repeat(30), `1${'0'.repeat(30)}`, `1${'0'.repeat(15)}`, '9'.repeat(15)]) {
      const next = String(BigInt(exponent) + 1n)
      expect(compareNumbers(`1e${exponent}`, `0.1e${next}`)).toBe(0)
      expect(compareNumbers(`1e-${exponent}`, `10e-${next}`)).toBe(0)
      expect(compareNumbers(`1e${exponent}`, `1e${next}`)).toBeLessThan(0)
      expect(compareNumbers(`1e-${exponent}`, `1e-${next}`)).toBeGreaterThan(0)
    }
  })

  test('numbers of a million digits compare', () => {
    const long = '7'.repeat(1_000_000)
    expect(compareNumbers(`${long}1`, `${long}2`)).toBeLessThan(0)
    expect(compareNumbers(`0.${long}`, `${long}e-1000000`)).toBe(0)
    expect(compareNumbers(`1e${long}`, `1e${long}1`)).toBeLessThan(0)
    expect(compareNumbers(`1${'0'.repeat(1_000_000)}`, '1e1000000')).toBe(0)
  })

  test('strings compare by code points', () => {
    const string = fc.string({
      unit: fc.constantFrom('a', 'é', '\ud7ff', '\ue000', '\uffff', '😀', '😁', '\u{10ffff}'),
    })
    fc.assert(
      fc.property(string, string, (a, b) => {
        const order = Buffer.compare(Buffer.from(a), Buffer.from(b))
        expect(Math.sign(compareJson(JSON.stringify(a), JSON.stringify(b)))).toBe(order)
      }),
      parameters,
    )
  })
})

describe('an order', () => {
  test('is fields with commas between them', () => {
    const order = parseOrder(' -@.a["b,c"] , @.n[0],@')
    expect(order.map(({ field, descending }) => [field.text, field.segments, descending])).toEqual([
      ['@.a["b,c"]', ['a', 'b,c'], true],
      ['@.n[0]', ['n', 0], false],
      ['@', [], false],
    ])
  })

  const mistakes: readonly [text: string, position: number][] = [
    ['', 0],
    ['-', 1],
    ['@.a,', 4],
    ['@.a;@.b', 3],
    ['--@.a', 1],
    ['@.a -@.b', 4],
    ['@.*', 0],
    ['@.a,@..b', 4],
    ['@.a[1:2]', 0],
    ['population', 0],
    [
      Array(maxOrderFields + 1)
        .fill('@.a')
        .join(),
      4 * maxOrderFields + 3,
    ],
  ]
  for (const [text, position] of mistakes) {
    test(`"${text.slice(0, 20)}" is a mistake at ${position}`, () => {
      let found: unknown
      try {
        parseOrder(text)
      } catch (error) {
        found = error
      }
      expect(found).toBeInstanceOf(InvalidExpression)
      expect((found as InvalidExpression).position).toBe(position)
    })
  }
})
