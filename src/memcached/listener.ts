import { bearerCheck } from '../auth/token.ts'
import type { Database } from '../core/database.ts'
import type { Durability } from '../core/engine.ts'
import { everything } from '../core/list.ts'
import { type MemcachedCounts, memcachedCounts } from '../telemetry/memcached-counts.ts'
import { startChanges } from './change.ts'
import { Connection } from './connection.ts'
import { flushClock } from './flush-clock.ts'
import type { Port, PortSettings } from './port.ts'
import { startWriter } from './writer.ts'

/** The memcached text protocol over one collection (docs/memcached.md; docs/design/memcached.md says why so). */
export interface MemcachedOptions extends PortSettings {
  readonly db: Database
  readonly collection: string
  readonly durability: Durability
  /** What clients must log in with; null lets everybody in. */
  readonly token: string | null
  readonly now: () => number
  /** Hears of errors that are kvist's fault, not the client's. */
  readonly onError: (error: unknown) => void
}

export interface MemcachedServer {
  /** As `host:port`. */
  readonly address: string
  readonly counts: MemcachedCounts
  openConnections(): number
  /** What the connections hold for their clients: see Port. */
  heldBytes(): number
  /** Takes no more connections and commands, lets what has come in finish within the time, then cuts what is left. */
  stop(timeoutMs: number): Promise<void>
}

/** A client that does not close when it is told that this is the end is cut. */
const lingerSeconds = 5
const lingerAtStopMs = 500
/** A peer that vanished without a word is found out. */
const keepAliveMs = 60_000
const tickMs = 1000

export function listenMemcached(options: MemcachedOptions): MemcachedServer {
  const { maxConnections } = options
  const connections = new Set<Connection>()
  /** Those that were one too many, until they are gone. */
  const rejected = new Set<Connection>()
  const server = bind(options, {
    open(socket) {
      socket.setNoDelay(true)
      socket.setKeepAlive(true, keepAliveMs)
      const connection = new Connection(port, socket)
      socket.data = connection
      if (connections.size < maxConnections) {
        port.counts.total_connections++
        connections.add(connection)
      } else {
        port.counts.rejected_connections++
        rejected.add(connection)
        connection.turnAway('ERROR Too many open connections')
      }
    },
    data: ({ data: connection }, bytes) => connection.receive(bytes),
    drain: ({ data: connection }) => connection.drained(),
    end: ({ data: connection }) => connection.endInput(),
    close({ data: connection }) {
      connections.delete(connection)
      rejected.delete(connection)
      connection.gone()
    },
    error: (_socket, error) => options.onError(error),
  })
  const port = portOf(options, server.port, () => connections.size)

  const timer = setInterval(() => {
    port.tick++
    for (const connection of [...connections, ...rejected]) cutIfSilent(connection, port)
  }, tickMs)
  timer.unref()

  return {
    address: `${options.host.includes(':') ? `[${options.host}]` : options.host}:${server.port}`,
    counts: port.counts,
    openConnections: () => connections.size,
    heldBytes: () => port.heldBytes,
    async stop(timeoutMs) {
      server.stop()
      port.flushes.stop()
      await finish([...connections], timeoutMs)
      clearInterval(timer)
      for (const connection of [...connections, ...rejected]) connection.terminate()
    },
  }
}

type Handlers = Bun.SocketHandler<Connection, 'buffer'>

function bind({ host, port }: MemcachedOptions, socket: Handlers): Bun.TCPSocketListener<Connection> {
  try {
    // Half open: a client that has sent its last command, and says so, still wants the answers.
    return Bun.listen({ hostname: host, port, allowHalfOpen: true, socket })
  } catch (error) {
    throw new Error(`cannot listen for memcached clients on ${host}, port ${port}`, { cause: error })
  }
}

function portOf(options: MemcachedOptions, boundPort: number, openConnections: () => number): Port {
  const { db, collection, durability, token, now, onError, ...settings } = options
  return {
    db,
    collection,
    durability,
    now,
    counts: memcachedCounts(),
    countsAtReset: new Map(),
    flushes: flushClock(() => db.drop(collection, everything), now, onError),
    writer: startWriter(db, durability),
    change: startChanges(db, collection, durability),
    settings: { ...settings, port: boundPort },
    mayEnter: token === null ? null : tokenCheck(token),
    openConnections,
    onError,
    tick: 0,
    heldBytes: 0,
  }
}

function tokenCheck(token: string): (given: string) => boolean {
  const isRight = bearerCheck(token)
  return (given) => isRight(`Bearer ${given}`)
}

function cutIfSilent(connection: Connection, { tick, counts, settings }: Port): void {
  const silentSeconds = tick - connection.heardAtTick
  const waitsFor = connection.waitsFor()
  if (waitsFor === 'close' && silentSeconds > lingerSeconds) connection.terminate()
  if ((waitsFor === 'reading' || waitsFor === 'rest') && silentSeconds > settings.stallTimeoutSeconds) {
    counts.idle_kicks++
    connection.terminate()
  }
  const { idleTimeoutSeconds } = settings
  if (waitsFor === 'command' && idleTimeoutSeconds > 0 && silentSeconds > idleTimeoutSeconds) {
    counts.idle_kicks++
    connection.endInput()
  }
}

/** Resolves when everything is answered and the clients had a moment to close, or when the time is over. */
async function finish(connections: readonly Connection[], timeoutMs: number): Promise<void> {
  for (const connection of connections) connection.endInput()
  const giveUpAtMs = performance.now() + timeoutMs
  let lingerUntilMs = Number.POSITIVE_INFINITY
  for (;;) {
    const nowMs = performance.now()
    if (nowMs > giveUpAtMs || nowMs > lingerUntilMs) return
    if (connections.every((connection) => connection.waitsFor() === 'close')) {
      if (connections.every((connection) => connection.isGone)) return
      lingerUntilMs = Math.min(lingerUntilMs, nowMs + lingerAtStopMs)
    }
    await Bun.sleep(10)
  }
}
