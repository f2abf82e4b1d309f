import { expect, test } from 'bun:test'
import { eventReader } from './event-reader.ts'

const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'
const blocks = [': watching\nid: 7', 'event: put\nid: 8\ndata: {"key":"a"}', ': heartbeat\nid: 8']

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`
}

function read(pieces: readonly string[]): string[] {
  const found: string[] = []
  const take = eventReader((block) => found.push(block))
  for (const piece of pieces) take(piece)
  return found
}

test('blocks come whole, however the wire and the chunks cut them', () => {
  const stream = blocks.map((block) => `${block}\n\n`).join('')
  for (let chunkAt = 1; chunkAt < stream.length; chunkAt += 3) {
    const wire = head + chunk(stream.slice(0, chunkAt)) + chunk(stream.slice(chunkAt))
    for (let at = 0; at <= wire.length; at++) {
      expect(read([wire.slice(0, at), wire.slice(at)])).toEqual(blocks)
    }
    expect(read([...wire])).toEqual(blocks)
  }
})

test('what is no stream, or one that has ended, is not taken for a quiet one', () => {
  expect(() => read(['HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n'])).toThrow('404')
  expect(() => read(['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n'])).toThrow('no chunked stream')
  expect(() => read([head, chunk('a\n\n'), '0\r\n\r\n'])).toThrow('ended')
  expect(() => read([head, 'x'.repeat(50)])).toThrow('no size')
})
