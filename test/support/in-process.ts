import { authenticator } from '../../src/auth/authenticate.ts'
import { tickets } from '../../src/auth/tickets.ts'
import { type Tokens, tokenRegistry, tokensOf, useWrite } from '../../src/auth/tokens.ts'
import type { Archive } from '../../src/core/archive.ts'
import { type Database, type DatabaseOptions, openDatabase } from '../../src/core/database.ts'
import type { Engine, OnCommit } from '../../src/core/engine.ts'
import type { Follower } from '../../src/core/follower.ts'
import { realTimers } from '../../src/core/timers.ts'
import { consoleRoutes } from '../../src/http/console.ts'
import { dialectRoutes } from '../../src/http/dialects/all.ts'
import { docsRoutes } from '../../src/http/docs-page.ts'
import { healthRoutes } from '../../src/http/health.ts'
import { metricsRoutes } from '../../src/http/metrics.ts'
import { openApiRoutes } from '../../src/http/openapi.ts'
import { rootRoute } from '../../src/http/root.ts'
import type { Route } from '../../src/http/route.ts'
import { type HttpOptions, listen } from '../../src/http/server.ts'
import { accessRoutes } from '../../src/http/v1/access.ts'
import { backupRoutes } from '../../src/http/v1/backup.ts'
import { engineRoutes } from '../../src/http/v1/engine.ts'
import { type NodeRouteOptions, nodeRoutes } from '../../src/http/v1/nodes.ts'
import { v1Routes } from '../../src/http/v1/routes.ts'
import { startSockets } from '../../src/net/sockets.ts'
import { openTestEngine } from './test-engine.ts'

/** A server in the process of the test: the clock and the store are at hand. */
export interface InProcessServer {
  readonly url: string
  readonly db: Database
  readonly routes: readonly Route[]
  readonly tokens: Tokens
  /** Errors that it reported as its own fault. */
  readonly errors: readonly unknown[]
  stop(): Promise<void>
}

const noBackup = { name: 'backup.kvist', revision: 0, next: async () => null, stop() {} }

export interface InProcessOptions extends Pick<HttpOptions, 'memory'> {
  readonly nodes?: OtherNodes
  readonly store?: Pick<DatabaseOptions, 'recordsRenewals' | 'maxClockAheadMs'>
  readonly followers?: readonly Follower[]
  /** What tells of the store's past. */
  readonly archive?: Archive
  /** Returns the store as requests use it. */
  readonly storeOf?: (db: Database) => Database
}

type OtherNodes = Omit<NodeRouteOptions, 'leader'>

const noNodes: OtherNodes = {
  learnBridge: async () => {},
  watchOf: () => ({ isConflict: () => false, onConflict() {}, onApplied() {}, onReceived: async () => {} }),
  targets: () => [],
  conflicts: () => 0,
}

/** It follows no other, and nothing follows it: test/nodes-follow.test.ts has those. */
const noLeader: NodeRouteOptions['leader'] = {
  pages: {
    page: async () => ({ lines: '', next: '', isAtEnd: true, knows: 'nothing' }),
    followers: () => [],
  },
  leadership: {
    status: () => ({ role: 'leader', term: 0, following: null, sending: null, leader: null }),
    leaders: () => [],
    promote: async () => ({ term: 0, before: null, former: null }),
    demote: async () => ({ role: 'leader', term: 0 }),
  },
}

export async function startInProcess(
  now: () => number = Date.now,
  token: string | null = null,
  timers = realTimers,
  openEngine: (onCommit: OnCommit) => Promise<Engine> = openTestEngine,
  {
    nodes = noNodes,
    store: storeOptions = {},
    followers = [],
    storeOf = (db) => db,
    archive,
    ...more
  }: InProcessOptions = {},
): Promise<InProcessServer> {
  const errors: unknown[] = []
  const onError = (error: unknown) => errors.push(error)
  const registry = tokenRegistry(onError)
  const authentication = authenticator({
    token,
    tokens: registry,
    onUse: (principal, nowMs) => void db.write([useWrite(principal, nowMs)]).catch(onError),
  })
  const passes = tickets()
  authentication.onEnd(passes.revoke)
  const db = await openDatabase({
    open: (onCommit) => openEngine(onCommit),
    cacheBytes: 1024 * 1024,
    now,
    timers,
    onError,
    followers: [...registry.followers, ...followers],
    ...storeOptions,
  })
  const store = storeOf(db)
  const tokens = tokensOf(registry, db)
  const routes: Route[] = [
    ...v1Routes(store, undefined, undefined, archive),
    ...accessRoutes({ tokens, tickets: passes }),
    ...nodeRoutes(db, { ...nodes, leader: noLeader }),
    ...backupRoutes(async () => noBackup),
    ...engineRoutes(async () => ({ engine: 'memory', primaries: [], lines: [] })),
    ...healthRoutes(() => null),
    ...metricsRoutes(async () => ({ contentType: 'text/plain', text: '' })),
    ...docsRoutes,
    ...consoleRoutes(null),
    ...dialectRoutes(store, null),
    rootRoute('0', { hasConsole: true }),
    ...openApiRoutes(() => routes, { version: '0', needsToken: false }),
  ]
  // Members are read as in a server: together, past the routes (by-principal.ts).
  const sockets = startSockets(onError)
  const http = listen({
    host: '127.0.0.1',
    port: 0,
    idleTimeoutSeconds: 30,
    authenticator: authentication,
    tickets: passes,
    routes,
    now,
    onError,
    observe: () => () => {},
    sockets,
    reads: store.readQueue(sockets.ticks.scheduleWork),
    ...more,
  })
  return {
    url: http.url,
    db,
    routes,
    tokens,
    errors,
    async stop() {
      await http.stop(0)
      await db.close()
    },
  }
}
