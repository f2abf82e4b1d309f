import { msToStamp } from './clock.ts'
import { type Condition, requireCondition } from './condition.ts'
import type { Database } from './database.ts'
import type { MaybePromise, MemberRef } from './engine.ts'
import { KvistError } from './errors.ts'
import { isOwnCollection } from './keys.ts'
import { maxValueBytes, smallBytes } from './limits.ts'
import { isExpired, type Member, type MemberHead, type RemovalCause, type Value } from './member.ts'
import { type ComparedVersion, effectOf, type Origin, withNodeId } from './origin.ts'
import type { MemberReader, ReadQueue } from './read-queue.ts'

/**
 * The store of a node that asks other nodes for members that it does not hold. A read or delete by key that finds
 * nothing here asks all of them at once, and takes the newest version that one of them has: by its origin, as nodes
 * settle conflicts. A tombstone, here or there, wins over older versions. Lists, the feed and writes are of this node
 * alone. What is found is not stored here.
 */

/** A version of a member as another node holds it, or the tombstone of one. */
export type ForeignVersion = ForeignMember | ForeignTombstone

export interface ForeignMember extends Origin {
  readonly type: 'put'
  readonly head: Omit<MemberHead, 'revision' | keyof Origin>
  /** Null if it is larger than was asked for. */
  readonly value: Value | null
}

export interface ForeignTombstone extends Origin {
  readonly type: RemovalCause
}

/** What one node said; `versions` are in the order of the question, null for what it does not hold. */
export type NodeResponse =
  | { readonly url: string; readonly versions: readonly (ForeignVersion | null)[] }
  | { readonly url: string; readonly failure: string }

/** The nodes that are asked. */
export interface OtherNodes {
  /** Asks all nodes, within a time limit. Values of more than `maxValueBytes` are left out. Rejects only with `busy`. */
  ask(refs: readonly MemberRef[], maxValueBytes: number): Promise<readonly NodeResponse[]>
  /** Asks one of them. */
  askOne(url: string, refs: readonly MemberRef[], maxValueBytes: number): Promise<NodeResponse>
  /**
   * Tells nodes that hold a member of its delete. Returns the URLs of those that did not take it, and that the mirror
   * does not send it to either.
   */
  sendDelete(urls: readonly string[], ref: MemberRef, origin: Origin): Promise<readonly string[]>
  /** Counts an outcome. */
  count(outcome: LookupOutcome): void
}

export const lookupOutcomes = ['found', 'missing', 'unknown'] as const
export type LookupOutcome = (typeof lookupOutcomes)[number]

/** Members in one question. */
const askedAtOnce = 100

export function withLookup(db: Database, nodes: OtherNodes, now: () => number): Database {
  const finder: Finder = { db, nodes, now }
  return { ...db, ...lookupReads(finder), ...lookupQueue(db), delete: deletes(finder) }
}

interface Finder {
  readonly db: Database
  readonly nodes: OtherNodes
  readonly now: () => number
}

/** The newest version of a member, on whichever node. */
interface Newest<Version extends ForeignVersion = ForeignVersion> {
  readonly version: Version
  /** Where it is; null for this node, which may have got it meanwhile. */
  readonly url: string | null
  /** Of a version of another node it is the stamp: that node's revisions could be taken for other versions of this one. */
  readonly revision: number
}

function headOf({ version, revision }: Newest<ForeignMember>, { nodeId }: Database): MemberHead {
  const { clock, node, head } = version
  return { ...head, clock, node: node === nodeId ? '' : node, revision }
}

function lookupReads(
  finder: Finder,
): Pick<Database, 'get' | 'getHead' | 'getPart' | 'readMany' | 'visitMany'> {
  const { db } = finder

  async function find(ref: MemberRef, valueBytes: number): Promise<Newest<ForeignMember> | null> {
    const [found] = await newestOf(finder, [ref], valueBytes)
    return shownOf(found ?? null, finder)
  }

  async function findMember(ref: MemberRef): Promise<Member | null> {
    const found = await find(ref, smallBytes)
    return found === null ? null : memberOf(finder, ref, found)
  }

  async function findMissing(
    refs: readonly MemberRef[],
    members: readonly (Member | null)[],
    maxBytes: number,
  ): Promise<(Member | null)[]> {
    const all: (Member | null)[] = []
    let bytes = 0
    for (let at = 0; at < members.length; at += askedAtOnce) {
      const held = members.slice(at, at + askedAtOnce)
      const missing = refs.slice(at, at + held.length).filter((ref, i) => held[i] === null && isLookedUp(ref))
      const newest = missing.length === 0 ? [] : await newestOf(finder, missing, smallBytes)
      const found = new Map(missing.map((ref, i) => [ref, newest[i] ?? null]))
      for (const [i, member] of held.entries()) {
        const ref = refs[at + i]!
        const shown = found.has(ref) ? shownOf(found.get(ref) ?? null, finder) : null
        const one = shown === null ? member : await memberOf(finder, ref, shown)
        all.push(one)
        bytes += one?.value.length ?? 0
        if (bytes > maxBytes) return all
      }
    }
    return all
  }

  return {
    get(collection, key) {
      const otherwise = (member: Member | null) =>
        member === null && isLookedUp({ collection }) ? findMember({ collection, key }) : member
      return whenRead(db.get(collection, key), otherwise)
    },
    getHead(collection, key) {
      return whenRead(db.getHead(collection, key), (head) => {
        if (head !== null || !isLookedUp({ collection })) return head
        return find({ collection, key }, 0).then((found) => found && headOf(found, db))
      })
    },
    getPart(ref, version, from, to) {
      return whenRead(db.getPart(ref, version, from, to), async (part) => {
        if (part !== null || version.revision !== version.clock) return part
        const member = await findMember(ref)
        if (member === null || member.clock !== version.clock) return null
        return Buffer.from(member.value as Uint8Array).subarray(from, to)
      })
    },
    // Members that are missing here may be elsewhere.
    visitMany: () => null,
    readMany(refs, maxBytes) {
      return whenRead(db.readMany(refs, maxBytes), (members) =>
        members.includes(null) ? findMissing(refs, members, maxBytes ?? Number.POSITIVE_INFINITY) : members,
      )
    },
  }
}

/** Returns the member with its value, which a node sends with the version unless it is large. */
async function memberOf(
  { db, nodes }: Finder,
  ref: MemberRef,
  found: Newest<ForeignMember>,
): Promise<Member> {
  const { valueBytes: _, ...head } = headOf(found, db)
  return { ...head, value: found.version.value ?? (await largeValue(nodes, ref, found)) }
}

async function largeValue(
  nodes: OtherNodes,
  ref: MemberRef,
  { url, version: { clock, node } }: Newest<ForeignMember>,
): Promise<Value> {
  const response = await nodes.askOne(url!, [ref], maxValueBytes)
  const version = 'versions' in response ? response.versions[0] : null
  if (version?.type === 'put' && version.value !== null && version.clock === clock && version.node === node)
    return version.value
  throw new KvistError('lookup_failed', `${url} has another value by now, or did not send it`, {
    nodes: [url],
  })
}

function isLookedUp({ collection }: Pick<MemberRef, 'collection'>): boolean {
  return !isOwnCollection(collection)
}

function whenRead<Read, Result>(
  read: MaybePromise<Read>,
  use: (result: Read) => MaybePromise<Result>,
): MaybePromise<Result> {
  return read instanceof Promise ? read.then(use) : use(read)
}

/**
 * Returns the newest version of each member, null where all nodes said that they have none. Throws `lookup_failed` where
 * none was found and not all nodes responded, unless this node has a tombstone: then it knows of the member's end.
 */
async function newestOf(
  finder: Finder,
  refs: readonly MemberRef[],
  maxValueBytes: number,
): Promise<(Newest | null)[]> {
  const responses = await finder.nodes.ask(refs, maxValueBytes)
  const newest: (Newest | null)[] = []
  for (const [i, ref] of refs.entries()) newest.push(await newestIn(finder, ref, responses, i))
  return newest
}

async function newestIn(
  { db, nodes, now }: Finder,
  ref: MemberRef,
  responses: readonly NodeResponse[],
  index: number,
): Promise<Newest | null> {
  let newest = await ownVersion(db, ref)
  for (const response of responses) {
    const version = 'versions' in response ? response.versions[index] : null
    if (version != null && isNewer(version, newest?.version ?? null, now()))
      newest = { version, url: response.url, revision: version.clock }
  }
  const failed = responses.flatMap((response) => ('failure' in response ? [response] : []))
  if (newest !== null || failed.length === 0) return newest
  nodes.count('unknown')
  const who = failed.map(({ url, failure }) => `${url}: ${failure}`).join('; ')
  throw new KvistError('lookup_failed', `it is not on this node, and not all others responded: ${who}`, {
    nodes: failed.map(({ url }) => url),
  })
}

function isNewer(version: ForeignVersion, than: ForeignVersion | null, nowMs: number): boolean {
  return than === null || effectOf(comparedOf(version), comparedOf(than), nowMs) !== 'none'
}

function comparedOf(version: ForeignVersion): ComparedVersion {
  const { clock, node } = version
  return { clock, node, expiresAtMs: version.type === 'put' ? version.head.expiresAtMs : undefined }
}

/** Returns the latest change of a member on this node: a tombstone, or the member if it came meanwhile. */
async function ownVersion(db: Database, { collection, key }: MemberRef): Promise<Newest | null> {
  const page = await db.changes({ collection, key, prefix: null, filter: null }, '', 1)
  const change = page.events[0]?.change
  if (change === undefined) return null
  const { clock, node } = withNodeId(change.type === 'put' ? change.member : change.tombstone, db.nodeId)
  if (change.type !== 'put') {
    const { revision } = change.tombstone
    return { version: { type: change.type, clock, node }, url: null, revision }
  }
  const { value, revision, ...head } = change.member
  const valueBytes = Buffer.byteLength(value)
  return { version: { type: 'put', clock, node, head: { ...head, valueBytes }, value }, url: null, revision }
}

/** Returns the version if it is a member that has not expired, and counts the outcome. */
function shownOf(found: Newest | null, { nodes, now }: Finder): Newest<ForeignMember> | null {
  const isShown = found !== null && isMember(found) && !isExpired(found.version.head, now())
  nodes.count(isShown ? 'found' : 'missing')
  return isShown ? found : null
}

function isMember(found: Newest): found is Newest<ForeignMember> {
  return found.version.type === 'put'
}

/**
 * Returns a delete that also deletes what only other nodes hold. This node keeps the tombstone, whose stamp is larger
 * than that of the version: the mirror sends it to nodes that could not be reached, and a later lookup finds nothing.
 */
function deletes(finder: Finder): Database['delete'] {
  const { db, nodes, now } = finder

  async function deleteElsewhere(ref: MemberRef, condition: Condition | undefined): Promise<number> {
    const responses = await nodes.ask([ref], 0)
    const newest = await newestIn(finder, ref, responses, 0)
    const holders = responses.flatMap((one) =>
      'versions' in one && one.versions[0]?.type === 'put' ? [one.url] : [],
    )
    if (newest?.url === null && newest.version.type === 'delete' && holders.length > 0) {
      // An earlier delete did not reach them.
      return spread(holders, ref, newest.version, newest.revision)
    }
    const found = shownOf(newest, finder)
    if (condition !== undefined)
      requireCondition(condition, found === null ? null : { ...headOf(found, db), value: '' })
    if (found === null) return 0
    const origin = { node: db.nodeId, clock: Math.max(msToStamp(now()), found.version.clock + 1) }
    const [written] = await db.replicate([{ op: 'delete', ...ref, cause: 'delete', origin }])
    return spread(holders, ref, origin, written!.revision)
  }

  async function spread(
    holders: readonly string[],
    ref: MemberRef,
    { node, clock }: Origin,
    revision: number,
  ): Promise<number> {
    const failed = await nodes.sendDelete(holders, ref, { node, clock })
    if (failed.length === 0) return revision
    const detail = `${failed.join(', ')} did not take the delete: send it again`
    throw new KvistError('lookup_failed', detail, { nodes: failed })
  }

  return async (collection, key, condition) => {
    const ref = { collection, key }
    if (!isLookedUp(ref)) return db.delete(collection, key, condition)
    // A condition fails if nothing is here, so this node has to be read first.
    if (condition === undefined || (await db.getHead(collection, key)) !== null) {
      const revision = await db.delete(collection, key, condition)
      if (revision !== 0) return revision
    }
    return deleteElsewhere(ref, condition)
  }
}

/** Returns a queue whose readers read by themselves what is not here, so that other reads do not wait for it. */
function lookupQueue(db: Database): Pick<Database, 'readQueue'> {
  return {
    readQueue(schedule) {
      const queue = db.readQueue(schedule)
      let last: { readonly reader: MemberReader; readonly wrapped: MemberReader } | null = null

      function wrappedOf(reader: MemberReader): MemberReader {
        if (last?.reader === reader) return last.wrapped
        const wrapped: MemberReader = {
          found(members, from, count) {
            let held = 0
            while (held < count && members[from + held] !== null) held++
            reader.found(members, from, held)
          },
        }
        last = { reader, wrapped }
        return wrapped
      }

      return {
        cached: (ref) => queue.cached(ref) ?? undefined,
        add: (ref, reader) => queue.add(ref, wrappedOf(reader)),
        addUncached: (ref, reader) => queue.addUncached(ref, wrappedOf(reader)),
      } satisfies ReadQueue
    },
  }
}
