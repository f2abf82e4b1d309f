import type { Authenticator } from '../auth/authenticate.ts'
import { type ClientLimits, type LimitCounts, limitCounts } from '../auth/client-limits.ts'
import type { Database } from '../core/database.ts'
import type { Durability } from '../core/engine.ts'
import { everything } from '../core/list.ts'
import type { ReadQueue } from '../core/read-queue.ts'
import type { ConnectionGroup } from '../net/connections.ts'
import { type Listener, openListener, type TlsSettings } from '../net/listener.ts'
import { onceAMinute } from '../net/once-a-minute.ts'
import type { Sockets } from '../net/sockets.ts'
import type { AuditLog } from '../telemetry/audit-log.ts'
import { type MemcachedCounts, memcachedCounts } from '../telemetry/memcached-counts.ts'
import { AccessTable } from './access-table.ts'
import { CommandAudit } from './audit.ts'
import { startChanges } from './change.ts'
import { MemcachedConnection } from './connection.ts'
import { flushClock } from './flush-clock.ts'
import type { ForeignProtocol, MemcachedSettings, MemcachedState } from './state.ts'
import { startWriteBatcher } from './write-batcher.ts'

/**
 * Options of the memcached text protocol over one collection (docs/memcached.md; the design is in
 * docs/design/memcached.md).
 */
export interface MemcachedOptions extends MemcachedSettings {
  /** 0 chooses a free one. */
  readonly port: number
  readonly db: Database
  readonly collection: string
  readonly durability: Durability
  /** Clients must log in with a token, unless it lets in strangers. */
  readonly authenticator: Authenticator
  /** Missing: writes and refusals leave no trace. */
  readonly audit?: AuditLog
  /** Missing: clients may send any number of commands, and wrong tokens. */
  readonly limits?: ClientLimits
  /** Missing: without TLS. */
  readonly tls?: TlsSettings | undefined
  readonly now: () => number
  /** Called with errors that are kvist's fault, not the client's. */
  readonly onError: (error: unknown) => void
  /** Called at most once a minute when a client is disconnected because it speaks another protocol than this port. */
  readonly onForeignClient: (address: string, speaks: ForeignProtocol) => void
  readonly sockets: Sockets
  /** Missing: reads are batched within this server only. */
  readonly reads?: ReadQueue
}

export interface MemcachedServer {
  /** As `host:port`. */
  readonly address: string
  readonly counts: MemcachedCounts
  readonly connections: Readonly<ConnectionGroup>
  readonly limitCounts: Readonly<LimitCounts>
  /** Returns the bytes that connections hold for their clients: see MemcachedState. */
  heldBytes(): number
  /**
   * Accepts no more connections and commands, lets the received commands finish within the time, then closes the rest.
   */
  stop(timeoutMs: number): Promise<void>
}

/** Starts serving. Throws when the port cannot be bound. */
export function listenMemcached(options: MemcachedOptions): MemcachedServer {
  const { host, port, maxConnections, sockets, tls, onError } = options
  const state = stateOf(options, () => listener)
  const listener = openListener({
    hostname: host,
    port,
    clients: 'memcached clients',
    registry: sockets.registry,
    maxConnections,
    tls: tls && { ...tls, protocols: [], plainTextResponse: () => 'ERROR this port speaks TLS\r\n' },
    connect(socket, { subject }) {
      state.counts.total_connections++
      return new MemcachedConnection(state, socket, subject)
    },
    rejection() {
      state.counts.rejected_connections++
      return 'ERROR Too many open connections\r\n'
    },
    onError,
  })
  options.authenticator.onEnd((principal) => {
    for (const connection of sockets.registry.of(listener.connections)) {
      if (connection instanceof MemcachedConnection) connection.endFor(principal)
    }
  })
  return {
    address: listener.address,
    counts: state.counts,
    connections: listener.connections,
    limitCounts: state.limitCounts,
    heldBytes: () => state.heldBytes,
    stop(timeoutMs) {
      state.flushes.stop()
      return listener.stop(timeoutMs)
    },
  }
}

function stateOf(options: MemcachedOptions, listener: () => Listener): MemcachedState {
  const {
    db,
    collection,
    durability,
    authenticator,
    now,
    audit,
    sockets,
    tls: _,
    limits,
    onError,
    onForeignClient,
    ...settings
  } = options
  const { registry, ticks } = sockets
  const counts = memcachedCounts()
  db.onExpiredRead(collection, () => counts.get_expired++)
  return {
    db,
    collection,
    durability,
    now,
    clock: registry,
    ticks,
    reads: options.reads ?? db.readQueue(ticks.scheduleWork),
    counts,
    accesses: new AccessTable(registry),
    countsAtReset: new Map(),
    flushes: flushClock(() => db.drop(collection, everything), now, onError),
    writes: startWriteBatcher(db, durability, ticks.scheduleWork),
    change: startChanges(db, collection, durability),
    settings,
    authenticator,
    audit: audit === undefined ? null : new CommandAudit(audit, collection),
    limits: limits ?? null,
    limitCounts: limitCounts(),
    port: () => listener().port,
    openConnections: () => listener().connections.open,
    onError,
    onForeignClient: onceAMinute(registry, onForeignClient),
    heldBytes: 0,
  }
}
