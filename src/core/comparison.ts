import { createHash, type Hash } from 'node:crypto'
import type { Engine, MemberRef } from './engine.ts'
import { isOwnCollection } from './keys.ts'
import { maxDigestedRange, maxDigestWork, smallPageBytes } from './limits.ts'
import {
  type Change,
  isExpired,
  type Member,
  type MemberHead,
  type RemovalCause,
  type Tombstone,
} from './member.ts'
import { nextTick } from './next-tick.ts'
import { type Origin, withNodeId } from './origin.ts'
import { type PageMemory, unlimitedMemory } from './page-memory.ts'
import type { KeyRange } from './ranges.ts'
import { settingsCollection } from './settings.ts'

/**
 * What nodes compare: the versions of the members that live at a time, by digests of ranges of keys. Two ranges have the
 * same digest exactly if they hold the same keys with the same origins and expiries; an origin stands for a value, so no
 * value is read. Tombstones are not in digests, because each node forgets them at its own time; they are asked for by key,
 * where nodes differ.
 *
 * Digests are computed when they are asked for: docs/design/replication.md has the figures.
 */
export interface Comparison {
  /** Returns digests of the next ranges of a query, at least one; ask again from the end of the last. */
  digests(query: DigestQuery): Promise<readonly RangeDigest[]>
  /** Returns a page of the versions that live at a time, in the order of their keys. */
  versions(query: VersionsQuery): Promise<VersionsPage>
  /** Returns what this node has of some members. */
  states(refs: readonly MemberRef[], atMs: number): Promise<States>
  /** Returns what this node has of a member, to be sent to another one; null for neither member nor tombstone. */
  latestChange(ref: MemberRef, memory?: PageMemory): Promise<Change | null>
  /** Returns the collections that nodes compare; `members` is null where the viewer may not compare all of one. */
  comparedCollections(): Promise<readonly ComparedCollection[]>
}

export interface ComparedCollection {
  readonly name: string
  readonly members: number | null
}

/** A range of the keys of a collection. */
export interface MemberRange extends KeyRange {
  readonly collection: string
}

interface ComparedRange extends MemberRange {
  /** Members that have expired at this time are left out, swept or not. */
  readonly atMs: number
}

export interface DigestQuery extends ComparedRange {
  /** The ends of the ranges, in order, the last being `to`; null for ranges of `members` members each. */
  readonly ends: readonly (string | null)[] | null
  readonly members: number
}

export interface RangeDigest {
  /** The first key past the range; null for the end of the collection. */
  readonly to: string | null
  /** Of a range without a digest those that were counted. */
  readonly members: number
  /** Null if the range has more than `maxDigestedRange`. */
  readonly digest: string | null
}

export interface VersionsQuery extends ComparedRange {
  readonly limit: number
}

/** The version of a member, with the id of its node. */
export interface KeyVersion extends Origin {
  readonly key: string
  readonly expiresAtMs: number | null
}

export interface VersionsPage {
  readonly versions: readonly KeyVersion[]
  /** The `from` of the next page; null when there are no more. */
  readonly next: string | null
}

/** What a node has of a member; a member that has expired is as good as its tombstone. Nodes have their ids. */
export type MemberState =
  | (Origin & { readonly type: 'put'; readonly expiresAtMs: number | null })
  | (Origin & { readonly type: RemovalCause })
  | { readonly type: 'none' }

export interface States {
  readonly states: readonly MemberState[]
  /** See `Engine.forgottenClock`; read after the states. */
  readonly forgottenClock: number
}

type ComparedEngine = Pick<
  Engine,
  'nodeId' | 'scan' | 'read' | 'readHead' | 'tombstone' | 'forgottenClock' | 'collections'
>

export function comparisonOf(engine: ComparedEngine, now: () => number): Comparison {
  return {
    digests: (query) => digestsOf(engine, query),
    versions: (query) => versionsOf(engine, query),
    states: (refs, atMs) => statesOf(engine, refs, atMs),
    latestChange: (ref, memory = unlimitedMemory) => latestChangeOf(engine, ref, now(), memory),
    async comparedCollections() {
      const all = await engine.collections()
      return all.filter(isCompared).map(({ name, members }) => ({ name, members }))
    },
  }
}

/** The collection of tokens, as nodes know it. */
export const sharedTokens = '_tokens'

/** Of kvist's own collections those that nodes send each other; the others are of one node. */
export const sharedOwnCollections: ReadonlySet<string> = new Set([settingsCollection, sharedTokens])

function isCompared({ name }: { readonly name: string }): boolean {
  return !isOwnCollection(name) || sharedOwnCollections.has(name)
}

/** Members per scan: other requests wait for one. */
const scannedAtOnce = 1000

async function digestsOf(engine: ComparedEngine, query: DigestQuery): Promise<readonly RangeDigest[]> {
  const { ends, to, members } = query
  const ranges: RangeDigest[] = []
  let from = query.from
  let work = 0
  do {
    const end = ends === null ? to : (ends[ranges.length] ?? to)
    const range = await rangeDigest(engine, query, from, end, ends === null ? members : null)
    ranges.push(range)
    work += range.members + scannedAtOnce / 10
    from = range.to
  } while (from !== to && work < maxDigestWork)
  return ranges
}

/** Returns the digest of a range that ends at a key, or before it after `full` members. */
async function rangeDigest(
  engine: ComparedEngine,
  { collection, atMs }: DigestQuery,
  start: string | null,
  end: string | null,
  full: number | null,
): Promise<RangeDigest> {
  const hash = createHash('sha256')
  let members = 0
  let from = start
  for (;;) {
    const limit = full === null ? scannedAtOnce : Math.min(scannedAtOnce, full - members)
    const page = await engine.scan({ collection, from, to: end, order: 'asc', limit, keysOnly: true })
    members += addVersions(hash, page.members, engine.nodeId, atMs)
    if (page.next === null) return { to: end, members, digest: digestOf(hash) }
    if (full !== null && members >= full) return { to: page.next, members, digest: digestOf(hash) }
    if (members > maxDigestedRange) return { to: end, members, digest: null }
    from = page.next
    await nextTick()
  }
}

/** Adds the versions that live at a time, and returns how many these are. */
function addVersions(hash: Hash, members: readonly Member[], nodeId: string, atMs: number): number {
  let text = ''
  let count = 0
  for (const member of members) {
    if (isExpired(member, atMs)) continue
    const { key, clock, node, expiresAtMs } = member
    // The length goes first: no key can look like the end of one version and the beginning of the next.
    text += `${key.length} ${key}${clock} ${node || nodeId} ${expiresAtMs}\n`
    count++
  }
  hash.update(text)
  return count
}

const digestBytes = 16

function digestOf(hash: Hash): string {
  return hash.digest().subarray(0, digestBytes).toString('base64url')
}

async function versionsOf(engine: ComparedEngine, query: VersionsQuery): Promise<VersionsPage> {
  const { collection, to, atMs, limit } = query
  const versions: KeyVersion[] = []
  let from = query.from
  for (;;) {
    const asked = Math.min(scannedAtOnce, limit - versions.length)
    const page = await engine.scan({ collection, from, to, order: 'asc', limit: asked, keysOnly: true })
    for (const member of page.members) {
      if (isExpired(member, atMs)) continue
      const { key, clock, node, expiresAtMs } = member
      versions.push({ key, clock, node: node || engine.nodeId, expiresAtMs })
    }
    if (page.next === null || versions.length >= limit) return { versions, next: page.next }
    from = page.next
    await nextTick()
  }
}

/** After so many reads by key other requests are served. */
const readInTick = 100

async function statesOf(engine: ComparedEngine, refs: readonly MemberRef[], atMs: number): Promise<States> {
  const states: MemberState[] = []
  for (const [i, ref] of refs.entries()) {
    if (i % readInTick === readInTick - 1) await nextTick()
    states.push(await stateOf(engine, ref, atMs))
  }
  return { states, forgottenClock: await engine.forgottenClock() }
}

async function stateOf(engine: ComparedEngine, ref: MemberRef, atMs: number): Promise<MemberState> {
  const found = await headOrTombstone(engine, ref)
  if (found === null) return { type: 'none' }
  const { clock, node } = withNodeId(found, engine.nodeId)
  if ('cause' in found) return { type: found.cause, clock, node }
  if (isExpired(found, atMs)) return { type: 'expire', clock, node }
  return { type: 'put', clock, node, expiresAtMs: found.expiresAtMs }
}

async function headOrTombstone(
  engine: ComparedEngine,
  { collection, key }: MemberRef,
): Promise<MemberHead | Tombstone | null> {
  return (
    (await engine.readHead(collection, key)) ??
    (await engine.tombstone(collection, key)) ??
    // A put over a forgotten tombstone may have come in between.
    (await engine.readHead(collection, key))
  )
}

async function latestChangeOf(
  engine: ComparedEngine,
  ref: MemberRef,
  nowMs: number,
  memory: PageMemory,
): Promise<Change | null> {
  const { collection, key } = ref
  const found = await headOrTombstone(engine, ref)
  if (found === null) return null
  if ('cause' in found) return { type: found.cause, collection, tombstone: found }
  if (isExpired(found, nowMs)) return { type: 'expire', collection, tombstone: tombstoneOf(found) }
  if (found.valueBytes > smallPageBytes) await memory.reserve()
  const member = await engine.read(collection, key)
  // Deleted meanwhile: whoever asks compares again.
  return member === null ? null : { type: 'put', collection, member }
}

/** The tombstone that the sweep will leave of an expired member. */
function tombstoneOf({ key, revision, clock, node }: MemberHead): Tombstone {
  return { key, revision, cause: 'expire', clock, node, removedClock: clock }
}
