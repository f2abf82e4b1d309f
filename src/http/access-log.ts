import type { Log } from '../telemetry/log.ts'
import type { Observe } from './observed.ts'
import { requestId } from './request-id.ts'

/** A log can bear no more of a path than this; keys are shorter. */
const maxPathLength = 2048

/** A line for every request. Without the query: there, some dialects carry values. */
export function accessLog(log: Log): Observe {
  return (route) => (request, status, seconds, connection) => {
    const path = request.path.slice(0, maxPathLength)
    log.info(`${request.method} ${path} ${status}`, {
      request_id: requestId(request),
      method: request.method,
      path,
      route: route?.path ?? null,
      status,
      duration_ms: Math.round(seconds * 1e6) / 1000,
      client: connection.remoteAddress,
    })
  }
}
