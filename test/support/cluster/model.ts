import type { Commit, CommitResult, MemberRef, Renew, Write, Written } from '../../../src/core/engine.ts'
import { isOwnCollection } from '../../../src/core/keys.ts'
import type { Member } from '../../../src/core/member.ts'
import type { Origin } from '../../../src/core/origin.ts'
import { settingsCollection } from '../../../src/core/settings.ts'

/**
 * What the nodes of a cluster should agree on: of the versions of a member that a node can know of, the one with the
 * largest stamp, then node, and of its expiries the latest. It is told of what clients write on each node, and nothing of
 * how nodes exchange it.
 */
export interface ClusterModel {
  /** Takes over a commit of clients and jobs on a node; `read` returns what is stored after it. */
  note(node: string, commit: Commit, result: CommitResult, read: (ref: MemberRef) => Member | null): void
  /** The members that have not expired, as a node knows them that gets the writes of some nodes, by `idOf`. */
  expected(sources: SourcesOf, nowMs: number): Map<string, KnownVersion>
  versions(): readonly Version[]
}

/** Returns the nodes whose writes to a member come to a node. */
export type SourcesOf = (ref: MemberRef) => ReadonlySet<string>

/** A version, or a delete. */
export interface Version extends MemberRef {
  readonly origin: Origin
  /** Null for a delete. */
  readonly content: Pick<Member, 'value' | 'contentType' | 'flags' | 'createdAtMs'> | null
  /** The expiries that nodes gave it. */
  readonly expiries: { readonly by: string; readonly expiresAtMs: number | null }[]
}

export interface KnownVersion extends Version {
  readonly expiresAtMs: number | null
}

export function idOf({ collection, key }: MemberRef): string {
  return `${collection}/${key}`
}

/** Whether nodes send the changes of a collection. */
export function isExchanged(collection: string): boolean {
  return !isOwnCollection(collection) || collection === settingsCollection
}

export function clusterModel(): ClusterModel {
  /** By member, then by origin. */
  const members = new Map<string, Map<string, Version>>()

  function versionsOf(ref: MemberRef): Map<string, Version> {
    const found = members.get(idOf(ref)) ?? new Map<string, Version>()
    members.set(idOf(ref), found)
    return found
  }

  function add(version: Version, by: string, expiresAtMs: number | null): void {
    const { clock, node } = version.origin
    const versions = versionsOf(version)
    const known = versions.get(`${clock} ${node}`) ?? version
    versions.set(`${clock} ${node}`, known)
    known.expiries.push({ by, expiresAtMs })
  }

  function noteWrite(by: string, write: Write, { clock, createdAtMs }: Written): void {
    const { op, collection, key } = write
    if (op === 'delete' && write.cause === 'expire') return
    const origin = { clock, node: by }
    const content = op === 'delete' ? null : { ...contentOf(write), createdAtMs }
    add({ collection, key, origin, content, expiries: [] }, by, op === 'put' ? write.expiresAtMs : null)
  }

  function noteRenewal(by: string, { collection, key }: Renew, member: Member): void {
    const { clock, node, expiresAtMs, createdAtMs } = member
    const content = { ...contentOf(member), createdAtMs }
    add({ collection, key, origin: { clock, node: node || by }, content, expiries: [] }, by, expiresAtMs)
  }

  return {
    note(node, { writes }, result, read) {
      if (!result.ok) return
      for (const [i, write] of writes.entries()) {
        const written = result.written[i]!
        if (written.revision === 0 || !isExchanged(write.collection)) continue
        if (write.op !== 'renew') {
          if (write.origin === undefined) noteWrite(node, write, written)
          continue
        }
        const member = read(write)
        if (member !== null) noteRenewal(node, write, member)
      }
    },
    expected(sources, nowMs) {
      const found = new Map<string, KnownVersion>()
      for (const [id, versions] of members) {
        const winner = [...versions.values()]
          .filter((version) => sources(version).has(version.origin.node))
          .reduce<Version | null>((best, one) => (best === null || isLess(best, one) ? one : best), null)
        if (winner === null || winner.content === null) continue
        const expiresAtMs = latestExpiry(winner, sources(winner))
        if (expiresAtMs === null || expiresAtMs > nowMs) found.set(id, { ...winner, expiresAtMs })
      }
      return found
    },
    versions: () => [...members.values()].flatMap((of) => [...of.values()]),
  }
}

function contentOf({ value, contentType, flags }: Pick<Member, 'value' | 'contentType' | 'flags'>) {
  return { value, contentType, flags }
}

function isLess({ origin: a }: Version, { origin: b }: Version): boolean {
  return a.clock === b.clock ? a.node < b.node : a.clock < b.clock
}

function latestExpiry({ expiries }: Version, sources: ReadonlySet<string>): number | null {
  const known = expiries.filter(({ by }) => sources.has(by)).map(({ expiresAtMs }) => expiresAtMs)
  return known.includes(null) ? null : Math.max(...known.filter((ms) => ms !== null))
}
