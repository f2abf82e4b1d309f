import { answer } from './answer.ts'
import { serverTag } from './operation.ts'
import type { Route } from './route.ts'

const plain = { 'Content-Type': 'text/plain; charset=utf-8' }
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
      access: 'open',
      handle: () => answer(200, plain, 'ok\n'),
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
      access: 'open',
      handle: () => (isReady() ? answer(200, plain, 'ready\n') : answer(503, plain, 'stopping\n')),
    },
  ]
}
