import { garbageMeter } from './garbage.ts'
import type { Socket } from './socket.ts'

/** One client of a protocol. The listener that accepted it tells it what happens to its socket. */
export interface ProtocolConnection {
  /** The client has sent bytes, which do not change afterwards. */
  receive(bytes: Buffer): void
  /** The socket has room again. */
  drained(): void
  /** The client has closed its side: it sends no more, and still reads. */
  halfClosed(): void
  /** The socket is closed. Called once, last. */
  closed(): void
  /** Called once a second: ends the connection when its client has kept it waiting for too long. */
  checkTimeouts(): void
  /** The server stops: what has come in whole is still answered, then the connection ends. */
  finish(): void
  /** Everything is sent, and the server need not wait for this client. */
  readonly isFinished: boolean
}

export interface ListenOptions {
  readonly hostname: string
  /** 0 takes a free one. */
  readonly port: number
  /** What an error calls those who connect here. */
  readonly clients: string
  /** Starts the protocol on a socket that was accepted. */
  readonly connect: (socket: Socket) => ProtocolConnection
  /** Called once a second, before the connections check their timeouts. */
  readonly onSecond: () => void
  /** Called with errors of the protocol, which are bugs. */
  readonly onError: (error: unknown) => void
}

export interface Listener {
  /** As `host:port`, an IPv6 address in brackets. */
  readonly address: string
  readonly port: number
  openConnections(): number
  /** Accepts no more, lets the connections finish within the time, then closes those that are left. */
  stop(timeoutMs: number): Promise<void>
}

/** Finds out about clients that vanished without closing. */
const keepAliveMs = 60_000
/** Garbage is collected after so many connections. */
const garbageConnections = 1000
const pollMs = 10
/** At a stop, clients may take so long to read the last of what was sent and to close. */
const lingerMs = 500

type Handlers = Bun.SocketHandler<ProtocolConnection, 'buffer'>

/** Listens at once. Throws one line where the port cannot be had. */
export function openListener(options: ListenOptions): Listener {
  const { hostname, connect, onSecond, onError } = options
  const connections = new Set<ProtocolConnection>()
  const garbage = garbageMeter(garbageConnections)
  const server = bind(options, {
    open(socket) {
      socket.setNoDelay(true)
      socket.setKeepAlive(true, keepAliveMs)
      socket.data = connect(socket)
      connections.add(socket.data)
    },
    data: ({ data: connection }, bytes) => connection.receive(bytes),
    drain: ({ data: connection }) => connection.drained(),
    end: ({ data: connection }) => connection.halfClosed(),
    close({ data: connection }) {
      connections.delete(connection)
      connection.closed()
      garbage.add(1)
    },
    error: (_socket, error) => onError(error),
  })
  const timer = setInterval(() => {
    onSecond()
    for (const connection of connections) connection.checkTimeouts()
  }, 1000)
  timer.unref()

  return {
    address: `${hostname.includes(':') ? `[${hostname}]` : hostname}:${server.port}`,
    port: server.port,
    openConnections: () => connections.size,
    async stop(timeoutMs) {
      server.stop()
      for (const connection of connections) connection.finish()
      const closeAtMs = performance.now() + timeoutMs
      await pollUntil(closeAtMs, () => [...connections].every(({ isFinished }) => isFinished))
      await pollUntil(Math.min(closeAtMs, performance.now() + lingerMs), () => connections.size === 0)
      clearInterval(timer)
      server.stop(true)
    },
  }
}

function bind(
  { hostname, port, clients }: ListenOptions,
  socket: Handlers,
): Bun.TCPSocketListener<ProtocolConnection> {
  try {
    // Half open: a client that has sent its last request and closed its side still wants the response.
    return Bun.listen({ hostname, port, exclusive: true, allowHalfOpen: true, socket })
  } catch (error) {
    const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
    const why = isTaken ? ', which is in use' : ''
    throw new Error(`cannot listen for ${clients} on ${hostname}, port ${port}${why}`, { cause: error })
  }
}

async function pollUntil(endMs: number, isDone: () => boolean): Promise<void> {
  while (!isDone() && performance.now() < endMs) await Bun.sleep(pollMs)
}
