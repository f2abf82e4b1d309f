import type { Kvist } from '../../sdk/client.ts'
import type {
  ComparedCollection,
  Comparison,
  DigestQuery,
  MemberState,
  RangeDigest,
  States,
  VersionsPage,
  VersionsQuery,
} from '../core/comparison.ts'
import type { Database } from '../core/database.ts'
import type { MemberRef } from '../core/engine.ts'
import { entryLine } from '../core/entry-lines.ts'
import { formatTime, parseTimeMs } from '../core/time.ts'

/** A node that is compared with another one: this one, or one that is reached over HTTP. */
export interface ComparedNode extends Pick<Comparison, 'digests' | 'versions' | 'states'> {
  /** For messages. */
  readonly name: string
  nodeId(): Promise<string>
  overview(): Promise<Overview>
  /** Yields lines for `apply` of another node, for those of the members that exist or have a tombstone. */
  entries(refs: readonly MemberRef[]): AsyncIterable<string>
  /** Applies changes that another node has, each if it is newer than what this one has. */
  apply(lines: readonly string[], sender: string): Promise<Applied>
}

export interface Overview {
  readonly node: string
  readonly nowMs: number
  readonly collections: readonly ComparedCollection[]
}

export interface Applied {
  /** How many were newer. */
  readonly applied: number
  /** How many were refused, and why the first was. */
  readonly refused: number
  readonly detail: string | null
}

export interface RemoteOptions {
  readonly signal?: AbortSignal
  /** How long a request may take; 0 for as long as it wants. */
  readonly timeoutMs: number
}

/** Returns a node that is reached over HTTP. */
export function remoteNode(kvist: Kvist, options: RemoteOptions): ComparedNode {
  const { comparison } = kvist.nodes
  let nodeId: Promise<string> | null = null
  return {
    name: kvist.url,
    nodeId() {
      nodeId ??= comparison.collections(options).then(({ node }) => node)
      return nodeId
    },
    async overview() {
      const { node, now, collections } = await comparison.collections(options)
      nodeId = Promise.resolve(node)
      return { node, nowMs: parseTimeMs(now), collections }
    },
    async digests({
      collection,
      from,
      to,
      ends,
      members,
      atMs,
    }: DigestQuery): Promise<readonly RangeDigest[]> {
      const range = { collection, from, to, at: formatTime(atMs) }
      const query = ends === null ? { ...range, members } : { ...range, ends }
      return (await comparison.digests(query, options)).ranges
    },
    async versions({ atMs, ...query }: VersionsQuery): Promise<VersionsPage> {
      const page = await comparison.versions({ ...query, at: formatTime(atMs) }, options)
      const versions = page.versions.map(({ key, origin, expires_at: expiresAt }) => ({
        key,
        ...origin,
        expiresAtMs: expiresAt === null ? null : parseTimeMs(expiresAt),
      }))
      return { versions, next: page.next }
    },
    async states(refs, atMs): Promise<States> {
      const { states, forgotten_clock: forgottenClock } = await comparison.states(
        refs,
        formatTime(atMs),
        options,
      )
      return { states: states.map(stateOf), forgottenClock }
    },
    entries: (refs) => comparison.entries(refs, options),
    async apply(lines, sender) {
      const {
        applied,
        failed,
        failed_more: more = 0,
      } = await kvist.nodes.replicate(lines.join('\n'), sender, options)
      return { applied, refused: failed.length + more, detail: failed[0]?.detail ?? null }
    },
  }
}

type RemoteState = Awaited<ReturnType<Kvist['nodes']['comparison']['states']>>['states'][number]

function stateOf(state: RemoteState): MemberState {
  if (state.type === 'none') return { type: 'none' }
  const { node, clock } = state.origin
  if (state.type !== 'put') return { type: state.type, node, clock }
  return {
    type: 'put',
    node,
    clock,
    expiresAtMs: state.expires_at === null ? null : parseTimeMs(state.expires_at),
  }
}

export interface LocalOptions {
  readonly db: Database
  readonly now: () => number
  /** Applies lines of another node to the store, as if they had come over HTTP. */
  readonly apply: (lines: string, sender: string) => Promise<AppliedLines>
}

interface AppliedLines {
  readonly applied: number
  readonly failed: readonly { readonly detail: string }[]
  readonly failed_more?: number
}

/** Returns the node of this process. */
export function localNode({ db, now, apply }: LocalOptions): ComparedNode {
  return {
    name: 'this node',
    nodeId: async () => db.nodeId,
    overview: async () => ({
      node: db.nodeId,
      nowMs: now(),
      collections: await db.comparedCollections(),
    }),
    digests: db.digests,
    versions: db.versions,
    states: db.states,
    async *entries(refs) {
      for (const ref of refs) {
        const change = await db.latestChange(ref)
        if (change !== null) yield entryLine({ change, isRenewal: false }, db.nodeId).trimEnd()
      }
    },
    apply: async (lines, sender) => appliedOf(await apply(lines.join('\n'), sender)),
  }
}

function appliedOf({ applied, failed, failed_more: more = 0 }: AppliedLines): Applied {
  return { applied, refused: failed.length + more, detail: failed[0]?.detail ?? null }
}
