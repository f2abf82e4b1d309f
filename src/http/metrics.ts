import type { Exposed } from '../telemetry/metric-sources.ts'
import { serverTag } from './operation.ts'
import { responseOf } from './response.ts'
import type { Route } from './route.ts'

/**
 * Returns the route `/metrics`, for Prometheus. It needs a token that may read everything: it shows the names of collections
 * and how much they are used.
 */
export function metricsRoutes(expose: () => Promise<Exposed>): Route[] {
  return [
    {
      method: 'GET',
      path: '/metrics',
      summary: 'Numbers for Prometheus',
      tag: serverTag,
      access: 'read all',
      docs: {
        responses: {
          200: {
            description: "Prometheus' text format",
            content: { 'text/plain': { schema: { type: 'string' } } },
          },
        },
      },
      async handle() {
        const { contentType, text } = await expose()
        return responseOf(200, { 'Content-Type': contentType }, text)
      },
    },
  ]
}
