import { formatTime } from '../core/time.ts'
import { bindingHeaders } from '../http/binding-headers.ts'
import { parametersOf } from '../http/path.ts'
import { jsonTextLine, responseOf } from '../http/response.ts'
import { methods, type Route } from '../http/route.ts'
import type { Exposed } from '../telemetry/metric-sources.ts'
import type { Admission } from './admission.ts'
import type { ResponseCache } from './cache.ts'
import type { CacheCounts } from './counts.ts'
import type { FeedFollower, OriginStatus } from './follower.ts'
import type { Gateway } from './gateway.ts'
import { type MemberReads, memberNamed } from './member-reads.ts'

export interface CacheRouteOptions {
  readonly gateway: Gateway
  readonly reads: MemberReads
  readonly admission: Admission
  readonly follower: FeedFollower
  readonly cache: ResponseCache
  readonly counts: CacheCounts
  readonly expose: () => Promise<Exposed>
}

/** What every route of a cache node has in common: the origin decides what is permitted, and honours the headers. */
const passing = { access: 'open', honours: bindingHeaders } as const

/** Returns the routes of a cache node, beside those of health: members, its own pages, and all else, which is passed on. */
export function cacheRoutes(options: CacheRouteOptions): Route[] {
  return [...ownRoutes(options), ...memberRoutes(options), ...otherRoutes(options.gateway)]
}

function memberRoutes({ gateway, reads }: CacheRouteOptions): Route[] {
  return ['/v1/:collection/:key', '/v1/:collection/*'].flatMap((path) => [
    { ...passing, method: 'GET' as const, path, summary: 'A member, from memory', handle: reads.handle },
    ...methods
      .filter((method) => method !== 'GET')
      .map((method) => ({
        ...passing,
        method,
        path,
        summary: 'Passed on',
        handle: ((request, context) => gateway.pass(context, memberNamed(request))) as Route['handle'],
      })),
  ])
}

/** Pages to which links on any web page may lead. */
const pages = ['/', '/docs']

function otherRoutes(gateway: Gateway): Route[] {
  const handle: Route['handle'] = (_request, context) => gateway.pass(context, null)
  return [
    ...pages.map((path) => ({
      ...passing,
      method: 'GET' as const,
      path,
      isPage: true as const,
      summary: 'Passed on',
      handle,
    })),
    ...['/v1/:collection', '/*'].flatMap((path) =>
      methods.map((method) => ({ ...passing, method, path, summary: 'Passed on', handle })),
    ),
  ]
}

function ownRoutes({ admission, follower, cache, counts, expose }: CacheRouteOptions): Route[] {
  return [
    {
      ...passing,
      method: 'GET',
      path: '/v1/_nodes',
      summary: 'The origins of this cache, and what it holds',
      async handle(request, context) {
        parametersOf(request, [])
        const refusal = await admission.refusal(context)
        if (refusal !== null) return refusal
        const { bytes, entries, evictions } = cache.stats
        const node = follower.session?.node ?? null
        const body = {
          node,
          conflicts: 0,
          targets: [],
          role: 'cache',
          term: 0,
          leader: null,
          followers: [],
          origins: follower.status().map(originJson),
          cache: { entries, bytes, max_bytes: cache.maxBytes, evictions, ...counts },
        }
        return jsonTextLine(JSON.stringify(body))
      },
    },
    {
      ...passing,
      method: 'GET',
      path: '/metrics',
      summary: 'Numbers for Prometheus',
      async handle(_request, context) {
        const refusal = await admission.refusal(context)
        if (refusal !== null) return refusal
        const { contentType, text } = await expose()
        return responseOf(200, { 'Content-Type': contentType }, text)
      },
    },
  ]
}

function originJson({ url, state, node, failures, lastError }: OriginStatus) {
  const shown = lastError === null ? null : { detail: lastError.detail, at: formatTime(lastError.atMs) }
  return { url, state, node, failures, last_error: shown }
}
