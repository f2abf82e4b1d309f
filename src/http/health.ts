import type { Route } from './route.ts'

/** `/healthz`: the process lives. `/readyz`: it serves; not while it stops. Both need no token. */
export function healthRoutes(isReady: () => boolean): Route[] {
  return [
    {
      method: 'GET',
      path: '/healthz',
      summary: 'The process lives',
      open: true,
      handle: () => new Response('ok\n'),
    },
    {
      method: 'GET',
      path: '/readyz',
      summary: 'The server serves',
      open: true,
      handle: () => (isReady() ? new Response('ready\n') : new Response('stopping\n', { status: 503 })),
    },
  ]
}
