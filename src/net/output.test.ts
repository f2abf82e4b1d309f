import { expect, test } from 'bun:test'
import { fakeSocket } from '../../test/support/fake-socket.ts'
import { Output } from './output.ts'

/** An output that is flushed by hand. */
function outputTo(socket: ReturnType<typeof fakeSocket>): Output {
  return new Output(socket, { scheduleInput() {}, scheduleWork() {}, scheduleFlush() {} })
}

function countWrites(socket: ReturnType<typeof fakeSocket>): () => number {
  const write = socket.write.bind(socket)
  let writes = 0
  socket.write = (...args) => {
    writes++
    return write(...args)
  }
  return () => writes
}

test('the parts of a tick are sent together, texts as UTF-8', () => {
  const socket = fakeSocket()
  const writes = countWrites(socket)
  const out = outputTo(socket)
  out.text('head ')
  out.text('grün €', Buffer.byteLength('grün €'))
  out.value(Buffer.from([0, 255, 13]))
  expect(writes()).toBe(0)
  out.flush()
  expect(writes()).toBe(1)
  const sent = Buffer.concat([Buffer.from('head grün €'), Buffer.from([0, 255, 13])])
  expect(socket.said()).toBe(sent.toString('latin1'))
})

test('an encoded part is written between the others, and what the socket has no room for is kept', () => {
  const socket = fakeSocket()
  socket.room = 9
  const out = outputTo(socket)
  const encoded = {
    bytes: 3,
    write: (into: Buffer, _view: DataView, at: number) => into.set([0x61, 0x62, 0x63], at),
  }
  out.prefix('head ')
  out.encoded(encoded)
  out.text(' more')
  out.flush()
  expect(socket.said()).toBe('head abc ')
  out.prefix('other')
  socket.room = 100
  out.drained()
  out.flush()
  expect(socket.said()).toBe('head abc moreother')
})

test('a part goes out in one piece with its prefixes, also where outputs are flushed at once', () => {
  const socket = fakeSocket()
  const writes = countWrites(socket)
  const out = new Output(socket, {
    scheduleInput() {},
    scheduleWork() {},
    scheduleFlush: (output) => output.flush(),
  })
  for (let i = 0; i < 3; i++) {
    out.prefix('status ')
    out.prefix('header ')
    out.text(`body ${i} `)
    expect(writes()).toBe(i + 1)
  }
  out.value(Buffer.alloc(65_000, 'x'))
  out.prefix('p'.repeat(8000))
  out.value(Buffer.alloc(65_000, 'y'))
  const all = `status header body 0 status header body 1 status header body 2 `
  expect(socket.said()).toBe(`${all}${'x'.repeat(65_000)}${'p'.repeat(8000)}${'y'.repeat(65_000)}`)
})

test('what the socket has no room for is queued, also while other outputs send', () => {
  const narrow = fakeSocket()
  narrow.room = 3
  const out = outputTo(narrow)
  out.text('0123456789')
  out.flush()
  expect([out.isFull, out.unsentBytes]).toEqual([true, 7])
  const other = outputTo(fakeSocket())
  other.text('x'.repeat(100))
  other.flush()
  out.text('more')
  out.flush()
  narrow.room = 5
  out.drained()
  narrow.room = Number.POSITIVE_INFINITY
  out.drained()
  expect(narrow.said()).toBe('0123456789more')
  expect([out.isFull, out.takeSentBytes()]).toEqual([false, 14])
})

test('the longest parts that are buffered fit, and longer ones keep the order', () => {
  const socket = fakeSocket()
  const out = outputTo(socket)
  // Three bytes for each character: no more fits in two parts.
  const longest = '€'.repeat(21_845)
  out.text('a')
  out.text(longest, 65_535)
  out.value(Buffer.alloc(65_536, 'b'))
  out.value(Buffer.alloc(65_537, 'c'))
  out.text('€'.repeat(30_000), 90_000)
  out.text('d')
  out.flush()
  const all = `a${longest}${'b'.repeat(65_536)}${'c'.repeat(65_537)}${'€'.repeat(30_000)}d`
  expect(Bun.hash(socket.said())).toBe(Bun.hash(Buffer.from(all).toString('latin1')))
})

test('nothing is kept for a socket that is closed', () => {
  const socket = { ...fakeSocket(), write: () => -1 }
  const out = outputTo(socket)
  out.text('lost')
  out.flush()
  expect([out.isFull, out.unsentBytes, out.takeSentBytes()]).toEqual([false, 0, 0])
})

test.each([0, 3, 9, 10, 80_000, 100_009, 100_010, 300_000])(
  'a long part is sent with what was buffered, and %p bytes of it at first',
  (room) => {
    const socket = fakeSocket()
    const writes = countWrites(socket)
    socket.room = room
    const out = outputTo(socket)
    out.prefix('0123456789')
    out.value(Buffer.alloc(100_000, 'x'))
    expect(writes()).toBe(1)
    expect(out.unsentBytes).toBe(Math.max(100_010 - room, 0))
    const other = outputTo(fakeSocket())
    other.text('y'.repeat(200))
    other.flush()
    if (out.isFull) out.bytes(Buffer.from('last'))
    socket.room = Number.POSITIVE_INFINITY
    out.drained()
    const last = room < 100_010 ? 'last' : ''
    expect(socket.said()).toBe(`0123456789${'x'.repeat(100_000)}${last}`)
    expect([out.isFull, out.takeSentBytes()]).toEqual([false, 100_010 + last.length])
  },
)
