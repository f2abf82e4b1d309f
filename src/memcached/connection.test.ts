import { describe, expect, test } from 'bun:test'
import { authenticatorOf } from '../../test/support/authenticator.ts'
import { fakeSocket } from '../../test/support/fake-socket.ts'
import { limitCounts } from '../auth/client-limits.ts'
import { anyone, root } from '../auth/principal.ts'
import { readQueue } from '../core/read-queue.ts'
import { noSettings } from '../core/settings.ts'
import { startTicks } from '../net/tick.ts'
import { memcachedCounts } from '../telemetry/memcached-counts.ts'
import { AccessTable } from './access-table.ts'
import { MemcachedConnection } from './connection.ts'
import type { MemcachedState, MemcachedStore } from './state.ts'

/** One connection over a store that has nothing, with a clock that the test moves. What a port does is in listener.test.ts. */

const never = () => {
  throw new Error('not expected here')
}

const emptyStore: MemcachedStore = {
  get: () => null,
  readMany: never,
  visitMany: () => null,
  onExpiredRead() {},
  settings: () => noSettings,
  collections: () => [],
  write: never,
  update: never,
  drop: never,
}

function connect({
  idleTimeoutSeconds = 10,
  stallTimeoutSeconds = 3,
  authenticator = authenticatorOf(null),
} = {}) {
  const clock = { seconds: 100 }
  const ticks = startTicks(never)
  const socket = fakeSocket()
  const server: MemcachedState = {
    db: emptyStore,
    collection: 'cache',
    durability: 'full',
    now: () => 0,
    clock,
    ticks,
    reads: readQueue(
      { cached: () => undefined, readMany: (refs) => refs.map(() => null), readUncached: never },
      ticks.scheduleWork,
    ),
    counts: memcachedCounts(),
    accesses: new AccessTable(clock),
    countsAtReset: new Map(),
    flushes: { now: never, at: never, stop: never },
    writes: { add: never },
    change: never,
    settings: {
      host: '',
      version: '1',
      idleTimeoutSeconds,
      stallTimeoutSeconds,
      maxConnections: 10,
      maxValueBytes: 1_000_000,
      maxHeldBytes: 1_000_000,
    },
    authenticator,
    audit: null,
    limits: null,
    limitCounts: limitCounts(),
    port: () => 0,
    openConnections: () => 1,
    onError: never,
    onForeignClient: never,
    heldBytes: 0,
  }
  const connection = new MemcachedConnection(server, socket)
  function send(text: string): void {
    connection.receive(Buffer.from(text))
    connection.process()
  }
  function pass(seconds: number): void {
    for (let i = 0; i < seconds; i++) {
      clock.seconds++
      connection.checkTimeouts()
    }
  }
  return { connection, socket, server, send, pass }
}

test('a client whose token has ended is cut, and nothing more is executed, even before its socket has closed', () => {
  const { connection, socket, server, send } = connect({ authenticator: authenticatorOf('secret') })
  send('set any 0 0 9\r\nme secret\r\nmn\r\n')
  connection.endFor(anyone)
  expect(socket.done).toEqual([])
  connection.receive(Buffer.from('mn\r\n'))
  connection.endFor(root)
  connection.process()
  expect(socket.done[0]).toBe('terminate')
  expect(server.counts.cmd_meta).toBe(1)
})

describe('a client that is silent', () => {
  test('between commands is disconnected whole, without waiting for it to close', () => {
    const { socket, server, send, pass } = connect()
    send('mn\r\n')
    pass(10)
    expect(socket.done).toEqual([])
    pass(1)
    expect(socket.done).toEqual(['end'])
    expect(server.counts.idle_kicks).toBe(1)
  })

  test('between commands is left alone where nothing limits that', () => {
    const { socket, send, pass } = connect({ idleTimeoutSeconds: 0 })
    send('mn\r\n')
    pass(10_000)
    expect(socket.done).toEqual([])
  })

  test('in the middle of a command, with responses unread, or before its login is cut', () => {
    const half = connect()
    half.send('set k 0 0 10\r\nab')
    const deaf = connect()
    deaf.socket.room = 2
    deaf.send('mn\r\n')
    const stranger = connect({ authenticator: authenticatorOf('secret'), idleTimeoutSeconds: 0 })
    stranger.send('mn\r\n')
    for (const { socket, server, pass } of [half, deaf, stranger]) {
      pass(3)
      expect(socket.done).toEqual([])
      pass(1)
      expect([socket.done, server.counts.idle_kicks]).toEqual([['terminate'], 1])
    }
  })

  test('after the end is cut', () => {
    const { socket, server, send, pass } = connect({ idleTimeoutSeconds: 0 })
    send('quit\r\n')
    expect(socket.done).toEqual(['shutdown'])
    pass(5)
    expect(socket.done).toEqual(['shutdown'])
    pass(1)
    expect([socket.done, server.counts.idle_kicks]).toEqual([['shutdown', 'terminate'], 0])
  })

  test('is not while it takes what it is sent', () => {
    const { connection, socket, send, pass } = connect()
    socket.room = 0
    send('mn\r\nmn\r\n')
    for (let i = 0; i < 4; i++) {
      pass(3)
      socket.room = 1
      connection.drained()
    }
    expect([socket.said(), socket.done]).toEqual(['MN\r\n', []])
  })
})

describe('a connection reports what closing it would interrupt', () => {
  test.each([
    ['new', 'nothing was asked for yet', '', {}],
    ['new', 'it has begun a first command', 'mg k', {}],
    ['idle', 'it was served', 'mn\r\n', {}],
    ['busy', 'the value of a first command comes in', 'set k 0 0 10\r\nab', {}],
    ['busy', 'it is in the middle of a later command', 'mn\r\nset k 0 0 10\r\nab', {}],
    [
      'new',
      'it has not logged in',
      'set k 0 0 1\r\n1\r\nmn\r\n',
      { authenticator: authenticatorOf('secret') },
    ],
    [
      'idle',
      'it has logged in and was served',
      'set k 0 0 9\r\nme secret\r\nmn\r\n',
      { authenticator: authenticatorOf('secret') },
    ],
    ['idle', 'all is said', 'mn\r\nquit\r\n', {}],
  ] as const)('%s when %s', (activity, _when, input, options) => {
    const { connection, send } = connect(options)
    if (input !== '') send(input)
    expect(connection.activity).toBe(activity)
  })

  test('busy when the client does not read', () => {
    const { connection, socket, send } = connect()
    send('mn\r\n')
    socket.room = 0
    send('mn\r\n')
    expect(connection.activity).toBe('busy')
  })
})
