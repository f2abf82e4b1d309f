import type { Archive } from '../../core/archive.ts'
import type { Database } from '../../core/database.ts'
import type { Store } from '../../core/store.ts'
import { type WatchCounts, watchCounts } from '../../telemetry/watch-counts.ts'
import { routesByPrincipal } from '../by-principal.ts'
import { largeValues, sharedValues } from '../large-values.ts'
import { eventStream, isNdjson, ndjsonTypes, negotiation } from '../media-types.ts'
import { collectionOf, memberOf } from '../path.ts'
import type { Route } from '../route.ts'
import { type EventStreams, eventStreams } from '../sse.ts'
import { postBatch } from './batch.ts'
import { importLines } from './bulk.ts'
import { getChanges } from './changes.ts'
import { dropMembers, listCollections, postMember } from './collections.ts'
import { readConditions, writeConditions } from './conditions.ts'
import { getHistory } from './history.ts'
import { type Idempotency, idempotency } from './idempotency.ts'
import { listMembers } from './lists.ts'
import { deleteMember, getMember, putMember } from './members.ts'
import * as collectionDocs from './openapi-collections.ts'
import { getHistory as getHistoryDocs } from './openapi-history.ts'
import * as memberDocs from './openapi-members.ts'
import { v1Tag } from './openapi-parts.ts'
import * as queryDocs from './openapi-query.ts'
import * as storeDocs from './openapi-store.ts'
import { patchMember } from './patch.ts'
import { queryMembers } from './query.ts'
import { readMembers } from './read.ts'
import { checkMembers, deleteSettings, getSettings, putSettings, settingsConditions } from './settings.ts'
import { type Watching, watchCollection, watchStore } from './watch.ts'

const changesType = negotiation('application/json', [eventStream])
const listType = negotiation('application/json', [eventStream, ...ndjsonTypes])
const queryType = negotiation('application/json', ndjsonTypes)

/**
 * Returns the routes of kvist's own API, `/v1`, one for each method and path. `counts` and `streams` are those that
 * metrics read.
 */
export function v1Routes(
  db: Database,
  counts: WatchCounts = watchCounts(),
  streams: EventStreams = eventStreams(),
  archive: Archive | null = null,
): Route[] {
  const values = sharedValues()
  return routesByPrincipal(db, (store) =>
    storeRoutes(
      { db: store, values: largeValues(store, values), counts, streams, archive },
      idempotency(store, db),
    ),
  )
}

function storeRoutes(watching: Watching, once: Idempotency): Route[] {
  const { db } = watching
  const all: Route[] = [
    {
      method: 'GET',
      path: '/v1',
      access: 'read',
      summary: 'The collections, with members and bytes',
      docs: storeDocs.listCollections,
      handle: (request) => listCollections(db, request),
    },
    {
      method: 'POST',
      path: '/v1/_batch',
      access: 'write',
      summary: 'Checks and operations, committed together or not at all, or each by itself',
      docs: storeDocs.postBatch,
      honours: ['idempotency-key'],
      handle: (request, context) => postBatch(once, request, context),
    },
    {
      method: 'POST',
      path: '/v1/_read',
      access: 'read',
      honours: ['idempotency-key'],
      summary: 'Many members at once',
      docs: storeDocs.readMembers,
      handle: (request, context) => readMembers(db, request, context),
    },
    {
      method: 'POST',
      path: '/v1/_query',
      access: 'read',
      honours: ['idempotency-key'],
      summary: 'Members found by what is in them, as a list has them',
      docs: queryDocs.queryMembers,
      handle: (request, context) => queryMembers(db, request, queryType(request.header('accept')), context),
    },
    {
      method: 'GET',
      path: '/v1/_changes',
      access: 'read',
      summary: 'What has changed since, by page; all that changes, as events',
      docs: storeDocs.getChanges,
      handle: (request, context) =>
        changesType(request.header('accept')) === eventStream
          ? watchStore(watching, request, context)
          : getChanges(watching, request, context),
    },
    ...settingsRoutes(db),
    ...historyRoutes(watching, '/v1/_history/:collection/:key'),
    ...historyRoutes(watching, '/v1/_history/:collection/*'),
    {
      method: 'GET',
      path: '/v1/:collection',
      access: 'read',
      summary: 'A page of members, all of them as NDJSON, or their changes as events',
      docs: collectionDocs.listMembers,
      handle(request, context) {
        const collection = collectionOf(request)
        const type = listType(request.header('accept'))
        return type === eventStream
          ? watchCollection(watching, request, collection, context)
          : listMembers(db, request, collection, type, context)
      },
    },
    {
      method: 'POST',
      path: '/v1/:collection',
      access: 'write',
      summary: 'Stores a value under a new id; imports NDJSON',
      docs: collectionDocs.postMembers,
      honours: ['idempotency-key'],
      handle(request, context) {
        const collection = collectionOf(request)
        return isNdjson(request.header('content-type'))
          ? importLines(db, request, collection, context)
          : postMember(once, request, collection, context)
      },
    },
    {
      method: 'DELETE',
      path: '/v1/:collection',
      access: 'admin',
      summary: 'Drops a collection, or what of it is selected',
      docs: collectionDocs.dropMembers,
      handle: (request, context) => dropMembers(db, request, collectionOf(request), context),
    },
    ...memberRoutes(watching, once, '/v1/:collection/:key'),
    ...memberRoutes(watching, once, '/v1/:collection/*'),
  ]
  return all.map((route) => ({ ...route, tag: v1Tag }))
}

function settingsRoutes(db: Store): Route[] {
  const path = '/v1/_collections/:collection'
  return [
    {
      method: 'GET',
      path,
      access: 'read',
      summary: 'What is set for a collection',
      docs: collectionDocs.getSettings,
      handle: (request) => getSettings(db, request, collectionOf(request)),
    },
    {
      method: 'PUT',
      path,
      access: 'admin',
      summary: 'Sets processes and default expiry of a collection',
      docs: collectionDocs.putSettings,
      honours: settingsConditions,
      handle: (request, context) => putSettings(db, request, collectionOf(request), context),
    },
    {
      method: 'DELETE',
      path,
      access: 'admin',
      summary: 'Forgets what was set for a collection',
      docs: collectionDocs.deleteSettings,
      honours: settingsConditions,
      handle: (request, context) => deleteSettings(db, request, collectionOf(request), context),
    },
    {
      method: 'POST',
      path: `${path}/_check`,
      access: 'admin',
      summary: 'The members that break a JSON Schema',
      docs: collectionDocs.checkMembers,
      handle: (request, context) => checkMembers(db, request, collectionOf(request), context),
    },
  ]
}

function historyRoutes({ db, archive }: Watching, path: string): Route[] {
  return [
    {
      method: 'GET',
      path,
      access: 'read',
      summary: 'The versions of a member that the archive has',
      docs: getHistoryDocs,
      handle: (request) => getHistory(db, archive, request, memberOf(request)),
    },
  ]
}

/**
 * Returns the routes of one member. A key with unescaped slashes spans several segments, so they are mounted on two
 * paths.
 */
function memberRoutes(watching: Watching, once: Idempotency, path: string): Route[] {
  const { db } = watching
  return [
    {
      method: 'GET',
      path,
      access: 'read',
      summary: 'The value as it was stored, or its changes as events',
      docs: memberDocs.getMember,
      honours: readConditions,
      handle: (request, context) => getMember(watching, request, memberOf(request), context),
    },
    {
      method: 'PUT',
      path,
      access: 'write',
      summary: 'Stores a value',
      docs: memberDocs.putMember,
      honours: writeConditions,
      handle: (request, context) => putMember(db, request, memberOf(request), context),
    },
    {
      method: 'PATCH',
      path,
      access: 'write',
      summary: 'Changes a part of a value',
      docs: memberDocs.patchMember,
      honours: [...writeConditions, 'idempotency-key'],
      handle: (request, context) => patchMember(once, request, memberOf(request), context),
    },
    {
      method: 'DELETE',
      path,
      access: 'write',
      summary: 'Deletes a member',
      docs: memberDocs.deleteMember,
      honours: writeConditions,
      handle: (request, context) => deleteMember(db, request, memberOf(request), context),
    },
  ]
}
