import { type ConnectionLimits, ConnectionRegistry } from './connections.ts'
import { startTicks, type TickScheduler } from './tick.ts'

/** What all servers of a process share, whatever their protocol. */
export interface Sockets {
  readonly registry: ConnectionRegistry
  readonly ticks: TickScheduler
}

const most = Number.POSITIVE_INFINITY

/** Without limits, there may be any number of connections. `onError` is called with bugs. */
export function startSockets(
  onError: (error: unknown) => void,
  limits: Partial<ConnectionLimits> = {},
): Sockets {
  return {
    registry: new ConnectionRegistry({ maxConnections: most, maxPerAddress: most, onFull() {}, ...limits }),
    ticks: startTicks(onError),
  }
}
