import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { CommandOutput } from './command-output.ts'
import type { RedisCommand } from './resp.ts'

/** A socket that accepts so many bytes at a time. */
function socket(room: number) {
  const sent: Buffer[] = []
  return {
    room,
    isClosed: false,
    write(bytes: Uint8Array, offset: number, length: number): number {
      if (this.isClosed) return -1
      const count = Math.min(this.room, length)
      sent.push(Buffer.from(bytes.subarray(offset, offset + count)))
      return count
    },
    sent: () => Buffer.concat(sent),
  }
}

function encoded(command: RedisCommand): Buffer {
  const parts = command.flatMap((argument) => {
    const bytes = Buffer.from(typeof argument === 'number' ? String(argument) : (argument as string))
    return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]
  })
  return Buffer.concat([Buffer.from(`*${command.length}\r\n`), ...parts])
}

test('text goes out as UTF-8, bytes as they are, numbers in decimal', () => {
  const to = socket(Number.POSITIVE_INFINITY)
  const output = new CommandOutput(to)
  output.add(['SET', 'grün', Buffer.from([0, 255, 13, 10]), 'PX', 1.5e3])
  expect(to.sent()).toHaveLength(0)
  output.flush()
  const text = '*5\r\n$3\r\nSET\r\n$5\r\ngr\xc3\xbcn\r\n$4\r\n\0\xff\r\n\r\n$2\r\nPX\r\n$4\r\n1500\r\n'
  expect(to.sent().toString('latin1')).toBe(text)
})

const argument = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.integer(),
  fc.uint8Array(),
  // Around the size above which arguments are not joined.
  fc.integer({ min: 20_000, max: 140_000 }).map((size) => 'x'.repeat(size)),
  fc.integer({ min: 60_000, max: 140_000 }).map((size) => Buffer.alloc(size, 1)),
)
const commands = fc.array(fc.array(argument, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 6 })

test('any commands arrive whole and in order, however little the socket accepts', () => {
  fc.assert(
    fc.property(commands, fc.integer({ min: 1000, max: 200_000 }), (all, room) => {
      const to = socket(room)
      const output = new CommandOutput(to)
      const ends: number[] = []
      for (const command of all) {
        output.add(command)
        ends.push(output.encodedBytes)
      }
      output.flush()
      while (output.isFull) output.drained()
      const whole = all.map(encoded)
      expect(to.sent().equals(Buffer.concat(whole))).toBe(true)
      expect(output.sentBytes).toBe(output.encodedBytes)
      expect(ends).toEqual(whole.map((_, i) => Buffer.concat(whole.slice(0, i + 1)).length))
    }),
    { numRuns: 50 },
  )
})

test('what the socket did not accept does not count as sent', () => {
  const to = socket(10)
  const output = new CommandOutput(to)
  output.add(['PING'])
  output.add(['PING'])
  output.flush()
  expect([output.encodedBytes, output.sentBytes, output.isFull]).toEqual([28, 10, true])
  to.isClosed = true
  output.drained()
  expect(output.sentBytes).toBe(10)
  output.discard()
  expect(output.isFull).toBe(false)
})
