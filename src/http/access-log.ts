import type { Log } from '../telemetry/log.ts'
import type { Observe } from './instrumented.ts'

/** A log can bear no more of a path than this; keys are shorter. */
const maxPathLength = 2048

/** A line for every request. Without the query: there, some dialects carry values. */
export function accessLog(log: Log): Observe {
  return (route) => (context, status, seconds) => {
    const { request, connection } = context
    const path = request.path.slice(0, maxPathLength)
    log.info(`${request.method} ${path} ${status}`, {
      request_id: context.requestId(),
      method: request.method,
      path,
      route: route?.path ?? null,
      status,
      duration_ms: Math.round(seconds * 1e6) / 1000,
      client: connection.remoteAddress,
    })
  }
}
