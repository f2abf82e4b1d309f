import { serverTag } from './operation.ts'
import type { Route } from './route.ts'

const content = { 'text/plain': { schema: { type: 'string' } } }

/** `/healthz`: the process lives. `/readyz`: it serves; not while it stops. Both need no token. */
export function healthRoutes(isReady: () => boolean): Route[] {
  return [
    {
      method: 'GET',
      path: '/healthz',
      summary: 'The process lives',
      tag: serverTag,
      docs: { answers: { 200: { description: 'It does', content } } },
      open: true,
      handle: () => new Response('ok\n'),
    },
    {
      method: 'GET',
      path: '/readyz',
      summary: 'The server serves',
      tag: serverTag,
      docs: {
        answers: {
          200: { description: 'It does', content },
          503: { description: 'Not any more: it stops', content },
        },
      },
      open: true,
      handle: () => (isReady() ? new Response('ready\n') : new Response('stopping\n', { status: 503 })),
    },
  ]
}
