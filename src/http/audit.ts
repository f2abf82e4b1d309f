import type { Access } from '../auth/access.ts'
import { tokenIdOf } from '../auth/principal.ts'
import type { AuditLog } from '../telemetry/audit-log.ts'
import type { Observe } from './instrumented.ts'
import { loggedPath, loggedQuery } from './logged-query.ts'

/** Error codes of requests that were refused for what their sender is or may do. */
const refusals: ReadonlySet<string> = new Set([
  'forbidden',
  'forbidden_origin',
  'misdirected',
  'rate_limited',
  'unauthorized',
])

/** What requests that may write need. */
const writing: ReadonlySet<Access> = new Set<Access>(['write', 'admin', 'admin all'])

/** Adds a line to the audit log for each request that may have written, and for each that was refused. */
export function auditedRequests(audit: AuditLog): Observe {
  return (route) => {
    const isWrite = route !== null && writing.has(route.access)
    return (context, status) => {
      const { request, connection, principal, failure, revision } = context
      const isRefused = refusals.has(failure)
      if (!isWrite && !isRefused) return
      const token = tokenIdOf(principal)
      const query = loggedQuery(request)
      const entry = {
        protocol: 'http' as const,
        principal: principal.name,
        ...(token === null ? {} : { token }),
        client: connection.remoteAddress,
        method: request.method,
        path: loggedPath(request),
        ...(query === undefined ? {} : { query }),
        status,
        ...(failure === '' ? {} : { code: failure }),
        revision: revision === 0 ? null : revision,
        request_id: context.requestId(),
      }
      if (isRefused) audit.refused(connection.network, entry)
      else audit.write(entry)
    }
  }
}
