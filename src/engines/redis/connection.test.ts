import { afterEach, expect, test } from 'bun:test'
import type { Socket, TCPSocketListener } from 'bun'
import { manualTimers } from '../../../test/support/manual-timers.ts'
import {
  type ClosedReason,
  type ConnectionOptions,
  RedisConnection,
  type ServerGreeting,
} from './connection.ts'
import { ErrorReply, type RedisCommand, type Reply, runIdArgument } from './resp.ts'

/** A server that says what a test wants, and the connection to it. */

const greeting = '%3\r\n+version\r\n+7.2.4\r\n+mode\r\n+cluster\r\n+role\r\n+replica\r\n'
const timeoutMs = 1000

interface Peer {
  readonly listener: TCPSocketListener<unknown>
  /** All that clients sent. */
  received: string
}

const open: { stop(): void }[] = []
afterEach(() => {
  for (const one of open.splice(0)) one.stop()
})

/** Listens, and calls `respond` with the commands of each packet, the greeting aside. */
function listen(respond: (socket: Socket<unknown>, received: string) => void, hello = greeting): Peer {
  const peer: Peer = {
    received: '',
    listener: Bun.listen({
      hostname: '127.0.0.1',
      port: 0,
      socket: {
        data(socket, bytes) {
          const text = bytes.toString('latin1')
          peer.received += text
          if (text.includes('HELLO')) socket.write(hello)
          else respond(socket, text)
        },
      },
    }),
  }
  open.push({ stop: () => peer.listener.stop(true) })
  return peer
}

interface Client {
  readonly connection: RedisConnection
  readonly timers: ReturnType<typeof manualTimers>
  readonly greetings: ServerGreeting[]
  readonly pushed: (readonly Reply[])[]
  readonly closed: Promise<ClosedReason>
  /** Resolves with the reply, or with `sent` or `not sent` when there is none. */
  send(...command: RedisCommand): Promise<Reply>
}

function connectTo({ listener }: Peer, options: Partial<ConnectionOptions> = {}): Client {
  const timers = manualTimers()
  const { promise: closed, resolve: onClosed } = Promise.withResolvers<ClosedReason>()
  const greetings: ServerGreeting[] = []
  const pushed: (readonly Reply[])[] = []
  const connection = new RedisConnection({
    address: { host: '127.0.0.1', port: listener.port },
    user: null,
    password: null,
    tls: null,
    timeoutMs,
    timers,
    onGreeting: (one) => void greetings.push(one),
    onPush: (message) => void pushed.push(message),
    onClosed,
    ...options,
  })
  open.push({ stop: () => connection.cut('the test has ended') })
  return {
    connection,
    timers,
    greetings,
    pushed,
    closed,
    send: (...command) =>
      new Promise((resolve) => {
        connection.send({
          command,
          replied: resolve,
          lost: (isSent) => resolve(isSent ? 'sent' : 'not sent'),
        })
      }),
  }
}

test('commands of a tick share a packet, and replies go to them in their order', async () => {
  const packets: string[] = []
  const peer = listen((socket, text) => {
    packets.push(text)
    socket.write('+one\r\n$3\r\ntwo\r\n-ERR three\r\n')
  })
  const client = connectTo(peer)
  expect(await Promise.all([client.send('A'), client.send('B', 'x'), client.send('C')])).toEqual([
    'one',
    Buffer.from('two'),
    new ErrorReply('ERR three'),
  ])
  expect(packets).toEqual(['*1\r\n$1\r\nA\r\n*2\r\n$1\r\nB\r\n$1\r\nx\r\n*1\r\n$1\r\nC\r\n'])
  expect(client.greetings).toEqual([{ version: '7.2.4', isCluster: true, isPrimary: false }])
})

test('it logs in before it sends anything', async () => {
  const peer = listen((socket) => socket.write('+OK\r\n'))
  const client = connectTo(peer, { user: 'kvist', password: 'sesame' })
  await client.send('GET')
  const hello =
    '*7\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$5\r\nkvist\r\n$6\r\nsesame\r\n$7\r\nSETNAME\r\n$5\r\nkvist\r\n'
  expect(peer.received).toBe(`${hello}*1\r\n$3\r\nGET\r\n`)
})

test('a connection that sends the run id of its server learns it before it sends anything else', async () => {
  const runId = 'a'.repeat(40)
  const info = `# Server\r\nrun_id:${runId}\r\n`
  const peer = listen((socket, text) => {
    socket.write(text.includes('INFO') ? `=${info.length + 4}\r\ntxt:${info}\r\n` : '+OK\r\n')
  })
  const client = connectTo(peer, { sendsRunId: true })
  expect(await client.send('EVALSHA', runIdArgument)).toBe('OK')
  expect(peer.received).toEndWith(`*2\r\n$7\r\nEVALSHA\r\n$40\r\n${runId}\r\n`)
  expect(client.greetings).toHaveLength(1)
})

test('a server that does not say which run it is cannot be written to', async () => {
  const peer = listen((socket) => socket.write("-NOPERM no permissions to run the 'info' command\r\n"))
  const client = connectTo(peer, { sendsRunId: true })
  expect(await client.send('EVALSHA', runIdArgument)).toBe('not sent')
  expect(await client.closed).toMatchObject({
    isRefused: true,
    text: expect.stringContaining('INFO: NOPERM'),
  })
})

test.each([
  ['-NOAUTH HELLO must be called with the client already authenticated\r\n', 'asks for a password'],
  [
    '-WRONGPASS invalid username-password pair or user is disabled.\r\n',
    'does not accept this user and password',
  ],
  ['-NOPROTO unsupported protocol version\r\n', 'does not speak RESP3'],
  ['-ERR unknown command\r\n', 'the server refused: ERR unknown command'],
])('a server that says %p is of no use', async (hello, why) => {
  const client = connectTo(
    listen(() => {}, hello),
    { password: 'sesame' },
  )
  const sent = client.send('GET')
  const { text, isRefused } = await client.closed
  expect(isRefused).toBe(true)
  expect(text).toContain(why)
  expect(text).not.toContain('sesame')
  expect(await sent).toBe('not sent')
})

test('a server that closes within a reply leaves it open what was done', async () => {
  const peer = listen((socket) => {
    socket.write('+OK\r\n$10\r\nhal')
    socket.flush()
    socket.end()
  })
  const client = connectTo(peer)
  expect(await Promise.all([client.send('A'), client.send('B'), client.send('C')])).toEqual([
    'OK',
    'sent',
    'sent',
  ])
  expect((await client.closed).isTimeout).toBe(false)
  expect(await client.send('D')).toBe('not sent')
})

test.each([
  ['bytes that are no RESP', 'HTTP/1.1 400 Bad Request\r\n', 'not RESP'],
  ['a length beyond all limits', '$99999999999\r\n', 'more than this client accepts'],
  ['more replies than commands', '+OK\r\n+OK\r\n', 'a reply to nothing'],
])('%s end the connection', async (_name, reply, why) => {
  const client = connectTo(listen((socket) => socket.write(reply)))
  void client.send('A')
  expect((await client.closed).text).toContain(why)
})

test('a server that owes a reply and is silent is cut off, and one that owes nothing is asked', async () => {
  const peer = listen((socket, text) => {
    if (text.includes('PING')) socket.write('+PONG\r\n')
  })
  const client = connectTo(peer)
  // A reply of another command shows that the connection is open.
  while (client.greetings.length === 0) await Bun.sleep(1)
  client.timers.pass(5 * timeoutMs)
  expect(client.connection.isClosed).toBe(false)
  await Bun.sleep(0)
  while (!peer.received.includes('PING')) await Bun.sleep(1)

  const sent = client.send('A')
  while (!peer.received.includes('$1\r\nA')) await Bun.sleep(1)
  client.timers.pass(timeoutMs)
  expect(client.connection.isClosed).toBe(false)
  client.timers.pass(timeoutMs / 2)
  expect(client.connection.isClosed).toBe(true)
  expect(await sent).toBe('sent')
  expect(await client.closed).toMatchObject({ isTimeout: true, isRefused: false })
  expect(client.timers.running()).toBe(0)
})

test('a server that accepts and says nothing is cut off', async () => {
  const client = connectTo(listen(() => {}, ''))
  const sent = client.send('A')
  client.timers.pass(2 * timeoutMs)
  expect(await sent).toBe('not sent')
  expect((await client.closed).isTimeout).toBe(true)
})

test('a port on which nothing listens is reported at once', async () => {
  const peer = listen(() => {})
  peer.listener.stop(true)
  const client = connectTo(peer)
  expect(await client.send('A')).toBe('not sent')
  expect((await client.closed).text).toContain('cannot connect')
})

test('of commands for a server that stops reading, only one is in memory beyond the socket', async () => {
  const value = Buffer.alloc(1024 * 1024)
  const client = connectTo(listen((socket) => socket.pause()))
  while (client.greetings.length === 0) await Bun.sleep(1)
  const sent = Array.from({ length: 200 }, () => client.send('SET', 'a', value))
  await Bun.sleep(50)
  expect(client.connection.unsentBytes).toBeLessThan(2 * value.length)
  client.connection.cut('enough')
  const ends = await Promise.all(sent)
  expect(ends[0]).toBe('sent')
  expect(ends.at(-1)).toBe('not sent')
  expect(ends.lastIndexOf('sent')).toBe(ends.indexOf('not sent') - 1)
})

test('a command that did not leave whole cannot have been done', async () => {
  const client = connectTo(listen((socket) => socket.pause()))
  while (client.greetings.length === 0) await Bun.sleep(1)
  const sent = client.send('SET', 'a', Buffer.alloc(64 * 1024 * 1024))
  await Bun.sleep(20)
  expect(client.connection.unsentBytes).toBeGreaterThan(0)
  client.connection.cut('enough')
  expect(await sent).toBe('not sent')
})

test('messages are reported, and a subscription is confirmed by one', async () => {
  const confirmation = '>3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n'
  const message = '>3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n'
  const moved = '>3\r\n$12\r\nsunsubscribe\r\n$1\r\nd\r\n:0\r\n'
  const peer = listen((socket) => socket.write(`${message}${moved}+OK\r\n${confirmation}${message}+OK\r\n`))
  const client = connectTo(peer)
  const subscribed = new Promise<Reply>((resolve) => {
    const first = client.send('A')
    client.connection.send({
      command: ['SSUBSCRIBE', 'c'],
      isSubscription: true,
      replied: resolve,
      lost() {},
    })
    void first
  })
  const last = client.send('B')
  expect(await subscribed).toEqual([Buffer.from('ssubscribe'), Buffer.from('c'), 1])
  expect(await last).toBe('OK')
  expect(client.pushed.map(([kind]) => String(kind))).toEqual(['smessage', 'sunsubscribe', 'smessage'])
})
