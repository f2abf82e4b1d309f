import type { WriteCommand } from './command.ts'
import type { Comparison, MemberRange } from './comparison.ts'
import type { ConflictQuery } from './conflict-records.ts'
import type { Database } from './database.ts'
import type { MemberRef } from './engine.ts'
import { KvistError } from './errors.ts'
import type { Scope } from './feed/scope.ts'
import { capabilities } from './grants.ts'
import { withoutOther } from './indexes/unique.ts'
import { isOwnCollection } from './keys.ts'
import { type Operation, showsValue } from './operations.ts'
import {
  forbidden,
  isWithin,
  requireCollection,
  requireEverywhere,
  requireMember,
  requireReach,
  requireSomewhere,
  type Viewer,
} from './permits.ts'
import { rangesWithin } from './ranges.ts'
import { restrictedLists } from './restricted-lists.ts'
import { hidingViolations } from './restricted-violations.ts'
import { settingsCollection } from './settings.ts'
import type { Store } from './store.ts'
import type { Rejected } from './writes.ts'

/**
 * Returns the store as a viewer may see and change it. All checks of permissions on members are here, so that every
 * protocol has the same ones. What names members, whether to read or to write, is done whole or refused with
 * `forbidden`; lists and feeds show what is within reach.
 */
export function restricted(db: Database, viewer: Viewer): Store {
  const mayRead = (ref: MemberRef) => requireMember(viewer, 'read', ref)
  const mayWrite = (ref: MemberRef) => requireMember(viewer, 'write', ref)

  return {
    nodeId: db.nodeId,
    ...restrictedReads(db, viewer),
    ...restrictedLists(db, viewer),
    async execute(command) {
      requireCommand(viewer, command)
      return hidingOther(
        viewer,
        hidingViolations(viewer, command.operations, () => db.execute(command)),
      )
    },
    async prepare(ref, content, otherwise) {
      mayWrite(ref)
      return db.prepare(ref, content, otherwise)
    },
    async put(collection, key, content, condition, prepared) {
      mayWrite({ collection, key })
      return hidingOther(viewer, db.put(collection, key, content, condition, prepared))
    },
    async delete(collection, key, condition) {
      mayWrite({ collection, key })
      return db.delete(collection, key, condition)
    },
    async patch(ref, patch, condition, expiresAtMs = null) {
      const operation = { op: 'patch', ...ref, patch, condition, expiresAtMs } as const
      requireOperation(viewer, operation)
      const patching = () => db.patch(ref, patch, condition, expiresAtMs)
      return hidingOther(viewer, hidingViolations(viewer, [operation], patching))
    },
    async touch(ref, expiresAtMs, condition) {
      mayWrite(ref)
      return db.touch(ref, expiresAtMs, condition)
    },
    async update(ref, decide, durability) {
      requireOperation(viewer, { op: 'update', ...ref, decide })
      return hidingOther(viewer, db.update(ref, decide, durability))
    },
    putAll: (collection, members) => putAllWithin(db, viewer, collection, members),
    requireReplicable(write) {
      requireReplicate(viewer, write)
      db.requireReplicable(write)
    },
    async replicate(writes, watch) {
      for (const write of writes) requireReplicate(viewer, write)
      return db.replicate(writes, watch)
    },
    requireGranted: (capability, ref) => requireMember(viewer, capability, ref),
    async putUnmirrored(ref, content) {
      mayWrite(ref)
      return db.putUnmirrored(ref, content)
    },
    async deleteUnmirrored(ref) {
      mayWrite(ref)
      return db.deleteUnmirrored(ref)
    },
    conflicts: async (query) => db.conflicts(visibleConflicts(viewer, query)),
    ...restrictedComparison(db, viewer),
    settings(collection) {
      requireAny(viewer, collection)
      return db.settings(collection)
    },
    indexesOf(collection) {
      requireAny(viewer, collection)
      return db.indexesOf(collection)
    },
    settingsRevision(collection) {
      requireAny(viewer, collection)
      return db.settingsRevision(collection)
    },
    async setSettings(collection, settings, condition) {
      requireCollection(viewer, 'admin', collection)
      return db.setSettings(collection, settings, condition)
    },
    async checkMembers(collection, check, memory) {
      requireCollection(viewer, 'admin', collection)
      // What a schema says of values is as good as reading them.
      requireCollection(viewer, 'read', collection)
      return db.checkMembers(collection, check, memory)
    },
    changes: async (scope, after, limit, memory) =>
      db.changes(visibleScope(viewer, scope), after, limit, memory),
    checkCursor: db.checkCursor,
    watch: (scope, since, wake) => db.watch(visibleScope(viewer, scope), since, wake),
    async removalCause(collection, key) {
      mayRead({ collection, key })
      return db.removalCause(collection, key)
    },
  }
}

function restrictedReads(
  db: Database,
  viewer: Viewer,
): Pick<Store, 'get' | 'getHead' | 'getPart' | 'readMany' | 'visitMany'> {
  return {
    get(collection, key) {
      requireMember(viewer, 'read', { collection, key })
      return db.get(collection, key)
    },
    getHead(collection, key) {
      requireMember(viewer, 'read', { collection, key })
      return db.getHead(collection, key)
    },
    getPart(ref, version, from, to) {
      requireMember(viewer, 'read', ref)
      return db.getPart(ref, version, from, to)
    },
    readMany(refs, maxBytes) {
      for (const ref of refs) requireMember(viewer, 'read', ref)
      return db.readMany(refs, maxBytes)
    },
    visitMany(refs, maxBytes, visitor) {
      for (const ref of refs) requireMember(viewer, 'read', ref)
      return db.visitMany(refs, maxBytes, visitor)
    },
  }
}

function requireAny(viewer: Viewer, collection: string): void {
  if (capabilities.some((one) => viewer.permits.reach(one, collection).length > 0)) return
  requireReach(viewer, 'read', collection)
}

/** What shows something of the stored value has to be allowed to read it: else a write could be used for that. */
function requireOperation(viewer: Viewer, operation: Operation): void {
  requireMember(viewer, 'write', operation)
  if (showsValue(operation)) requireMember(viewer, 'read', operation)
}

function requireCommand(viewer: Viewer, { operations, checks = [] }: WriteCommand): void {
  for (const operation of operations) requireOperation(viewer, operation)
  for (const check of checks) {
    const { collection, key } = check
    if (!isWithin(viewer.permits.reach('write', collection), key)) requireMember(viewer, 'read', check)
  }
}

/**
 * Throws `forbidden` unless the viewer may write this as a node does. The settings of a collection need the grant on all of
 * it; other collections of kvist's own, tokens above all, need `admin` too.
 */
function requireReplicate(viewer: Viewer, { collection, key }: MemberRef): void {
  if (!isOwnCollection(collection)) {
    requireMember(viewer, 'replicate', { collection, key })
  } else if (collection === settingsCollection) {
    requireCollection(viewer, 'replicate', key)
  } else {
    requireEverywhere(viewer, 'replicate')
    requireEverywhere(viewer, 'admin')
  }
}

function restrictedComparison(db: Database, viewer: Viewer): Comparison {
  return {
    async digests(query) {
      requireRange(viewer, query)
      return db.digests(query)
    },
    async versions(query) {
      requireRange(viewer, query)
      return db.versions(query)
    },
    async states(refs, atMs) {
      for (const ref of refs) requireReplicate(viewer, ref)
      return db.states(refs, atMs)
    },
    async latestChange(ref, memory) {
      requireReplicate(viewer, ref)
      // To replicate is to write. Of kvist's own collections this shows no more than what `admin` and the settings do.
      if (!isOwnCollection(ref.collection)) requireMember(viewer, 'read', ref)
      return db.latestChange(ref, memory)
    },
    async comparedCollections() {
      requireSomewhere(viewer, 'replicate')
      const all = await db.comparedCollections()
      return all.flatMap((one) => {
        const prefixes = comparedPrefixes(viewer, one.name)
        if (prefixes.length === 0) return isOwnCollection(one.name) ? [{ ...one, members: null }] : []
        return [prefixes[0] === '' ? one : { ...one, members: null }]
      })
    },
  }
}

/** Returns the key prefixes under which the viewer may compare members of a collection, as `reach` does. */
function comparedPrefixes({ permits }: Viewer, collection: string): readonly string[] {
  if (!isOwnCollection(collection)) return permits.reach('replicate', collection)
  const mayCompare =
    permits.everywhere('replicate') && (collection === settingsCollection || permits.everywhere('admin'))
  return mayCompare ? [''] : []
}

/** Throws `forbidden` unless the viewer may compare all members of a range. */
function requireRange(viewer: Viewer, { collection, from, to }: MemberRange): void {
  const prefixes = comparedPrefixes(viewer, collection)
  if (prefixes[0] === '') return
  const [first, ...others] = rangesWithin(prefixes, { from, to })
  if (first !== undefined && others.length === 0 && first.from === from && first.to === to) return
  throw forbidden(viewer.name, 'replicate', `these keys of collection ${collection}`, { collection })
}

/** Stores the members that the viewer may write, and rejects the others, each on its own. */
async function putAllWithin(
  db: Database,
  viewer: Viewer,
  collection: string,
  members: Parameters<Database['putAll']>[1],
): Promise<Rejected[]> {
  const prefixes = requireReach(viewer, 'write', collection)
  const rejected: Rejected[] = []
  const kept: number[] = []
  for (const [index, { key }] of members.entries()) {
    if (isWithin(prefixes, key)) kept.push(index)
    else rejected.push({ index, error: memberError(viewer, { collection, key }) })
  }
  const failed =
    kept.length === 0
      ? []
      : await db.putAll(
          collection,
          kept.map((index) => members[index]!),
        )
  return [
    ...rejected,
    ...failed.map(({ index, error }) => ({ index: kept[index]!, error: withoutHidden(viewer, error) })),
  ]
}

/** Names the other member of a `not_unique` error only if the viewer may read that. */
async function hidingOther<Result>(viewer: Viewer, writing: Promise<Result>): Promise<Result> {
  try {
    return await writing
  } catch (error) {
    throw error instanceof KvistError ? withoutHidden(viewer, error) : error
  }
}

function withoutHidden(viewer: Viewer, error: KvistError): KvistError {
  if (error.code !== 'not_unique') return error
  const { collection, key } = error.extra.other as MemberRef
  return isWithin(viewer.permits.reach('read', collection), key) ? error : withoutOther(error)
}

function memberError(viewer: Viewer, ref: MemberRef): KvistError {
  try {
    requireMember(viewer, 'write', ref)
  } catch (error) {
    if (error instanceof KvistError) return error
    throw error
  }
  throw new Error(`${ref.collection}/${ref.key} is within reach`)
}

/** Returns the query without the conflicts of members that the viewer may not read. */
function visibleConflicts(viewer: Viewer, query: ConflictQuery): ConflictQuery {
  const { permits } = viewer
  if (query.collection === null) requireSomewhere(viewer, 'read')
  else requireReach(viewer, 'read', query.collection)
  if (permits.everywhere('read')) return query
  return { ...query, sees: (collection, key) => isWithin(permits.reach('read', collection), key) }
}

/** Returns the scope without what the viewer may not see. Cursors stay those of the whole feed. */
function visibleScope(viewer: Viewer, scope: Scope): Scope {
  const { permits } = viewer
  const { collection, key, prefix } = scope
  if (collection === null) {
    requireSomewhere(viewer, 'read')
    if (permits.everywhere('read')) return scope
    return { ...scope, sees: (name, member) => isWithin(permits.reach('read', name), member) }
  }
  if (key !== null) {
    requireMember(viewer, 'read', { collection, key })
    return scope
  }
  const prefixes = requireReach(viewer, 'read', collection)
  if (isWithin(prefixes, prefix ?? '')) return scope
  if (prefix !== null && !prefixes.some((one) => one.startsWith(prefix))) {
    throw forbidden(viewer.name, 'read', `keys of collection ${collection} that begin with ${prefix}`, {
      collection,
      key_prefix: prefix,
    })
  }
  return { ...scope, sees: (_name, member) => isWithin(prefixes, member) }
}
