import { readFileSync } from 'node:fs'
import { version } from '../package.json'
import type { Authenticator } from './auth/authenticate.ts'
import { ClientLimits } from './auth/client-limits.ts'
import { anyone } from './auth/principal.ts'
import { Admission } from './cache-node/admission.ts'
import { ResponseCache } from './cache-node/cache.ts'
import { type CacheCounts, cacheCounts } from './cache-node/counts.ts'
import { FeedFollower } from './cache-node/follower.ts'
import { Gateway } from './cache-node/gateway.ts'
import { MemberReads } from './cache-node/member-reads.ts'
import { httpOrigin } from './cache-node/origins.ts'
import { cacheRoutes } from './cache-node/routes.ts'
import type { Config } from './config.ts'
import { groupCommitBounds, syncSecondsBounds } from './core/engine.ts'
import { histogram } from './core/histogram.ts'
import { consoleRoutes } from './http/console.ts'
import type { HeaderPairs } from './http/forward.ts'
import { healthRoutes } from './http/health.ts'
import { type HttpServer, listen, requestMemory } from './http/server.ts'
import type { ServerMemory } from './http/wire/request-memory.ts'
import { cgroupLimitBytes, planMemory } from './memory-plan.ts'
import type { Sockets } from './net/sockets.ts'
import { observers } from './observers.ts'
import { refuse } from './options.ts'
import type { Given, Running } from './running.ts'
import { monotonicMs } from './runtime/clock.ts'
import { serverSockets } from './serve-sockets.ts'
import { startTls } from './serve-tls.ts'
import { type Log, type LogFields, startLog } from './telemetry/log.ts'
import type { MetricSources } from './telemetry/metric-sources.ts'
import { startMetrics } from './telemetry/metrics.ts'
import { watchCounts } from './telemetry/watch-counts.ts'
import { tokenInFile } from './token-file.ts'

/** Starts a cache node: a server without a store, in front of its origins (docs/design/cache-node.md). */
export async function serveCache(
  config: Config,
  given: Given & { readonly now: () => number },
): Promise<Running> {
  const { now } = given
  const log = startLog({ level: config.logLevel, readable: process.stdout.isTTY, ...given.log })
  const metrics = startMetrics()
  const onError = (error: unknown, about: LogFields = {}) => {
    metrics.error(error)
    log.error(error, about)
  }
  const node = prepareNode(config, log, now)
  const sockets = serverSockets(config, log, onError)
  const tls = startTls(config, { log, clock: sockets.registry, now })
  let isStopping = false
  const expose = () => metrics.expose(metricSources(node, sockets, http))
  const http: HttpServer = listen({
    host: config.host,
    port: config.port,
    idleTimeoutSeconds: config.idleTimeoutSeconds,
    authenticator: everyone,
    passesCredentials: true,
    hostNames: [config.host.toLowerCase(), ...config.hostNames],
    corsOrigins: config.corsOrigins,
    http2: config.http2,
    tls,
    sockets,
    routes: [
      ...healthRoutes(() => (isStopping ? 'stopping' : node.unreadiness())),
      ...(config.noConsole ? [] : consoleRoutes(null)),
      ...cacheRoutes({ ...node, expose }),
    ],
    limits: new ClientLimits({ rate: config.rateLimit, monotonicMs: given.monotonicMs ?? monotonicMs }),
    memory: node.memory,
    now,
    onError,
    observe: observers(config, metrics, log, null),
  })
  node.follower.start()
  const { url } = http
  log.info(`kvist serves ${url}/v1 as a cache of ${config.cacheOf.join(', ')}`, { url })
  return {
    url,
    reopenLogs: null,
    async stop() {
      isStopping = true
      metrics.stop()
      await http.stop(config.stopTimeoutMs)
      sockets.registry.stop()
      tls?.stop()
      await node.follower.stop()
      log.info('stopped')
    },
  }
}

interface CacheNode {
  readonly cache: ResponseCache
  readonly follower: FeedFollower
  readonly gateway: Gateway
  readonly reads: MemberReads
  readonly admission: Admission
  readonly counts: CacheCounts
  readonly memory: ServerMemory
  readonly unreadiness: () => string | null
}

/** Puts the parts of a cache node together. Throws UsageError. */
function prepareNode(config: Config, log: Log, now: () => number): CacheNode {
  const { cacheOf, cacheCa, cacheTokenFile, cacheStaleMs: staleMs } = config
  const name = `kvist-${crypto.randomUUID()}`
  const via = `1.1 ${name}`
  const ca = cacheCa === null ? null : authoritiesIn(cacheCa)
  const headers: HeaderPairs = [['via', via]]
  if (cacheTokenFile !== null) headers.push(['authorization', `Bearer ${tokenInFile(cacheTokenFile)}`])
  const plan = planMemory(config.memoryBytes ?? cgroupLimitBytes(), config.cacheBytes)
  const maxBytes = Math.min(config.cacheBytes, (plan.limitBytes ?? Number.POSITIVE_INFINITY) / 3)
  const memory = requestMemory(plan.requestShare)
  const counts = cacheCounts()
  const follower: FeedFollower = new FeedFollower({
    origins: [...new Set(cacheOf)].map((url) => httpOrigin(url, ca)),
    headers,
    onChange: (change) => cache.changed(change),
    onNewSession: () => cache.clear(),
    onDown() {
      cache.abortLoads()
      gateway.abortRequests()
    },
    log,
    now,
    monotonicMs,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  })
  const { values } = memory
  const cache = new ResponseCache({ maxBytes, follower, staleMs, via, values, now, monotonicMs })
  const gateway = new Gateway({ cache, follower, counts, name, maxRequests: maxRequests() })
  return {
    cache,
    follower,
    gateway,
    counts,
    memory,
    reads: new MemberReads({ cache, follower, gateway, counts, monotonicMs }),
    admission: new Admission(follower, gateway),
    unreadiness: () =>
      follower.isDown && !cache.hasStale(monotonicMs())
        ? 'no origin responds, and nothing is held that could be served'
        : null,
  }
}

/** The runtime lets this many requests run at once (bin/kvist); some are left for the feed and for members. */
function maxRequests(): number {
  const most = Number(process.env.BUN_CONFIG_MAX_HTTP_REQUESTS ?? '') || 256
  return most - 64
}

/** Everyone is let in: the origin checks credentials. */
const everyone: Authenticator = {
  stranger: anyone,
  byHeader: () => anyone,
  bySubject: () => anyone,
  byToken: () => anyone,
  byId: () => anyone,
  onEnd() {},
}

function authoritiesIn(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? error.code : error
    return refuse(`--cache-ca ${path} cannot be read: ${why}`)
  }
}

/** Returns what `/metrics` reads. The numbers of the cache are those of the read cache of other nodes; there is no store. */
function metricSources(node: CacheNode, sockets: Sockets, http: HttpServer): MetricSources {
  const { cache, counts, follower, memory } = node
  const { hits, misses, ...others } = counts
  const read = { ...cache.stats, hits, misses }
  return {
    version,
    cacheLimitBytes: cache.maxBytes,
    database: { collections: async () => [], stats: () => ({ ...noStore, cache: read }) },
    nodes: { conflicts: 0, targets: [], following: null },
    cacheOf: {
      responses: { hits, misses, ...others },
      lagSeconds: (monotonicMs() - follower.currentAtMs) / 1000,
      origins: follower.status(),
    },
    openRequests: http.openRequests,
    watches: watchCounts(),
    requestMemory: { ...memory },
    maxConnections: sockets.registry.limits.maxConnections,
    connections: { http: http.connections },
    limits: { http: http.limitCounts },
  }
}

const noStore = {
  swept: 0,
  renewed: 0,
  indexes: { building: 0, ready: 0, failed: 0, examined: 0 },
  engine: {
    commits: 0,
    failedChecks: 0,
    writes: 0,
    groupCommits: histogram(groupCommitBounds),
    syncSeconds: histogram(syncSecondsBounds),
    waitSeconds: {},
  },
  watch: { watchers: 0, events: 0, fallbacks: 0 },
}
