import type { Config } from './config.ts'
import type { FullLimit } from './net/connections.ts'
import { connectionCounts } from './net/descriptors.ts'
import { type Sockets, startSockets } from './net/sockets.ts'
import type { Log, LogFields } from './telemetry/log.ts'

/** Starts what all ports of a server share, with the limits on connections of its configuration. */
export function serverSockets(config: Config, log: Log, onError: (error: unknown) => void): Sockets {
  return startSockets(onError, {
    ...connectionCounts(config.maxConnections, config.maxConnectionsPerAddress),
    onFull: (limit) => log.warn(...fullWarning(limit)),
  })
}

/** Returns the log entry about a limit on connections. */
function fullWarning({ of, max, address, isRejected }: FullLimit): [message: string, fields: LogFields] {
  const limits = {
    all: `${max} connections, as many as --max-connections allows`,
    address: `${max} connections from ${address}, as many as --max-connections-per-address allows`,
    listener: `${max} memcached connections, as many as --memcached-max-connections allows`,
    handshakes: `${max} unfinished TLS handshakes`,
  }
  const what = isRejected ? 'none is idle, and new ones are turned away' : 'idle ones are closed for new ones'
  return [`there are ${limits[of]}: ${what}`, { max_connections: max, client: address }]
}
