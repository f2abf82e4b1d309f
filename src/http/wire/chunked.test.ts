import { describe, expect, test } from 'bun:test'
import { maxChunkLineBytes, maxTrailerBytes } from '../../core/limits.ts'
import { ChunkedDecoder } from './chunked.ts'

/** What a decoder makes of bytes that come in parts of a size: the data, or what is wrong with the coding. */
function decoded(
  text: string,
  partBytes: number,
): { data: string; rest: string; isComplete: boolean } | string {
  const decoder = new ChunkedDecoder()
  const bytes = Buffer.from(text, 'latin1')
  let data = ''
  for (let at = 0; at < bytes.length; at += partBytes) {
    const part = decoder.decode(bytes.subarray(at, at + partBytes))
    if (typeof part === 'string') return part
    data += part.data.toString('latin1')
    if (!decoder.isComplete) continue
    const rest = bytes.subarray(at + part.taken).toString('latin1')
    return { data, rest, isComplete: true }
  }
  return { data, rest: '', isComplete: false }
}

const partSizes = [1, 2, 3, 7, 64, 100_000]

function expectData(text: string, data: string): void {
  for (const size of partSizes) {
    expect([text.slice(0, 60), size, decoded(text, size)]).toEqual([
      text.slice(0, 60),
      size,
      { data, rest: '', isComplete: true },
    ])
  }
}

function expectBroken(text: string): void {
  for (const size of partSizes) {
    const found = decoded(text, size)
    if (typeof found !== 'string') throw new Error(`${JSON.stringify(text.slice(0, 60))} was taken`)
  }
}

const end = '0\r\n\r\n'

describe('chunk extensions', () => {
  test('are passed over when they are well-formed', () => {
    const extensions = [
      ';a',
      ' ; a ',
      ';a=b',
      '\t;\ta\t=\tb',
      ';a;b;c=d',
      ';a="b"',
      ';a=""',
      ';a="b;c, \\"d\\" \\\\"; e',
      ';a="\xe9\t"',
      ";!#$%&'*+-.^_`|~9=x",
    ].map((one) => one.replace(/ $/, ''))
    for (const extension of extensions) {
      expectData(`3${extension}\r\nabc\r\n${end}`, 'abc')
      expectData(`3\r\nabc\r\n0${extension}\r\n\r\n`, 'abc')
    }
  })

  test('are refused when they are not', () => {
    const extensions = [
      ';',
      '; ',
      ' ',
      ';;a',
      ';a;',
      ';=b',
      ';a=',
      ';a="b',
      ';a=b"',
      ';a="b"c',
      ';a="b\\"',
      ';a="b""c"',
      ';a b',
      ';a=b c',
      ';a=b=c',
      ';a,b',
      ';(a)',
      ';a=[b]',
      ';\xe9',
      ';a=\xe9',
      ';a\0',
      ';a="\0"',
      ';a="\x7f"',
      ';a\r',
      ';a="\r"',
      ';a="\\\r"',
      'a=b',
      ',a',
    ]
    for (const extension of extensions) {
      // What is one byte longer may be a size.
      if (!/^[0-9a-f]/.test(extension)) expectBroken(`3${extension}\r\nabc\r\n${end}`)
      expectBroken(`3\r\nabc\r\n0${extension}\r\n\r\n`)
    }
  })

  test('end where the limit says, to the byte', () => {
    const line = (bytes: number) => `1;${'x'.repeat(bytes - 4)}\r\n`
    expectData(`${line(maxChunkLineBytes)}a\r\n${end}`, 'a')
    expectBroken(`${line(maxChunkLineBytes + 1)}a\r\n${end}`)
    // Nobody waits for the end of a line that is too long already.
    expectBroken(line(maxChunkLineBytes * 2).slice(0, maxChunkLineBytes + 1))
  })
})

describe('trailers', () => {
  test('are dropped when they are field lines', () => {
    for (const trailer of ['X: 1\r\n', 'x:\r\n', 'X: \t a\tb \r\n', 'A: 1\r\nB: \xe9\r\n', 'Host: a b\r\n']) {
      expectData(`1\r\na\r\n0\r\n${trailer}\r\n`, 'a')
    }
  })

  test('are refused when they are not', () => {
    const trailers = [
      'X\r\n',
      ': 1\r\n',
      'X : 1\r\n',
      ' X: 1\r\n',
      'X: 1\r\n folded\r\n',
      'X: 1\r\n\tfolded: 2\r\n',
      'X: \0\r\n',
      'X\0: 1\r\n',
      'X: a\rb\r\n',
      'X: \x7f\r\n',
      'X: \x1b[0m\r\n',
      'X: 1\n',
      'X: 1\n\r\n',
      'GET / HTTP/1.1\r\n',
      'GET http://x/ HTTP/1.1\r\nHost: x\r\n',
      'PUT /v1/c/k HTTP/1.1\r\nHost: x\r\n',
      'HTTP/1.1 200 OK\r\n',
      'X(1): 1\r\n',
      '\xe9: 1\r\n',
    ]
    for (const trailer of trailers) {
      expectBroken(`1\r\na\r\n0\r\n${trailer}\r\n`)
      expectBroken(`1\r\na\r\n0\r\nA: 1\r\n${trailer}\r\n`)
    }
  })

  test('end where the limit says, to the byte', () => {
    const trailer = (bytes: number) => `X: ${'x'.repeat(bytes - 7)}\r\n\r\n`
    expectData(`0\r\n${trailer(maxTrailerBytes)}`, '')
    expectBroken(`0\r\n${trailer(maxTrailerBytes + 1)}`)
    const lines = 'X: 1\r\n'.repeat(maxTrailerBytes / 8)
    const padded = (extra: number) =>
      `0\r\n${lines}X: ${'y'.repeat(maxTrailerBytes - lines.length - 7 + extra)}\r\n\r\n`
    expectData(padded(0), '')
    expectBroken(padded(1))
  })
})

test('what follows the body is left alone', () => {
  for (const size of partSizes) {
    const text = `1\r\na\r\n0\r\nX: 1\r\n\r\nGET / HTTP/1.1\r\n`
    const found = decoded(text, size)
    if (typeof found === 'string') throw new Error(found)
    expect(found.data).toBe('a')
    expect('GET / HTTP/1.1\r\n'.startsWith(found.rest)).toBe(true)
  }
})
