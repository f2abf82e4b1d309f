import { KvistError, serverFaults } from '../core/errors.ts'
import { histogram, observe } from '../core/histogram.ts'
import { realTimers } from '../core/timers.ts'
import { monotonicMs } from '../runtime/clock.ts'
import { maxLabels, othersLabel, storeLabel } from './collection-labels.ts'
import { type LoopDelay, measureLoopDelay } from './loop-delay.ts'
import {
  type Exposed,
  firstStatus,
  type MetricSources,
  type RouteCounts,
  statuses,
} from './metric-sources.ts'

/**
 * Counts requests and errors. Requests are counted in arrays allocated once per route; all other work is done when
 * `/metrics` is read (exposition.ts).
 */
export interface Metrics {
  /**
   * Returns a counter for the responses of one route. Labels are the route's own method and path, never a client's
   * input.
   */
  route(method: string, route: string): CountResponse
  /** Counts an error that is kvist's fault. */
  error(error: unknown): void
  /** Returns the metrics in Prometheus' text format. The first call starts what measures the event loop. */
  expose(sources: MetricSources): Promise<Exposed>
  stop(): void
}

/** Counts a response with its status and its duration in seconds. */
export type CountResponse = (status: number, seconds: number) => void

const secondsBounds = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

/** Codes of errors that are kvist's fault. Each counter starts at 0, so that rates are right from the start. */
const ownCodes = ['internal', ...serverFaults]

export function startMetrics(): Metrics {
  const routes: RouteCounts[] = []
  const errors = new Map<string, number>(ownCodes.map((code) => [code, 0]))
  const damagedReads = new Map<string, number>()
  let render: ((sources: MetricSources) => Promise<Exposed>) | undefined
  let loopDelay: LoopDelay | undefined

  return {
    route(method, route) {
      const responses = new Float64Array(statuses)
      const seconds = histogram(secondsBounds)
      routes.push({ method, route, responses, seconds })
      return (status, took) => {
        responses[status - firstStatus]! += 1
        observe(seconds, took)
      }
    },
    error(error) {
      const code = error instanceof KvistError ? error.code : 'internal'
      errors.set(code, (errors.get(code) ?? 0) + 1)
      const damage = damageIn(error)
      if (damage !== null) countDamage(damagedReads, damage)
    },
    async expose(sources) {
      // prom-client takes as long to load as the rest of kvist, so it is loaded at the first scrape.
      const { exposition } = await import('./exposition.ts')
      loopDelay ??= measureLoopDelay(realTimers, monotonicMs)
      render ??= exposition({ routes, errors, damagedReads, loopDelaySeconds: loopDelay.seconds })
      return render(sources)
    },
    stop: () => loopDelay?.stop(),
  }
}

/** The maximum depth of a chain of causes. */
const maxCauses = 8

/** Returns the error of a damaged read among an error and its causes; null without one. */
function damageIn(error: unknown): KvistError | null {
  let cause = error
  for (let depth = 0; cause instanceof Error && depth <= maxCauses; depth++) {
    if (cause instanceof KvistError && cause.code === 'damaged') return cause
    cause = cause.cause
  }
  return null
}

function countDamage(reads: Map<string, number>, { extra }: KvistError): void {
  const collection = typeof extra.collection === 'string' ? extra.collection : storeLabel
  const label = reads.has(collection) || reads.size < maxLabels ? collection : othersLabel
  reads.set(label, (reads.get(label) ?? 0) + 1)
}
