import type { Database } from '../../core/database.ts'
import type { Store } from '../../core/store.ts'
import { formatTime } from '../../core/time.ts'
import { routesByPrincipal } from '../by-principal.ts'
import { parametersOf } from '../path.ts'
import { jsonTextLine } from '../response.ts'
import type { Route } from '../route.ts'
import { getCompared, postDigests, postEntries, postStates, postVersions } from './comparison.ts'
import { listConflicts } from './conflicts.ts'
import { getReplica, type LeaderOptions, leaderStatusJson, postDemote, postPromote } from './leader.ts'
import { postLookup } from './lookup.ts'
import * as comparisonDocs from './openapi-comparison.ts'
import * as docs from './openapi-nodes.ts'
import { v1Tag } from './openapi-parts.ts'
import { type BridgeReceiver, postReplicate } from './replicate.ts'

/** What a node tells of its targets, and what it takes from other nodes. */

/** How far a target has come. */
interface TargetStatus {
  readonly url: string
  readonly state: string
  readonly node: string | null
  readonly lagChanges: number | null
  readonly lagSeconds: number
  readonly sent: number
  readonly failures: number
  readonly lastError: { readonly detail: string; readonly atMs: number } | null
  readonly lastSuccessMs: number | null
  readonly setbacks: number
  /** Null where the target is not healed. */
  readonly heal: HealStatus | null
}

interface HealStatus {
  readonly isRunning: boolean
  readonly runs: number
  readonly failures: number
  readonly mended: number
  readonly undecided: number
  readonly lastRunMs: number | null
  readonly lastError: { readonly detail: string; readonly atMs: number } | null
}

export interface NodeRouteOptions extends BridgeReceiver {
  targets(): readonly TargetStatus[]
  conflicts(): number
  readonly leader: LeaderOptions
  /** Members that this node does not hold may be found on others, whose changes its feed does not have. */
  readonly looksUp?: boolean
}

export function nodeRoutes(db: Database, options: NodeRouteOptions): Route[] {
  return routesByPrincipal(db, (store) => [
    {
      method: 'GET',
      path: '/v1/_nodes',
      access: 'read all',
      summary: 'The targets of this node, and how far they have come',
      tag: v1Tag,
      docs: docs.getNodes,
      handle(request) {
        parametersOf(request, [])
        const { conflicts, targets } = options
        const body = {
          node: store.nodeId,
          conflicts: conflicts(),
          targets: targets().map(targetJson),
          ...leaderStatusJson(options.leader),
          ...(options.looksUp === true ? { lookup: true } : {}),
        }
        return jsonTextLine(JSON.stringify(body))
      },
    },
    {
      method: 'GET',
      path: '/v1/_conflicts',
      access: 'read',
      summary: 'The versions that were lost because two nodes wrote the same member apart',
      tag: v1Tag,
      docs: docs.getConflicts,
      handle: (request) => listConflicts(store, request),
    },
    {
      method: 'POST',
      path: '/v1/_replicate',
      access: 'replicate',
      summary: 'Takes changes of another node, with their origins',
      tag: v1Tag,
      docs: docs.postReplicate,
      handle: (request, context) => postReplicate(store, options, db.positions, request, context),
    },
    {
      method: 'POST',
      path: '/v1/_lookup',
      access: 'read',
      honours: ['idempotency-key'],
      summary: 'What this node itself holds of some members, for a node that does not hold them',
      tag: v1Tag,
      docs: docs.postLookup,
      handle: (request, context) => postLookup(store, request, context),
    },
    ...comparisonRoutes(store),
    ...leaderRoutes(store, options.leader),
  ])
}

function comparisonRoutes(store: Store): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/_digests',
      access: 'replicate',
      summary: 'The collections that can be compared with those of another node',
      tag: v1Tag,
      docs: comparisonDocs.getCompared,
      handle: (request, context) => getCompared(store, request, context),
    },
    {
      method: 'POST',
      path: '/v1/_digests',
      access: 'replicate',
      honours: ['idempotency-key'],
      summary: 'Digests of ranges of keys, to be compared with those of another node',
      tag: v1Tag,
      docs: comparisonDocs.postDigests,
      handle: (request, context) => postDigests(store, request, context),
    },
    {
      method: 'POST',
      path: '/v1/_versions',
      access: 'replicate',
      honours: ['idempotency-key'],
      summary: 'Keys and origins of a range',
      tag: v1Tag,
      docs: comparisonDocs.postVersions,
      handle: (request, context) => postVersions(store, request, context),
    },
    {
      method: 'POST',
      path: '/v1/_states',
      access: 'replicate',
      honours: ['idempotency-key'],
      summary: 'Origins of some members, or of their tombstones',
      tag: v1Tag,
      docs: comparisonDocs.postStates,
      handle: (request, context) => postStates(store, request, context),
    },
    {
      method: 'POST',
      path: '/v1/_entries',
      access: 'replicate',
      honours: ['idempotency-key'],
      summary: 'Some members, or their tombstones, as another node takes them',
      tag: v1Tag,
      docs: comparisonDocs.postEntries,
      handle: (request, context) => postEntries(store, request, context),
    },
  ]
}

function leaderRoutes(store: Store, options: LeaderOptions): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/_replicate',
      access: 'follow',
      summary: 'All changes with their origins, by page, for followers',
      tag: v1Tag,
      docs: docs.getReplica,
      handle: (request, context) => getReplica(store, options, request, context),
    },
    {
      method: 'POST',
      path: '/v1/_nodes/promote',
      access: 'admin all',
      summary: 'Makes a follower the leader',
      tag: v1Tag,
      docs: docs.postPromote,
      handle: (request, context) => postPromote(store, options, request, context),
    },
    {
      method: 'POST',
      path: '/v1/_nodes/demote',
      access: 'admin all',
      summary: 'Tells a leader that another node was promoted in its place',
      tag: v1Tag,
      docs: docs.postDemote,
      handle: (request, context) => postDemote(store, options, request, context),
    },
  ]
}

function targetJson(target: TargetStatus) {
  const { lastError, lastSuccessMs } = target
  return {
    url: target.url,
    state: target.state,
    node: target.node,
    lag_changes: target.lagChanges,
    lag_seconds: target.lagSeconds,
    sent: target.sent,
    failures: target.failures,
    last_error: errorJson(lastError),
    last_success_at: timeJson(lastSuccessMs),
    setbacks: target.setbacks,
    heal: target.heal === null ? null : healJson(target.heal),
  }
}

function healJson({ isRunning, runs, failures, mended, undecided, lastRunMs, lastError }: HealStatus) {
  return {
    is_running: isRunning,
    runs,
    failures,
    mended,
    undecided,
    last_run_at: timeJson(lastRunMs),
    last_error: errorJson(lastError),
  }
}

function errorJson(error: TargetStatus['lastError']) {
  return error === null ? null : { detail: error.detail, at: formatTime(error.atMs) }
}

function timeJson(ms: number | null): string | null {
  return ms === null ? null : formatTime(ms)
}
