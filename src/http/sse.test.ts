import { afterEach, beforeEach, expect, jest, test } from 'bun:test'
import { noConnection } from '../../test/support/connection.ts'
import { commentFrame, eventFrame, eventStreams, type FrameSource } from './sse.ts'
import type { Connection, LongLivedResponse } from './wire/client-connection.ts'
import type { BodyWriter } from './wire/response.ts'
import { isStreamed } from './wire/response-writer.ts'

/** Streams of events without a server: a source and a client of the tests, and time that the tests move on. */

beforeEach(() => jest.useFakeTimers())
afterEach(() => jest.useRealTimers())

const heartbeatMs = 6000
const patience = 3

interface Opened {
  /** What the client was sent. */
  readonly sent: string[]
  /** What was done to the connection and the source, in order. */
  readonly done: string[]
  /** What the source gives next; null when there is none of it left. */
  readonly frames: (Uint8Array | Promise<Uint8Array | null> | Error)[]
  /** The source has something new. */
  wake(): void
  /** The client has taken what it was sent. */
  pull(): void
  /** The client has gone. */
  cancel(): void
  /** The server stops. */
  end(): void
  /** Whether the client takes more at once after a part. */
  takesMore: boolean
}

function open(streams = eventStreams({ heartbeatMs, patience })): Opened {
  const done: string[] = []
  const sent: string[] = []
  const frames: Opened['frames'] = []
  let registered: LongLivedResponse | null = null
  let wake = () => {}
  const connection: Connection = {
    ...noConnection,
    disableTimeout: () => void done.push('disableTimeout'),
    abort: () => void done.push('abort'),
    reportError: (error) => void done.push(`error: ${error}`),
    register(response) {
      registered = response
    },
    unregister: (response) => void done.push(response === registered ? 'unregister' : 'unregister another'),
  }
  const source: FrameSource = {
    next() {
      const frame = frames.shift() ?? null
      if (frame instanceof Error) throw frame
      return frame
    },
    heartbeat: () => Buffer.from('beat'),
    close: () => void done.push('close'),
  }
  const { body } = streams.respond(connection, (woken) => {
    wake = woken
    return source
  })
  if (!isStreamed(body)) throw new Error('it is no stream')
  const to: BodyWriter = {
    write(part) {
      sent.push(Buffer.from(part as string).toString())
      return one.takesMore
    },
    end: () => void done.push('end'),
    abort: () => void done.push('cut'),
  }
  const one: Opened = {
    sent,
    done,
    frames,
    wake: () => wake(),
    pull: () => body.pull(to),
    cancel: () => body.cancel(),
    end: () => registered?.end(),
    takesMore: true,
  }
  return one
}

const bytes = (text: string) => Buffer.from(text)
const ticks = async () => {
  for (let i = 0; i < 5; i++) await Promise.resolve()
}

test('frames have their id, unless it is empty', () => {
  expect(eventFrame('put', '7', '{}')).toBe('event: put\nid: 7\ndata: {}\n\n')
  expect(eventFrame('reset', '', '{}')).toBe('event: reset\ndata: {}\n\n')
  expect(commentFrame('heartbeat', '7')).toBe(': heartbeat\nid: 7\n\n')
})

test('the source is asked when the client has taken what it was sent, and only then', () => {
  const one = open()
  expect(one.done).toEqual(['disableTimeout'])
  one.takesMore = false
  one.frames.push(bytes('a'), bytes('b'))
  one.wake()
  expect(one.sent).toEqual([])
  one.pull()
  one.wake()
  expect(one.sent).toEqual(['a'])
  one.takesMore = true
  one.pull()
  expect(one.sent).toEqual(['a', 'b'])
  one.frames.push(bytes('c'))
  one.wake()
  expect(one.sent).toEqual(['a', 'b', 'c'])
})

test('what is large goes out in pieces of 64 KiB, each when there is room', () => {
  const one = open()
  one.takesMore = false
  one.frames.push(bytes('x'.repeat(65_536 * 2 + 1)), bytes('next'))
  for (let i = 1; i <= 4; i++) {
    one.pull()
    expect(one.sent).toHaveLength(i)
  }
  expect(one.sent.map(({ length }) => length)).toEqual([65_536, 65_536, 1, 4])
})

test('a source that reads is asked again when it has called meanwhile, and is not asked twice at once', async () => {
  const one = open()
  let give = (_frames: Uint8Array | null) => {}
  one.frames.push(new Promise((resolve) => (give = resolve)), bytes('b'))
  one.pull()
  one.wake()
  expect(one.frames).toHaveLength(1)
  give(null)
  await ticks()
  expect(one.sent).toEqual(['b'])
  one.frames.push(Promise.resolve(bytes('c')), bytes('d'))
  one.wake()
  await ticks()
  expect(one.sent).toEqual(['b', 'c', 'd'])
})

test('a source that has nothing and did not call is left alone', async () => {
  const one = open()
  one.frames.push(Promise.resolve(null), bytes('not asked for'))
  one.pull()
  await ticks()
  expect(one.sent).toEqual([])
})

test('each stream has one heartbeat in its time, and none while its client takes nothing', () => {
  const streams = eventStreams({ heartbeatMs, patience })
  const opened = Array.from({ length: 70 }, () => open(streams))
  for (const one of opened) one.pull()
  for (let times = 1; times <= 3; times++) {
    jest.advanceTimersByTime(heartbeatMs)
    for (const { sent } of opened) expect(sent).toEqual(Array(times).fill('beat'))
  }
  opened[0]!.takesMore = false
  jest.advanceTimersByTime(2 * heartbeatMs)
  expect(opened.slice(0, 2).map(({ sent }) => sent.length)).toEqual([4, 5])
})

test('a client that takes nothing for so many heartbeats is cut, at the last of them', () => {
  const one = open()
  one.takesMore = false
  one.frames.push(bytes('a'), bytes('b'))
  one.pull()
  jest.advanceTimersByTime((patience - 1) * heartbeatMs)
  one.pull()
  jest.advanceTimersByTime((patience - 1) * heartbeatMs)
  expect(one.done).not.toContain('abort')
  jest.advanceTimersByTime(heartbeatMs)
  expect(one.done).toEqual(['disableTimeout', 'abort'])
})

test.each([
  ['its client goes', (one: Opened) => one.cancel(), ['unregister', 'close']],
  ['the server stops', (one: Opened) => one.end(), ['close', 'unregister', 'end']],
])(
  'when %s the stream is over: no beat, no timer, and the source is closed once',
  async (_why, end, done) => {
    const streams = eventStreams({ heartbeatMs, patience })
    const [one, other] = [open(streams), open(streams)]
    for (const each of [one, other]) each.pull()
    expect(jest.getTimerCount()).toBe(1)
    let give = (_frames: Uint8Array | null) => {}
    one.frames.push(new Promise((resolve) => (give = resolve)))
    one.wake()
    end(one)
    end(one)
    one.frames.push(bytes('late'))
    one.wake()
    give(bytes('too late'))
    await ticks()
    expect(one.done.slice(0, 1 + done.length)).toEqual(['disableTimeout', ...done])
    expect(one.done.filter((what) => what === 'close')).toHaveLength(1)
    jest.advanceTimersByTime(2 * heartbeatMs)
    expect([one.sent, other.sent]).toEqual([[], ['beat', 'beat']])
    other.cancel()
    expect(jest.getTimerCount()).toBe(0)
    const next = open(streams)
    next.pull()
    jest.advanceTimersByTime(heartbeatMs)
    expect(next.sent).toEqual(['beat'])
    next.cancel()
  },
)

test('when the server stops, a client that has not taken all yet has its end with the next pull', () => {
  const one = open()
  one.takesMore = false
  one.frames.push(bytes('x'.repeat(70_000)))
  one.pull()
  one.end()
  expect(one.done).toEqual(['disableTimeout', 'close'])
  one.pull()
  expect(one.done).toEqual(['disableTimeout', 'close', 'unregister', 'end'])
  expect(one.sent).toHaveLength(1)
})

test('a source that fails ends the stream, and the log says why, once', async () => {
  for (const failure of [new Error('broken'), Promise.reject(new Error('broken'))]) {
    const one = open()
    one.frames.push(failure)
    one.pull()
    await ticks()
    expect(one.done).toEqual(['disableTimeout', 'error: Error: broken', 'close', 'unregister', 'end'])
  }
})
