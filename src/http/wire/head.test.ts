import { describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { type Head, headerBits, parseHead, Refusal } from './head.ts'

function parse(...lines: string[]): Head | Refusal | null {
  return parseHead(Buffer.from([...lines, '', ''].join('\r\n'), 'latin1'))
}

function parsed(...lines: string[]): Head {
  const head = parse(...lines)
  if (head === null || head instanceof Refusal) throw new Error(`no head: ${head?.detail}`)
  return head
}

describe('a head', () => {
  test('is taken apart', () => {
    const lines = [
      'PUT /v1/c/a%20b?x=1?2 HTTP/1.1',
      'HOST: x:1',
      'X-Y:\t a: b \t',
      'content-length:12',
      'Empty:',
    ]
    expect(parsed(...lines)).toEqual({
      method: 'PUT',
      path: '/v1/c/a%20b',
      query: 'x=1?2',
      isHttp10: false,
      headers: {
        present: headerBits(['host', 'content-length']),
        fields: ['host', 'x:1', 'x-y', 'a: b', 'content-length', '12', 'empty', ''],
        bodyBytes: 12,
        expectsContinue: false,
        closes: false,
        passedBy: null,
      },
      headBytes: lines.join('\r\n').length + 4,
    })
  })

  test('ends where it does, whatever comes before and after it', () => {
    const head = parseHead(Buffer.from('\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n\r\nGET '))
    expect(head).toMatchObject({ method: 'GET', path: '/', query: null, headBytes: 31 })
  })

  test('may be long, and is found behind much that is longer', () => {
    const long = `X: ${'x'.repeat(5000)}`
    expect(parsed('GET / HTTP/1.1', 'Host: x', long).headers.fields[3]).toHaveLength(5000)
  })

  test('is not there until its last byte is', () => {
    const whole = 'DELETE /v1/c/k HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n'
    for (let end = 0; end < whole.length; end++) {
      expect([end, parseHead(Buffer.from(whole.slice(0, end)))]).toEqual([end, null])
    }
  })

  test('has the host of its target where that is a URL, whatever the Host field says', () => {
    const hostOf = (...lines: string[]) => {
      const { fields } = parsed(...lines).headers
      return fields.filter((_, i) => i % 2 === 1 && fields[i - 1] === 'host')
    }
    expect(hostOf('GET http://a.example:1/x HTTP/1.1', 'Accept: */*', 'Host: b')).toEqual(['a.example:1'])
    expect(hostOf('GET http://a.example HTTP/1.0')).toEqual(['a.example'])
    expect(hostOf('GET /x HTTP/1.1', 'Accept: */*', 'Host: b')).toEqual(['b'])
  })

  test('has a path in origin form, with raw UTF-8 as text', () => {
    const pathOf = (target: string) => parsed(`GET ${target} HTTP/1.1`, 'Host: x').path
    expect(pathOf('http://any:80/v1/c/k?a')).toBe('/v1/c/k')
    expect(pathOf('HTTPS://any')).toBe('/')
    expect(pathOf('http://any?q')).toBe('/')
    expect(pathOf(Buffer.from('/v1/c/ü').toString('latin1'))).toBe('/v1/c/ü')
    expect(pathOf('/v1/c/../k//')).toBe('/v1/c/../k//')
  })
})

test('lines that were seen before mean what they say, and not what others of their length said', () => {
  for (let i = 0; i < 3; i++) {
    for (const length of ['12', '34']) {
      const { headers } = parsed('PUT / HTTP/1.1', 'Host: x', `Content-Length: ${length}`)
      expect(headers.bodyBytes).toBe(Number(length))
    }
    for (const [version, closes] of [
      ['1.1', false],
      ['1.0', true],
    ] as const) {
      expect(parsed(`GET / HTTP/${version}`, 'Host: x').headers.closes).toBe(closes)
    }
    expect(parse('PUT / HTTP/1.1', 'Host: x', 'Content-Length: +2')).toBeInstanceOf(Refusal)
  }
})

test('a connection is kept or closed as its options say', () => {
  const closes = (version: string, ...options: string[]) =>
    parsed(`GET / HTTP/${version}`, 'Host: x', ...options.map((option) => `Connection: ${option}`)).headers
      .closes
  expect([closes('1.1'), closes('1.1', 'Keep-Alive'), closes('1.1', 'closed')]).toEqual([false, false, false])
  expect([closes('1.1', 'CLOSE'), closes('1.1', 'upgrade, close'), closes('1.1', 'x', 'close')]).toEqual([
    true,
    true,
    true,
  ])
  expect([closes('1.0'), closes('1.0', 'keep-alive'), closes('1.0', 'keep-alive, close')]).toEqual([
    true,
    false,
    true,
  ])
})

describe('lines that were parsed before are not parsed again', () => {
  function remembered(heads: readonly (readonly string[])[]): number {
    const before = heads.map((head) => parsed(...head).headers)
    return heads.filter((head, i) => parsed(...head).headers === before[i]).length
  }

  test('though other clients send lines of the same length in between', () => {
    const secret = (i: number) => createHash('sha256').update(`${i}`).digest('base64url')
    const heads = Array.from({ length: 16 }, (_, i) => [
      'GET /v1/c/k HTTP/1.1',
      'Host: x',
      `Authorization: Bearer kvist_0123456789ab_${secret(i)}`,
    ])
    // Two of them may share an index.
    expect(remembered(heads)).toBeGreaterThan(12)
  })

  test('though a browser has sent its cookies', () => {
    expect(remembered([['GET / HTTP/1.1', 'Host: x', `Cookie: ${'c=1; '.repeat(300)}`]])).toBe(1)
  })
})
