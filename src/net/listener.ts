import { monotonicMs } from '../runtime/clock.ts'
import { garbageMeter } from '../runtime/garbage.ts'
import type { ConnectionGroup, ConnectionRegistry, ProtocolConnection } from './connections.ts'
import { reject } from './rejected.ts'
import type { Socket } from './socket.ts'
import {
  type BunSocket,
  type Handlers,
  Handshake,
  type HandshakeFailure,
  type HandshakeOptions,
  type SecureClient,
  upgradedHandlers,
} from './tls/handshake.ts'
import type { TlsSource } from './tls/reload.ts'

export interface ListenOptions {
  readonly hostname: string
  /** 0 chooses a free one. */
  readonly port: number
  /** The name of the clients in error messages. */
  readonly clients: string
  readonly registry: ConnectionRegistry
  /** Limit of this listener; the registry has limits of its own. */
  readonly maxConnections?: number
  /** Missing: without TLS. */
  readonly tls?: ListenTls | undefined
  /** Creates the connection of an accepted socket. */
  readonly connect: (socket: Socket, client: SecureClient) => ProtocolConnection
  /** Returns the text sent to a client that is rejected for lack of room. */
  readonly rejection: () => string
  /** Called with errors of the protocol, which are bugs. */
  readonly onError: (error: unknown) => void
}

export interface ListenTls extends TlsSettings {
  /** The application protocols, the preferred one first, for clients that negotiate one; may be empty. */
  readonly protocols: readonly string[]
  /** Returns the text sent to a client that does not speak TLS. */
  readonly plainTextResponse: () => string
}

/** What all listeners with TLS share. */
export interface TlsSettings {
  readonly source: TlsSource
  readonly maxHandshakes: number
  readonly handshakeTimeoutSeconds: number
  readonly onFailure: (failure: HandshakeFailure) => void
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

/** Starts listening. Throws an error of one line when the port cannot be bound. */
export function openListener(options: ListenOptions): Listener {
  const { hostname, registry, maxConnections, connect, rejection, onError, tls } = options
  const group = registry.group(maxConnections)
  const garbage = garbageMeter(garbageConnections)

  function accept(socket: BunSocket, client: SecureClient): void {
    const { remoteAddress } = socket
    if (!registry.admit(group, remoteAddress)) {
      socket.data = reject(socket, rejection())
      return
    }
    const connection = connect(socket, client)
    socket.data = connection
    registry.add(connection, group, remoteAddress)
  }

  const handlers: Handlers = {
    open(socket) {
      setOptions(socket)
      accept(socket, withoutTls)
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
  }
  const secure = tls === undefined ? null : securely(handlers, { registry, tls, accept })
  const server = bind(options, secure?.handlers ?? handlers)

  return {
    address: `${hostname.includes(':') ? `[${hostname}]` : hostname}:${server.port}`,
    port: server.port,
    connections: group,
    async stop(timeoutMs) {
      server.stop()
      secure?.stopHandshakes()
      for (const connection of registry.of(group)) connection.finish()
      const closeAtMs = monotonicMs() + timeoutMs
      await pollUntil(closeAtMs, () => registry.of(group).every(({ isFinished }) => isFinished))
      await pollUntil(Math.min(closeAtMs, monotonicMs() + lingerMs), () => group.open === 0)
      server.stop(true)
      secure?.terminateAll()
    },
  }
}

const withoutTls: SecureClient = { subject: null, protocol: null }

interface SecureListening {
  readonly registry: ConnectionRegistry
  readonly tls: ListenTls
  readonly accept: (socket: BunSocket, client: SecureClient) => void
}

/** Returns the handlers of accepted sockets that become connections when their handshake is done. */
function securely(handlers: Handlers, { registry, tls, accept }: SecureListening) {
  const { source, maxHandshakes, handshakeTimeoutSeconds, protocols, onFailure, plainTextResponse } = tls
  const group = registry.group(maxHandshakes, 'handshakes')
  /** Upgraded sockets, which the server does not close when it stops. */
  const upgraded = new Set<BunSocket>()
  const options: HandshakeOptions = {
    source,
    clock: registry,
    timeoutSeconds: handshakeTimeoutSeconds,
    protocols,
    onFailure,
    onDone(handshake, socket, client) {
      registry.remove(handshake)
      setOptions(socket)
      accept(socket, client)
    },
    onPlainText(handshake, socket) {
      registry.remove(handshake)
      socket.data = reject(socket, plainTextResponse())
    },
    handlers: upgradedHandlers({
      ...handlers,
      open: (socket) => void upgraded.add(socket),
      close(socket, error) {
        upgraded.delete(socket)
        return handlers.close?.(socket, error)
      },
      error(socket, error) {
        // An error of TLS, such as a record that cannot be decrypted, is the client's; the runtime closes the socket.
        if (!('code' in error && error.code === 'EPROTO')) return handlers.error?.(socket, error)
      },
    }),
  }
  return {
    handlers: {
      ...handlers,
      open(socket: BunSocket) {
        setOptions(socket)
        const { remoteAddress } = socket
        const handshake = new Handshake(options, socket)
        socket.data = handshake
        if (registry.admit(group, remoteAddress)) registry.add(handshake, group, remoteAddress)
        else handshake.close() // it could not read a reason before its handshake
      },
    },
    stopHandshakes() {
      for (const handshake of registry.of(group)) handshake.close()
    },
    terminateAll() {
      for (const socket of upgraded) socket.end()
    },
  }
}

function setOptions(socket: BunSocket): void {
  socket.setNoDelay(true)
  socket.setKeepAlive(true, keepAliveMs)
}

function bind({ hostname, port, clients }: ListenOptions, socket: Handlers) {
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
