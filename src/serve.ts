import { version } from '../package.json'
import { type Authenticator, authenticator } from './auth/authenticate.ts'
import { ClientLimits } from './auth/client-limits.ts'
import type { Principal } from './auth/principal.ts'
import { sharedTickets, type TicketStore } from './auth/shared-tickets.ts'
import { type Tickets, tickets } from './auth/tickets.ts'
import { type TokenRegistry, tokenRegistry, tokensOf, useWrite } from './auth/tokens.ts'
import type { Config } from './config.ts'
import { type Database, openDatabase } from './core/database.ts'
import { maxMemcachedHeldBytes, maxValueBytes } from './core/limits.ts'
import type { ReadQueue } from './core/read-queue.ts'
import { realTimers } from './core/timers.ts'
import { consoleRoutes } from './http/console.ts'
import { dialectRoutes } from './http/dialects/all.ts'
import { recordsCollection } from './http/dialects/minstore.ts'
import { RecordCache } from './http/dialects/minstore-cache.ts'
import { docsRoutes } from './http/docs-page.ts'
import { healthRoutes } from './http/health.ts'
import { leaderRoutes } from './http/leader-routes.ts'
import { metricsRoutes } from './http/metrics.ts'
import { openApiRoutes } from './http/openapi.ts'
import { rootRoute } from './http/root.ts'
import type { Route } from './http/route.ts'
import { type HttpOptions, type HttpServer, listen, requestMemory, totalBytes } from './http/server.ts'
import { eventStreams } from './http/sse.ts'
import { accessRoutes } from './http/v1/access.ts'
import { engineRoutes } from './http/v1/engine.ts'
import { nodeRoutes } from './http/v1/nodes.ts'
import { v1Routes } from './http/v1/routes.ts'
import type { ServerMemory } from './http/wire/request-memory.ts'
import { listenMemcached, type MemcachedServer } from './memcached/listener.ts'
import { type MemoryPlan, memoryLine } from './memory-plan.ts'
import type { TlsSettings } from './net/listener.ts'
import { onceAMinute } from './net/once-a-minute.ts'
import type { Sockets } from './net/sockets.ts'
import { observers } from './observers.ts'
import { builtInProcesses } from './processes/all.ts'
import { type ConfigFile, loadConfigFile } from './processes/config-file.ts'
import { redisUrlOf } from './redis-options.ts'
import type { Given, Running } from './running.ts'
import { monotonicMs as systemMonotonicMs } from './runtime/clock.ts'
import { type ServerBackups, startBackups } from './serve-backups.ts'
import { serveCache } from './serve-cache.ts'
import { type EngineOfServer, engineOfServer, memoryOf } from './serve-engine.ts'
import { prepareNodes, type StartedNodes } from './serve-nodes.ts'
import { serverSockets } from './serve-sockets.ts'
import { type ServerTls, startTls } from './serve-tls.ts'
import { type AuditLog, openAuditLog } from './telemetry/audit-log.ts'
import { logIndexEvent } from './telemetry/index-lines.ts'
import { type Log, type LogFields, startLog, stdoutLines } from './telemetry/log.ts'
import type { MetricSources } from './telemetry/metric-sources.ts'
import { startMetrics } from './telemetry/metrics.ts'
import { type WatchCounts, watchCounts } from './telemetry/watch-counts.ts'
import { tokenFileWarning } from './token-file.ts'

/** Starts a server: the composition root, where all parts are put together. */
export async function serve(config: Config, given: Given = {}): Promise<Running> {
  // Only the owner may read the files of a store.
  process.umask(0o077)
  const now = given.now ?? Date.now
  if (config.cacheOf.length > 0) return serveCache(config, { ...given, now })
  const output = { readable: process.stdout.isTTY, ...given.log }
  const log = startLog({ level: config.logLevel, ...output })
  const audit = auditLogOf(config, given, log, stdoutLines(output))
  const metrics = startMetrics()
  const watches = watchCounts()
  const onError = (error: unknown, about: LogFields = {}) => {
    metrics.error(error)
    log.error(error, about)
  }
  const sockets = serverSockets(config, log, onError)
  const { monotonicMs = systemMonotonicMs, timers, minCloseMs = usualMinCloseMs } = given
  const limits = new ClientLimits({ rate: config.rateLimit, monotonicMs })
  const warning = config.tokenFile === null ? null : tokenFileWarning(config.tokenFile)
  if (warning !== null) log.warn(warning)
  const tls = startTls(config, { log, clock: sockets.registry, now })
  const memory = memoryOf(config)
  const requests = requestMemory(memory.requestShare)
  const file = config.configFile === null ? null : await loadConfigFile(config.configFile, builtInProcesses)
  const access = startAccess(config, onError, () => db)
  const nodes = prepareNodes(config, { log, now, onError })
  const records = new RecordCache(recordsCollection, nodes.servers, monotonicMs)
  const engine = engineOfServer(config, memory, now, Date.now, log.warn)
  const db = await openDatabase({
    ...engine.options,
    ...nodes.storeOptions,
    followers: [...access.tokens.followers, ...nodes.followers, records.follower],
    onError,
    processes: [...builtInProcesses, ...(file?.processes ?? [])],
    onIndexEvent: (event) => logIndexEvent(log, event),
    ...(file === null ? {} : { settings: file.settings }),
    ...(timers === undefined ? {} : { timers }),
  })
  const backups = startBackups(config, { engine, onError, version, now, monotonicMs, timers, log })
  let ready = true
  let memcached: MemcachedServer | null = null
  const mirror = await nodes.start(db)
  try {
    const { store } = mirror
    const reads = store.readQueue(sockets.ticks.scheduleWork)
    const shared = { sockets, tls, reads, limits, now, onError }
    memcached = memcachedPort(config, {
      ...shared,
      db: store,
      authenticator: access.memcached,
      ...(audit === null ? {} : { audit }),
      log,
    })
    const parts = { memory, requests, sockets, db, watches, audit, mirror, engine, backups }
    const expose = () => metrics.expose(metricSources({ ...parts, http, memcached }))
    const routes: Route[] = [
      ...v1Routes(store, watches, eventStreams(), backups.archive),
      ...accessRoutes({ tokens: tokensOf(access.tokens, store), tickets: access.tickets }),
      ...nodeRoutes(db, mirror.routeOptions),
      ...engineRoutes(engine.status),
      ...backups.routes,
      ...healthRoutes(() => (ready ? (mirror.leadership.unreadiness() ?? db.writeFault()) : 'stopping')),
      ...metricsRoutes(expose),
      ...docsRoutes,
      ...(config.noConsole ? [] : consoleRoutes(config.dialect)),
      ...dialectRoutes(store, config.dialect, { records, lookupStore: mirror.minstoreStore }),
      rootRoute(version, { hasConsole: !config.noConsole }),
      ...openApiRoutes(() => routes, { version, needsToken: config.token !== null }),
    ]
    const observe = observers(config, metrics, log, audit)
    const http = httpPort(config, access, log, {
      ...shared,
      routes: leaderRoutes(routes, mirror.leadership),
      memory: requests,
      observe,
    })
    announce(log, config, http.url, memcached, memoryLine(memory, totalBytes(requests)))
    return {
      url: http.url,
      reopenLogs: audit === null || config.auditLog === '-' ? null : audit.reopen,
      stop() {
        metrics.stop()
        ready = false
        return stopServing({ timeoutMs: config.stopTimeoutMs, minCloseMs }, log, {
          ...parts,
          http,
          memcached,
          tls,
          file,
        })
      },
    }
  } catch (error) {
    await memcached?.stop(0)
    await backups.stop()
    await mirror.stop()
    await db.close()
    file?.stop()
    throw error
  }
}

/** Returns what `/metrics` reads. */
function metricSources(parts: {
  readonly memory: MemoryPlan
  readonly requests: ServerMemory
  readonly sockets: Sockets
  readonly db: Database
  readonly watches: WatchCounts
  readonly http: HttpServer
  readonly memcached: MemcachedServer | null
  readonly audit: AuditLog | null
  readonly mirror: StartedNodes
  readonly engine: EngineOfServer
  readonly backups: ServerBackups
}): MetricSources {
  const { memory, requests, sockets, db, watches, http, memcached, audit, mirror } = parts
  const redis = parts.engine.events()
  const { schedule } = parts.backups
  const archive = parts.engine.archive()
  return {
    version,
    cacheLimitBytes: memory.cacheBytes,
    database: db,
    nodes: mirror.numbers(),
    openRequests: http.openRequests,
    watches,
    requestMemory: { ...requests },
    maxConnections: sockets.registry.limits.maxConnections,
    connections: {
      http: http.connections,
      ...(memcached === null ? {} : { memcached: memcached.connections }),
    },
    limits: {
      http: http.limitCounts,
      ...(memcached === null ? {} : { memcached: memcached.limitCounts }),
    },
    ...(memcached === null ? {} : { memcached: memcached.counts }),
    ...(redis === null ? {} : { redis }),
    ...(archive === null ? {} : { archive: archive.numbers() }),
    ...(audit === null ? {} : { audit: audit.counts }),
    ...(schedule === null ? {} : { backups: schedule.numbers }),
  }
}

/** Who may do what: the tokens, and what finds the principal of a client. */
interface ServerAccess {
  readonly tokens: TokenRegistry
  readonly tickets: Tickets
  readonly http: Authenticator
  readonly memcached: Authenticator
}

/** `store` returns the store, which the tokens are read from when it opens. */
function startAccess(config: Config, onError: (error: unknown) => void, store: () => Database): ServerAccess {
  const { token, memcachedNoAuth } = config
  const tokens = tokenRegistry(onError)
  const onUse = (principal: Principal, nowMs: number) =>
    void store()
      .write([useWrite(principal, nowMs)], 'relaxed')
      .catch(onError)
  const http = authenticator({ token, tokens, onUse })
  const issued = redisUrlOf(config) === null ? tickets() : sharedTickets(ticketStoreOf(store), http.byId)
  http.onEnd(issued.revoke)
  const memcached = authenticator({ token: memcachedNoAuth ? null : token, tokens, onUse })
  return { tokens, tickets: issued, http, memcached }
}

function ticketStoreOf(store: () => Database): TicketStore {
  return {
    get: (collection, key) => store().get(collection, key),
    write: (writes, durability) => store().write(writes, durability),
    delete: (collection, key, condition) => store().delete(collection, key, condition),
  }
}

interface Stoppable {
  readonly http: HttpServer
  readonly memcached: MemcachedServer | null
  readonly sockets: Sockets
  readonly tls: ServerTls | undefined
  readonly mirror: StartedNodes
  readonly db: Database
  readonly audit: AuditLog | null
  readonly backups: ServerBackups
  readonly file: ConfigFile | null
}

async function stopServing(
  { timeoutMs, minCloseMs }: { readonly timeoutMs: number; readonly minCloseMs: number },
  log: Log,
  { http, memcached, sockets, tls, mirror, db, audit, backups, file }: Stoppable,
): Promise<void> {
  const endMs = systemMonotonicMs() + timeoutMs
  await Promise.all([http.stop(timeoutMs), memcached?.stop(timeoutMs)])
  sockets.registry.stop()
  tls?.stop()
  await backups.stop()
  await mirror.stop()
  if (!(await isDoneWithin(Math.max(endMs - systemMonotonicMs(), minCloseMs), db.close()))) {
    log.warn('the store is still busy: kvist ends, and reads at the next start what is in its log')
  }
  if (audit !== null && !(await isDoneWithin(minCloseMs, audit.close()))) {
    log.warn('the audit log is not written to its end: its disk takes too long')
  }
  file?.stop()
  log.info('stopped')
}

/** The store gets this much time to close even when requests took all of `--stop-timeout`. */
const usualMinCloseMs = 500

async function isDoneWithin(timeoutMs: number, work: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const isLate = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs)
  })
  const isDone = await Promise.race([work.then(() => true), isLate])
  clearTimeout(timer)
  return isDone
}

function auditLogOf(
  { auditLog: path }: Config,
  given: Given,
  log: Log,
  stdout: (line: string) => void,
): AuditLog | null {
  if (path === null) return null
  const clocks = { now: Date.now, monotonicMs: systemMonotonicMs, timers: realTimers, ...given }
  return openAuditLog({ path, ...clocks, log, stdout })
}

function httpPort(
  config: Config,
  { http: authenticator, tickets }: ServerAccess,
  log: Log,
  shared: Pick<
    HttpOptions,
    'routes' | 'reads' | 'limits' | 'memory' | 'now' | 'onError' | 'observe' | 'tls'
  > & {
    readonly sockets: Sockets
  },
): HttpServer {
  const { host, port, idleTimeoutSeconds, corsOrigins } = config
  return listen({
    host,
    port,
    idleTimeoutSeconds,
    authenticator,
    tickets,
    hostNames: [host.toLowerCase(), ...config.hostNames],
    corsOrigins,
    http2: config.http2,
    onTlsClient: onceAMinute(shared.sockets.registry, (client: string) =>
      log.warn('a client spoke TLS to the HTTP port, which has none: see --tls-cert', { client }),
    ),
    ...shared,
  })
}

function memcachedPort(
  config: Config,
  {
    log,
    tls,
    ...shared
  }: {
    readonly db: Database
    readonly authenticator: Authenticator
    readonly sockets: Sockets
    readonly tls: TlsSettings | undefined
    readonly reads: ReadQueue
    readonly limits: ClientLimits
    readonly audit?: AuditLog
    readonly now: () => number
    readonly onError: (error: unknown) => void
    readonly log: Log
  },
): MemcachedServer | null {
  if (config.memcachedPort === null) return null
  return listenMemcached({
    host: config.memcachedHost,
    port: config.memcachedPort,
    ...shared,
    tls: config.memcachedNoTls ? undefined : tls,
    collection: config.memcachedCollection,
    durability: config.memcachedDurability ?? config.durability,
    idleTimeoutSeconds: config.memcachedIdleTimeoutSeconds,
    stallTimeoutSeconds: config.idleTimeoutSeconds,
    maxConnections: config.memcachedMaxConnections,
    maxValueBytes,
    maxHeldBytes: maxMemcachedHeldBytes,
    version,
    onForeignClient: (client, speaks) =>
      log.warn(`a memcached client was disconnected: it speaks ${speaks}, and this port plain text`, {
        client,
      }),
  })
}

function announce(
  log: Log,
  config: Config,
  url: string,
  memcached: MemcachedServer | null,
  memory: string | null,
): void {
  if (memory !== null) log.info(memory)
  const isInMemory = config.engine === 'memory'
  const store = isInMemory ? ' from memory: nothing is kept on disk' : ''
  const data = redisUrlOf(config) === null ? { data: config.dataFolder } : { engine: config.engine }
  const pages = config.noConsole ? '' : `its console at ${url}/console and `
  log.info(`kvist serves ${url}/v1, with ${pages}its docs at ${url}/docs${store}`, {
    url,
    ...(isInMemory ? { engine: config.engine } : { ...data, durability: config.durability }),
    ...(memcached === null ? {} : { memcached: memcached.address }),
  })
}
