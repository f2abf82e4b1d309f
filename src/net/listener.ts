import { monotonicMs } from '../runtime/clock.ts'
import { garbageMeter } from '../runtime/garbage.ts'
import type { ConnectionGroup, ConnectionRegistry, ProtocolConnection } from './connections.ts'
import { reject } from './rejected.ts'
import type { Socket, SocketEvents } from './socket.ts'

export interface ListenOptions {
  readonly hostname: string
  /** 0 chooses a free one. */
  readonly port: number
  /** The name of the clients in error messages. */
  readonly clients: string
  readonly registry: ConnectionRegistry
  /** Limit of this listener; the registry has limits of its own. */
  readonly maxConnections?: number
  /** Creates the connection of an accepted socket. */
  readonly connect: (socket: Socket) => ProtocolConnection
  /** Returns the text sent to a client that is rejected for lack of room. */
  readonly rejection: () => string
  /** Called with errors of the protocol, which are bugs. */
  readonly onError: (error: unknown) => void
}

export interface Listener {
  /** As `host:port`, with an IPv6 address in brackets. */
  readonly address: string
  readonly port: number
  readonly connections: Readonly<ConnectionGroup>
  /** Accepts no more connections, lets the open ones finish within the time, then closes the rest. */
  stop(timeoutMs: number): Promise<void>
}

/** The keep-alive interval, which detects clients that vanished without closing. */
const keepAliveMs = 60_000
/** The number of closed connections after which garbage is collected. */
const garbageConnections = 1000
const pollMs = 10
/** The time that clients have at a stop to read the last output and to close. */
const lingerMs = 500

type Handlers = Bun.SocketHandler<SocketEvents, 'buffer'>

/** Starts listening. Throws an error of one line when the port cannot be bound. */
export function openListener(options: ListenOptions): Listener {
  const { hostname, registry, maxConnections, connect, rejection, onError } = options
  const group = registry.group(maxConnections)
  const garbage = garbageMeter(garbageConnections)
  const server = bind(options, {
    open(socket) {
      const { remoteAddress } = socket
      if (!registry.admit(group, remoteAddress)) {
        socket.data = reject(socket, rejection())
        return
      }
      socket.setNoDelay(true)
      socket.setKeepAlive(true, keepAliveMs)
      const connection = connect(socket)
      socket.data = connection
      registry.add(connection, group, remoteAddress)
    },
    data: ({ data: connection }, bytes) => connection.receive(bytes),
    drain: ({ data: connection }) => connection.drained(),
    end: ({ data: connection }) => connection.halfClosed(),
    close({ data: connection }) {
      registry.remove(connection)
      connection.closed()
      garbage.add(1)
    },
    error: (_socket, error) => onError(error),
  })

  return {
    address: `${hostname.includes(':') ? `[${hostname}]` : hostname}:${server.port}`,
    port: server.port,
    connections: group,
    async stop(timeoutMs) {
      server.stop()
      for (const connection of registry.of(group)) connection.finish()
      const closeAtMs = monotonicMs() + timeoutMs
      await pollUntil(closeAtMs, () => registry.of(group).every(({ isFinished }) => isFinished))
      await pollUntil(Math.min(closeAtMs, monotonicMs() + lingerMs), () => group.open === 0)
      server.stop(true)
    },
  }
}

function bind(
  { hostname, port, clients }: ListenOptions,
  socket: Handlers,
): Bun.TCPSocketListener<SocketEvents> {
  try {
    // Half-open: a client that has closed its side after its last request still reads the response.
    return Bun.listen({ hostname, port, exclusive: true, allowHalfOpen: true, socket })
  } catch (error) {
    const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
    const why = isTaken ? ', which is in use' : ''
    throw new Error(`cannot listen for ${clients} on ${hostname}, port ${port}${why}`, { cause: error })
  }
}

async function pollUntil(endMs: number, isDone: () => boolean): Promise<void> {
  while (!isDone() && monotonicMs() < endMs) await Bun.sleep(pollMs)
}
