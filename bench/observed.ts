/**
 * Serves the GET of a member twice in one process: with kvist's metrics under `/counted/`, and without under `/plain/`.
 * `bun bench/observed.ts PORT FOLDER`; bench/metrics.ts compares them.
 */

import { openDatabase } from '../src/core/database.ts'
import { openSqlite } from '../src/engines/sqlite/engine.ts'
import type { Route } from '../src/http/route.ts'
import { listen } from '../src/http/server.ts'
import { v1Routes } from '../src/http/v1/routes.ts'
import { startMetrics } from '../src/telemetry/metrics.ts'
import { authenticatorOf } from '../test/support/authenticator.ts'
import { jsonOf } from './members.ts'

const [port = '', dir = ''] = process.argv.slice(2)
const db = await openDatabase({
  open: (onCommit) => openSqlite({ dir, durability: 'relaxed', onCommit }),
  cacheBytes: 64 * 2 ** 20,
  now: Date.now,
  onError: console.error,
})
await db.put('bench', 'one', {
  value: jsonOf(0),
  contentType: 'application/json',
  flags: 0,
  expiresAtMs: null,
})

const row = v1Routes(db).find(({ path, method }) => path.endsWith('/:key') && method === 'GET')!
const under = (segment: string): Route => ({ ...row, path: `/${segment}/:collection/:key` })
const counted = under('counted')
const metrics = startMetrics()

listen({
  host: '127.0.0.1',
  port: Number(port),
  idleTimeoutSeconds: 30,
  authenticator: authenticatorOf(null),
  now: Date.now,
  routes: [counted, under('plain')],
  onError: console.error,
  observe: (route) => {
    if (route !== counted) return () => {}
    const count = metrics.route(row.method, row.path)
    return (_request, status, seconds) => count(status, seconds)
  },
})
