import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { KvistError } from './errors.ts'
import { maxTimeMs } from './limits.ts'
import { formatHttpDate, formatTime, parseDurationMs, parseHttpDateMs, parseTimeMs } from './time.ts'

const minTimeMs = Date.parse('0000-01-01T00:00:00.000Z')
const anyTimeMs = fc.oneof(
  fc.integer({ min: minTimeMs, max: maxTimeMs }),
  fc.integer({ min: Date.UTC(2024), max: Date.UTC(2028) }),
  fc.integer({ min: -5000, max: 5000 }),
)

function refusal(parse: (text: string) => number, text: string): KvistError {
  try {
    throw new Error(`${JSON.stringify(text)} was taken for ${parse(text)}`)
  } catch (error) {
    if (error instanceof KvistError) return error
    throw error
  }
}

describe('parseDurationMs', () => {
  const cases: [text: string, ms: number][] = [
    ['90', 90_000],
    ['90s', 90_000],
    ['15m', 900_000],
    ['12h', 43_200_000],
    ['7d', 604_800_000],
    ['1.5h', 5_400_000],
    ['0.5', 500],
    ['0.001', 1],
    ['0.0015s', 2],
    ['0.1d', 8_640_000],
    ['007', 7000],
    ['3652425d', 315_569_520_000_000],
  ]
  for (const [text, ms] of cases) test(text, () => expect(parseDurationMs(text)).toBe(ms))

  const malformed = [
    '',
    ' ',
    '90 s',
    ' 90',
    '90s ',
    's',
    '-1',
    '+1',
    '.5',
    '5.',
    '1e3',
    '90S',
    '5w',
    '5ms',
    '1h30m',
    '٣',
    '1,5',
    'NaN',
    '90\n',
  ]
  for (const text of malformed) {
    test(`refuses ${JSON.stringify(text)}`, () => {
      const error = refusal(parseDurationMs, text)
      expect(error.code).toBe('invalid_parameter')
      expect(error.message).toContain(`${JSON.stringify(text)} is not a duration`)
      expect(error.message).toContain('90s, 15m, 12h, 7d')
    })
  }

  test('refuses what is no time at all, and what is for ever', () => {
    for (const text of ['0', '0s', '0.0d', '0.0004']) {
      expect(refusal(parseDurationMs, text).message).toContain('at least a millisecond')
    }
    for (const text of ['3652425.1d', '9'.repeat(400)]) {
      expect(refusal(parseDurationMs, text).message).toContain('10,000 years')
    }
  })

  test('repeats no more of what was sent than a line', () => {
    expect(refusal(parseDurationMs, 'x'.repeat(1_000_000)).message.length).toBeLessThan(200)
  })
})

describe('parseTimeMs', () => {
  const cases: [text: string, ms: number][] = [
    ['2030-01-31T12:00:00Z', Date.UTC(2030, 0, 31, 12)],
    ['2030-01-31t12:00:00z', Date.UTC(2030, 0, 31, 12)],
    ['2030-01-31T12:00:00.5Z', Date.UTC(2030, 0, 31, 12, 0, 0, 500)],
    ['2030-01-31T12:00:00.1239999999Z', Date.UTC(2030, 0, 31, 12, 0, 0, 123)],
    ['2030-01-31T12:00:00+02:00', Date.UTC(2030, 0, 31, 10)],
    ['2030-01-31T12:00:00-23:59', Date.UTC(2030, 1, 1, 11, 59)],
    ['2030-01-31T12:00:00-00:00', Date.UTC(2030, 0, 31, 12)],
    ['2028-02-29T00:00:00Z', Date.UTC(2028, 1, 29)],
    ['2000-02-29T00:00:00Z', Date.UTC(2000, 1, 29)],
    ['1969-12-31T23:59:59.999Z', -1],
    ['0000-01-01T00:00:00Z', minTimeMs],
    ['0099-03-01T00:00:00Z', Date.parse('0099-03-01T00:00:00Z')],
    ['9999-12-31T23:59:59.999Z', maxTimeMs],
    ['0', 0],
    ['1767225600', 1_767_225_600_000],
    ['1767225600.5', 1_767_225_600_500],
    ['1767225600.0019999', 1_767_225_600_001],
    ['253402300799.999', maxTimeMs],
  ]
  for (const [text, ms] of cases) test(text, () => expect(parseTimeMs(text)).toBe(ms))

  const malformed = [
    ...['', 'now', '2030-01-31', '2030-01-31T12:00:00', '2030-01-31 12:00:00Z', '2030-01-31T12:00Z'],
    ...['2030-1-31T12:00:00Z', '30-01-31T12:00:00Z', '12030-01-31T12:00:00Z', '+002030-01-31T12:00:00Z'],
    ...[
      '2030-01-31T12:00:00.Z',
      '2030-01-31T12:00:00,5Z',
      '2030-01-31T12:00:00+0200',
      '2030-01-31T12:00:00+02',
    ],
    ...[
      '2030-01-31T12:00:00+24:00',
      '2030-01-31T12:00:00+02:60',
      '2030-01-31T12:00:00 UTC',
      '20300131T120000Z',
    ],
    ...['2026-02-30T00:00:00Z', '2026-02-29T00:00:00Z', '2100-02-29T00:00:00Z', '2026-04-31T00:00:00Z'],
    ...['2026-00-10T00:00:00Z', '2026-13-10T00:00:00Z', '2026-01-00T00:00:00Z', '2026-01-32T00:00:00Z'],
    ...['2026-01-01T24:00:00Z', '2026-01-01T00:60:00Z', '2016-12-31T23:59:60Z', '2026-01-01T00:00:00Z\n'],
    ...['-1', '+1', '1e9', '.5', '5.', '1 ', '0x10', 'Infinity'],
  ]
  for (const text of malformed) {
    test(`refuses ${JSON.stringify(text)}`, () => {
      const error = refusal(parseTimeMs, text)
      expect(error.code).toBe('invalid_parameter')
      expect(error.message).toContain(`${JSON.stringify(text)} is not a time`)
      expect(error.message).toContain('RFC 3339 (2030-01-31T12:00:00Z) or Unix seconds')
    })
  }

  test('a plus sign that became a space in a query is explained', () => {
    expect(refusal(parseTimeMs, '2030-01-31T12:00:00 02:00').message).toContain('%2B')
    expect(refusal(parseTimeMs, '2030-01-31T12:00:00').message).not.toContain('%2B')
  })

  test('refuses times that could not be written', () => {
    const texts = ['253402300800', '9'.repeat(400), '9999-12-31T23:59:59-00:01', '0000-01-01T00:00:00+00:01']
    for (const text of texts) expect(refusal(parseTimeMs, text).message).toContain('years 0 to 9999')
  })

  test('every day of the calendar and none beside', () => {
    for (const year of [0, 4, 96, 100, 1900, 2000, 2023, 2024, 9996]) {
      for (let month = 0; month <= 13; month++) {
        for (let day = 0; day <= 32; day++) {
          const text = `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`
          const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
          const days = [0, 31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month] ?? 0
          if (day >= 1 && day <= days) expect(parseTimeMs(`${text}T00:00:00Z`)).toBe(Date.parse(text))
          else refusal(parseTimeMs, `${text}T00:00:00Z`)
        }
      }
    }
  })

  test('reads back what formatTime wrote, with any offset', () => {
    const offset = fc.integer({ min: -23 * 60, max: 23 * 60 })
    fc.assert(
      fc.property(fc.integer({ min: Date.UTC(1), max: Date.UTC(9990) }), offset, (ms, minutes) => {
        expect(parseTimeMs(formatTime(ms))).toBe(ms)
        const size = Math.abs(minutes)
        const written = `${minutes < 0 ? '-' : '+'}${new Date(size * 60_000).toISOString().slice(11, 16)}`
        expect(parseTimeMs(formatTime(ms + minutes * 60_000).replace('Z', written))).toBe(ms)
      }),
    )
  })
})

describe('formatTime and formatHttpDate', () => {
  test('write what Date writes', () => {
    fc.assert(
      fc.property(anyTimeMs, (ms) => {
        expect(formatTime(ms)).toBe(new Date(ms).toISOString())
        expect(formatHttpDate(ms)).toBe(new Date(ms).toUTCString())
      }),
      { numRuns: 5000 },
    )
  })

  test('also at the edges, and for times that share a place in memory', () => {
    const edges = [minTimeMs, maxTimeMs, 0, -1, 999, 1000, -1000, -1001, 86_399_999, 86_400_000]
    const second = Date.UTC(2026, 0, 1)
    const sharing = [0, 256_000, 512_000, 1024 * 86_400_000, -1024 * 86_400_000].map(
      (apart) => second + apart,
    )
    for (const ms of [...edges, ...sharing, ...sharing.reverse(), ...edges]) {
      expect(formatTime(ms)).toBe(new Date(ms).toISOString())
      expect(formatHttpDate(ms)).toBe(new Date(ms).toUTCString())
    }
  })

  test('a time that is none is not written', () => {
    expect(() => formatTime(Number.NaN)).toThrow(RangeError)
  })
})

describe('parseHttpDateMs', () => {
  const nowMs = Date.UTC(2026, 5, 1)
  const cases: [text: string, ms: number | null][] = [
    ['Sun, 06 Nov 1994 08:49:37 GMT', 784_111_777_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 784_111_777_000],
    ['Sun Nov  6 08:49:37 1994', 784_111_777_000],
    ['Wed Nov 16 08:49:37 1994', 784_975_777_000],
    ['Thursday, 01-Jan-26 00:00:00 GMT', Date.UTC(2026)],
    ['Wednesday, 01-Jan-76 00:00:00 GMT', Date.UTC(2076)],
    ['Saturday, 01-Jan-77 00:00:00 GMT', Date.UTC(1977)],
    ['Sat, 01 Jan 0000 00:00:00 GMT', minTimeMs],
    ['Sun, 06 Nov 1994 08:49:37', null],
    ['Sun, 06 Nov 1994 08:49:37 UTC', null],
    ['Sun, 06 Nov 1994 08:49:37 +0000', null],
    ['Sun, 6 Nov 1994 08:49:37 GMT', null],
    ['sun, 06 nov 1994 08:49:37 gmt', null],
    ['Sun, 31 Nov 1994 08:49:37 GMT', null],
    ['Sun, 00 Nov 1994 08:49:37 GMT', null],
    ['Sun, 06 Nov 1994 24:00:00 GMT', null],
    ['Sun, 06 Nov 1994 08:60:00 GMT', null],
    ['Sat, 31 Dec 2016 23:59:60 GMT', null],
    ['Sun Nov 31 08:49:37 1994', null],
    ['1994-11-06T08:49:37Z', null],
    ['784111777', null],
    ['', null],
  ]
  for (const [text, ms] of cases) {
    test(JSON.stringify(text), () => expect(parseHttpDateMs(text, nowMs)).toBe(ms))
  }

  test('reads back what formatHttpDate wrote', () => {
    fc.assert(
      fc.property(anyTimeMs, (ms) => {
        expect(parseHttpDateMs(formatHttpDate(ms), nowMs)).toBe(Math.floor(ms / 1000) * 1000)
      }),
    )
  })
})
