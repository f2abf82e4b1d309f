import { serverTag } from './operation.ts'
import { responseOf } from './response.ts'
import type { Route } from './route.ts'

const plain = { 'Content-Type': 'text/plain; charset=utf-8' }
const content = { 'text/plain': { schema: { type: 'string' } } }

/**
 * `/healthz`: the process lives. `/readyz`: it serves; 503 with the reason while it stops or every write fails. Both need
 * no token. `unreadiness` says why the server is not ready, null while it is.
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
      handle() {
        const reason = unreadiness()
        return reason === null ? responseOf(200, plain, 'ready\n') : responseOf(503, plain, `${reason}\n`)
      },
    },
  ]
}
