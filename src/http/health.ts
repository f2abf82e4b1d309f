import { serverTag } from './operation.ts'
import { responseOf } from './response.ts'
import type { Route } from './route.ts'

const plain = { 'Content-Type': 'text/plain; charset=utf-8' }
const content = { 'text/plain': { schema: { type: 'string' } } }

/**
 * Returns the routes `/healthz`, 200 while the process runs, and `/readyz`, 503 with the reason while the server stops
 * or every write fails. Both are open without a token. `unreadiness` returns why the server is not ready, null while it
 * is.
 */
export function healthRoutes(unreadiness: () => string | null): Route[] {
  return [
    {
      method: 'GET',
      path: '/healthz',
      summary: 'The process lives',
      tag: serverTag,
      docs: { responses: { 200: { description: 'It does', content } } },
      access: 'open',
      isUnlimited: true,
      handle: () => responseOf(200, plain, 'ok\n'),
    },
    {
      method: 'GET',
      path: '/readyz',
      summary: 'The server serves',
      tag: serverTag,
      docs: {
        responses: {
          200: { description: 'It does', content },
          503: { description: 'It stops, or every write fails: the text says why', content },
        },
      },
      access: 'open',
      isUnlimited: true,
      handle() {
        const reason = unreadiness()
        return reason === null ? responseOf(200, plain, 'ready\n') : responseOf(503, plain, `${reason}\n`)
      },
    },
  ]
}
