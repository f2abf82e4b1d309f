import type { Kvist } from '../../sdk/client.ts'
import type { LookedUp, LookedUpMember, LookedUpVersion } from '../../sdk/node-types.ts'
import type { MemberRef } from '../core/engine.ts'
import { entryLine } from '../core/entry-lines.ts'
import { KvistError } from '../core/errors.ts'
import { maxLookups } from '../core/limits.ts'
import {
  type ForeignVersion,
  type LookupOutcome,
  lookupOutcomes,
  type NodeResponse,
  type OtherNodes,
} from '../core/lookup.ts'
import type { Value } from '../core/member.ts'
import type { Origin } from '../core/origin.ts'
import { parseTimeMs } from '../core/time.ts'
import type { Log } from '../telemetry/log.ts'

/**
 * Asks other nodes for members, over `POST /v1/_lookup`. A node handles such a question from its own store and never
 * asks on, so questions cannot go in circles.
 */
export interface Lookup {
  readonly nodes: OtherNodes
  counts(): Readonly<Record<LookupOutcome, number>>
}

export interface LookupOptions {
  readonly kvists: readonly Pick<Kvist, 'url' | 'nodes'>[]
  readonly nodeId: string
  readonly timeoutMs: number
  /** Whether the mirror sends a collection to a URL: then it sends what a node did not take. */
  readonly isMirrored: (url: string, collection: string) => boolean
  readonly log: Pick<Log, 'warn'>
  readonly now: () => number
}

/** At most one line is logged in this time. */
const logEveryMs = 10_000

export function startLookup(options: LookupOptions): Lookup {
  const { kvists, nodeId, timeoutMs, isMirrored, log, now } = options
  const counts = Object.fromEntries(lookupOutcomes.map((outcome) => [outcome, 0])) as Record<
    LookupOutcome,
    number
  >
  const callOptions = { timeoutMs, retries: 0 }
  let waiting = 0
  let loggedMs = Number.NEGATIVE_INFINITY

  function failed(url: string, error: unknown): string {
    const detail = error instanceof Error ? error.message : String(error)
    if (now() - loggedMs >= logEveryMs || now() < loggedMs) {
      loggedMs = now()
      log.warn('a node does not respond to a lookup', { node: url, detail })
    }
    return detail
  }

  async function question(
    { url, nodes }: LookupOptions['kvists'][number],
    refs: readonly MemberRef[],
    maxValueBytes: number,
  ): Promise<NodeResponse> {
    // What the store has noted of a name, such as the bytes of its key, is not for others.
    const named = refs.map(({ collection, key }) => ({ collection, key }))
    try {
      const response = await nodes.lookup(named, maxValueBytes, callOptions)
      // A servers file may be the same on all nodes, so it may name this one.
      if (response.node === nodeId) return { url, versions: refs.map(() => null) }
      return { url, versions: versionsOf(response, refs) }
    } catch (error) {
      return { url, failure: failed(url, error) }
    }
  }

  async function counted<Result>(work: () => Promise<Result>): Promise<Result> {
    if (waiting >= maxLookups) throw new KvistError('busy', 'too many lookups wait for other nodes')
    waiting++
    try {
      return await work()
    } finally {
      waiting--
    }
  }

  async function isTaken(kvist: Pick<Kvist, 'url' | 'nodes'>, line: string): Promise<boolean> {
    try {
      const { failed: refused } = await kvist.nodes.replicate(line, nodeId, callOptions)
      if (refused[0] !== undefined) failed(kvist.url, new Error(refused[0].detail))
      return refused.length === 0
    } catch (error) {
      failed(kvist.url, error)
      return false
    }
  }

  return {
    counts: () => counts,
    nodes: {
      ask: (refs, maxValueBytes) =>
        counted(() => Promise.all(kvists.map((one) => question(one, refs, maxValueBytes)))),
      askOne: (url, refs, maxValueBytes) =>
        counted(() => question(kvists.find((one) => one.url === url)!, refs, maxValueBytes)),
      async sendDelete(urls, ref, origin) {
        const line = deleteLine(ref, origin, nodeId)
        const holders = kvists.filter(({ url }) => urls.includes(url))
        const taken = await Promise.all(holders.map((one) => isTaken(one, line)))
        return holders
          .filter(({ url }, i) => !taken[i] && !isMirrored(url, ref.collection))
          .map(({ url }) => url)
      },
      count: (outcome) => void counts[outcome]++,
    },
  }
}

function deleteLine({ collection, key }: MemberRef, { node, clock }: Origin, nodeId: string): string {
  const tombstone = { key, revision: 0, cause: 'delete', clock, node, removedClock: clock } as const
  return entryLine({ change: { type: 'delete', collection, tombstone }, isRenewal: false }, nodeId)
}

/** Throws unless the response has a version, or null, for each member that was asked for. */
function versionsOf({ versions }: LookedUp, refs: readonly MemberRef[]): (ForeignVersion | null)[] {
  if (versions?.length !== refs.length) throw new Error('the response is not one to a lookup')
  return versions.map((version, i) => (version === null ? null : foreignVersion(version, refs[i]!.key)))
}

function foreignVersion(version: LookedUpVersion, key: string): ForeignVersion {
  const { node, clock } = version.origin
  if (!Number.isSafeInteger(clock) || clock <= 0)
    throw new Error('the response has an origin without a clock')
  if (version.type !== 'put') return { type: version.type, node, clock }
  const { content_type: contentType, flags, expires_at: expires, value_bytes: valueBytes } = version
  const head = {
    key,
    createdAtMs: parseTimeMs(version.created_at),
    expiresAtMs: expires === null ? null : parseTimeMs(expires),
    contentType,
    flags,
    valueBytes,
  }
  return { type: 'put', node, clock, head, value: valueIn(version) }
}

function valueIn({ value_text: text, value_base64: base64 }: LookedUpMember): Value | null {
  if (text !== undefined) return text
  return base64 === undefined ? null : new Uint8Array(Buffer.from(base64, 'base64'))
}
