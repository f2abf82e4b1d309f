import type { Config } from './config.ts'
import { accessLog } from './http/access-log.ts'
import { auditedRequests } from './http/audit.ts'
import type { Observe } from './http/instrumented.ts'
import type { AuditLog } from './telemetry/audit-log.ts'
import type { Log } from './telemetry/log.ts'
import type { Metrics } from './telemetry/metrics.ts'

/** Returns what observes every response: metrics, and the logs that are on. */
export function observers(config: Config, metrics: Metrics, log: Log, audit: AuditLog | null): Observe {
  return observer([
    counted(metrics),
    ...(config.accessLog ? [accessLog(log)] : []),
    ...(audit === null ? [] : [auditedRequests(audit)]),
  ])
}

/** Returns an observer that counts every response. */
function counted(metrics: Metrics): Observe {
  return (route) => {
    const count = metrics.route(route?.method ?? 'any', route?.path ?? 'none')
    return (_context, status, seconds) => count(status, seconds)
  }
}

/** Returns an observer that reports every response to several, in their order. */
function observer([first, ...others]: readonly [Observe, ...Observe[]]): Observe {
  if (others.length === 0) return first
  return (route) => {
    const observers = [first, ...others].map((observe) => observe(route))
    return (context, status, seconds) => {
      for (const one of observers) one(context, status, seconds)
    }
  }
}
