/**
 * GET of a member twice over in one process: counted as kvist counts it under `/counted/`, and not counted under
 * `/plain/`. `bun bench/observed.ts PORT FOLDER`; bench/metrics.ts measures one against the other.
 */
import { openDatabase } from '../src/core/database.ts'
import { openSqlite } from '../src/engines/sqlite/engine.ts'
import { RequestConnection } from '../src/http/connection.ts'
import { observed } from '../src/http/observed.ts'
import type { Lasting, RoutedRequest } from '../src/http/route.ts'
import { v1Routes } from '../src/http/v1/routes.ts'
import { startMetrics } from '../src/telemetry/metrics.ts'
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

const { method, path, handle } = v1Routes(db).find(
  (row) => row.path.endsWith('/:key') && row.method === 'GET',
)!
const connections = {
  timeoutSeconds: 30,
  lasting: new Set<Lasting>(),
  isStopping: false,
  report: console.error,
}
const plain = (request: RoutedRequest, server: Bun.Server<undefined>) =>
  handle(request, new RequestConnection(request, server, connections))
const count = startMetrics().route(method, path)
const counted = observed(
  plain,
  (_request, status, seconds) => count(status, seconds),
  () => new Response('it failed', { status: 500 }),
)

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(port),
  development: false,
  reusePort: false,
  routes: { '/counted/:collection/:key': { GET: counted }, '/plain/:collection/:key': { GET: plain } },
  fetch: () => new Response('no such path', { status: 404 }),
})
