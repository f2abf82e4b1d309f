import type { Log } from '../telemetry/log.ts'
import type { Observe } from './instrumented.ts'
import { loggedPath } from './logged-query.ts'

/** Logs a line for every request, without the query, because some dialects have values in it. */
export function accessLog(log: Log): Observe {
  return (route) => (context, status, seconds) => {
    const { request, connection } = context
    const path = loggedPath(request)
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
