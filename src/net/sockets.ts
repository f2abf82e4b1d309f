import { type ConnectionLimits, ConnectionRegistry } from './connections.ts'
import { startTicks, type TickScheduler } from './tick.ts'

/** The state shared by all servers of a process, of any protocol. */
export interface Sockets {
  readonly registry: ConnectionRegistry
  readonly ticks: TickScheduler
}

const most = Number.POSITIVE_INFINITY

/** Creates that state. Without limits, any number of connections is allowed. `onError` is called with bugs. */
export function startSockets(
  onError: (error: unknown) => void,
  limits: Partial<ConnectionLimits> = {},
): Sockets {
  return {
    registry: new ConnectionRegistry({
      maxConnections: most,
      maxPerAddress: most,
      exemptsLoopback: true,
      onFull() {},
      ...limits,
    }),
    ticks: startTicks(onError),
  }
}
