import { consolePath } from './console.ts'
import { negotiation } from './media-types.ts'
import { serverTag } from './operation.ts'
import { jsonTextLine, responseOf } from './response.ts'
import type { Route } from './route.ts'

const chooseType = negotiation('application/json', ['text/html'])

/**
 * Returns the route `/`: redirects browsers to the console, or to the page of the API where there is no console, and gives
 * other clients the address of the API. It goes after the routes of dialects, one of which may have its own `/`.
 */
export function rootRoute(version: string, { hasConsole }: { readonly hasConsole: boolean }): Route {
  const page = hasConsole ? consolePath : '/docs'
  const directory = JSON.stringify({
    name: 'kvist',
    version,
    api: '/v1',
    ...(hasConsole ? { console: consolePath } : {}),
    docs: '/docs',
    openapi: '/openapi.json',
  })
  const varies = { Vary: 'Accept' }
  return {
    method: 'GET',
    path: '/',
    access: 'open',
    isPage: true,
    summary: 'Where the API is; sends a browser to its page',
    tag: serverTag,
    docs: {
      responses: {
        200: {
          description: 'What there is',
          headers: { Vary: { description: '`Accept`', schema: { type: 'string' } } },
          content: { 'application/json': { schema: { type: 'object' }, example: JSON.parse(directory) } },
        },
        307: {
          description: 'For who accepts HTML: the page',
          headers: {
            Location: { description: 'Of the page', schema: { type: 'string' } },
            Vary: { description: '`Accept`', schema: { type: 'string' } },
          },
        },
      },
    },
    handle: (request) =>
      chooseType(request.header('accept')) === 'text/html'
        ? responseOf(307, { Location: page, ...varies })
        : jsonTextLine(directory, 200, varies),
  }
}
