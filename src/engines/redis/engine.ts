import { msToStamp } from '../../core/clock.ts'
import type {
  Commit,
  CommitResult,
  Engine,
  ExpiringRef,
  FeedCursor,
  MemberRef,
  OnCommit,
  OnSetback,
  ReadRef,
  VersionRef,
} from '../../core/engine.ts'
import type { EngineStatus } from '../../core/engine-status.ts'
import { KvistError } from '../../core/errors.ts'
import { type Committed, revisionOf } from '../../core/member.ts'
import { randomName } from '../../core/origin.ts'
import type { SharedStore } from '../../core/shared-store.ts'
import { realTimers, type Timers } from '../../core/timers.ts'
import { groupCounter } from '../group-counter.ts'
import { changesAfter } from './changes.ts'
import type { Cluster } from './cluster.ts'
import { CommitFeed } from './commit-feed.ts'
import { RedisCommits } from './commits.ts'
import { linePosition, parseVector, type Vector, vectorOf, vectorText } from './cursors.ts'
import { faultOf } from './errors.ts'
import type { GroupResult } from './group.ts'
import { groupScripts } from './group-scripts.ts'
import { indexLines } from './index-lines.ts'
import { type LineKeys, LineMap, lineKeys } from './layout.ts'
import { openLines, subscribeLines } from './line-channels.ts'
import { LineCommitter } from './line-committer.ts'
import { areWhole, readLog, wholeChanges } from './line-log.ts'
import { LineReads } from './line-reads.ts'
import { RedisMembers } from './member-reads.ts'
import type { RedisOptions } from './options.ts'
import forgetScript from './scripts/forget.lua' with { type: 'text' }
import leaseScript from './scripts/lease.lua' with { type: 'text' }
import { openCheckedCluster } from './start-checks.ts'
import { statusOf } from './status.ts'
import { openStore, raiseFormat, type StoreSettings } from './store-settings.ts'

export interface RedisEngineOptions extends RedisOptions {
  readonly onCommit: OnCommit
  readonly onSetback: OnSetback
  readonly warn: (line: string) => void
  /** The wall clock, which must agree with those of the servers. */
  readonly now: () => number
  /** Tests set their own. */
  readonly timers?: Timers
  /** How many tombstones a line keeps at most; tests set their own. */
  readonly maxTombstones?: number
}

/** The engine with what it says of itself. */
export interface RedisStore extends Engine {
  /** Asks the servers; what cannot be reached is null. */
  status(): Promise<EngineStatus>
  /** Counts of events since the start, by their names. */
  events(): Readonly<Record<string, number>>
}

const instanceLength = 10
const maxForgottenAtOnce = 1000
/** How long a server that has found expired members of a line sweeps it alone. */
const sweepLeaseMs = 3000
/** A line keeps no more tombstones, 20 MB, however young they are. */
const maxLineTombstones = 100_000

/**
 * Opens the engine that keeps members in a Redis or Valkey Cluster, or a single server (docs/design/engine-redis.md).
 * Throws an Error of one line when the store must not be opened.
 */
export async function openRedis(options: RedisEngineOptions): Promise<RedisStore> {
  const timers = options.timers ?? realTimers
  const cluster = await openCheckedCluster(options, options.warn, timers)
  try {
    const engine = new RedisEngine(cluster, options, await openStore(cluster, options), timers)
    await engine.start()
    return verbsOf(engine)
  } catch (error) {
    await cluster.close()
    throw error
  }
}

/** Returns the engine as an object with functions of its own, as the other engines are. */
function verbsOf(engine: RedisEngine): RedisStore {
  return {
    nodeId: engine.nodeId,
    shared: engine.shared,
    read: (collection, key) => engine.read(collection, key),
    readHead: (collection, key) => engine.readHead(collection, key),
    readPart: (ref, version, from, to) => engine.readPart(ref, version, from, to),
    readMany: (refs, maxBytes) => engine.readMany(refs, maxBytes),
    visitMany: () => null,
    visitRange: () => null,
    tombstone: (collection, key) => engine.tombstone(collection, key),
    scan: (range) => engine.scan(range),
    commit: (commit) => engine.commit(commit),
    changes: (after, limit, scope, maxBytes) => engine.changes(after, limit, scope, maxBytes),
    hasSeen: (cursor, version) => engine.hasSeen(cursor, version),
    head: () => engine.head(),
    forget: (beforeMs, limit) => engine.forget(beforeMs, limit),
    forgottenClock: () => engine.forgottenClock(),
    expiring: (atMs, limit, purpose) => engine.expiring(atMs, limit, purpose),
    collections: () => engine.collections(),
    stats: () => engine.stats(),
    status: () => engine.status(),
    events: () => engine.events(),
    writeFault: () => engine.writeFault(),
    close: () => engine.close(),
  }
}

class RedisEngine implements RedisStore {
  readonly nodeId: string
  readonly shared: SharedStore
  private readonly cluster: Cluster
  private readonly options: RedisEngineOptions
  private readonly keys: readonly LineKeys[]
  private readonly lines: LineMap
  private readonly instance = randomName(instanceLength)
  private readonly lineReads: LineReads
  private readonly members: RedisMembers
  private readonly feed: CommitFeed
  private readonly commits: RedisCommits
  private readonly counter = groupCounter()
  private readonly forgetScript: string
  private readonly leaseScript: string
  private fault: KvistError | null = null
  private setbacks = 0
  private isClosed = false
  private closing: Promise<void> | null = null
  private lastCursor: { readonly text: FeedCursor; readonly vector: Vector } | null = null

  constructor(
    cluster: Cluster,
    options: RedisEngineOptions,
    { nodeId, lines }: StoreSettings,
    timers: Timers,
  ) {
    this.cluster = cluster
    this.options = options
    this.nodeId = nodeId
    this.keys = lineKeys(options.prefix, lines)
    this.lines = new LineMap(lines, options.placement)
    this.shared = indexLines({
      cluster,
      keys: this.keys,
      lines: this.lines,
      raiseFormat: () => raiseFormat(cluster, options),
    })
    this.lineReads = new LineReads(cluster, this.keys)
    this.feed = new CommitFeed(
      {
        readHead: (line) => this.lineReads.head(line),
        readLog: (line, after, seenHead) => readLog(this.lineReads, line, after, seenHead),
        report: (line, changes, through, seenHead) => this.report(line, changes, through, seenHead),
        setback: (_line, through) => {
          this.commits.observe(through)
          this.setbacks++
          options.onSetback()
        },
      },
      timers,
      lines,
    )
    const whenReported = (line: number, revision: number) => this.feed.whenReported(line, revision)
    this.members = new RedisMembers(this.lineReads, this.lines, whenReported)
    this.forgetScript = cluster.script(forgetScript)
    this.leaseScript = cluster.script(leaseScript)
    const scripts = groupScripts(cluster)
    const { patienceMs, now } = options
    const committers = this.keys.map(
      (keys, line) =>
        new LineCommitter({
          cluster,
          keys,
          scripts,
          instance: this.instance,
          nodeId,
          patienceMs,
          now,
          report: (result) => this.reportOwn(line, result),
          onOutcome: (fault) => {
            if (fault === null || fault.code !== 'closing') this.fault = fault
          },
        }),
    )
    this.commits = new RedisCommits(this.lines, this.lineReads, committers)
  }

  async start(): Promise<void> {
    for (const stamp of await openLines(this.cluster, this.keys)) this.commits.observe(stamp)
    await this.subscribe()
    await this.feed.start()
  }

  async read(collection: string, key: string) {
    return this.opened().read({ collection, key })
  }

  async readHead(collection: string, key: string) {
    return this.opened().readHead({ collection, key })
  }

  async readPart(ref: MemberRef, version: Parameters<Engine['readPart']>[1], from: number, to: number) {
    return this.opened().readPart(ref, version, from, to)
  }

  async readMany(refs: readonly ReadRef[], maxBytes?: number) {
    return this.opened().readMany(refs, maxBytes)
  }

  visitMany(): null {
    return null
  }

  visitRange(): null {
    return null
  }

  async tombstone(collection: string, key: string) {
    return this.opened().tombstone({ collection, key })
  }

  async scan(range: Parameters<Engine['scan']>[0]) {
    return this.opened().scan(range)
  }

  commit(given: Commit): Promise<CommitResult> {
    if (this.isClosed) return Promise.reject(closingError())
    const result = this.commits.commit(given)
    if (given.writes.length + given.checks.length > 0) return result
    return result.then((empty) => {
      this.counter.count(empty, 0)
      return empty
    })
  }

  async changes(...[after, limit, scope, maxBytes]: Parameters<Engine['changes']>) {
    this.opened()
    const options = {
      reads: this.lineReads,
      lines: this.lines,
      reported: (line: number) => this.feed.reported(line),
      whenReported: (line: number, revision: number) => this.feed.whenReported(line, revision),
    }
    return changesAfter(options, after, limit, scope, maxBytes)
  }

  hasSeen(cursor: FeedCursor, version: VersionRef): boolean {
    if (this.lastCursor?.text !== cursor) {
      this.lastCursor = { text: cursor, vector: parseVector(cursor, this.lines.count) }
    }
    return this.lastCursor.vector[this.lines.lineOf(version)]!.revision >= version.revision
  }

  head(): FeedCursor {
    return vectorText(vectorOf(this.feed.allReported(), this.feed.seenHeads()))
  }

  async forget(beforeMs: number, limit: number): Promise<number> {
    this.opened()
    const { maxTombstones = maxLineTombstones } = this.options
    let forgotten = 0
    for (const { slot, head, records, tombstones } of this.keys) {
      while (forgotten < limit) {
        const count = Math.min(limit - forgotten, maxForgottenAtOnce)
        const keys = [head, records, tombstones]
        const command = ['EVALSHA', this.forgetScript, 3, ...keys, msToStamp(beforeMs), count, maxTombstones]
        const { reply } = await this.cluster.write(slot, command).catch((error: unknown) => {
          throw faultOf(error)
        })
        forgotten += Number(reply)
        if (Number(reply) < count) break
      }
    }
    return forgotten
  }

  async forgottenClock(): Promise<number> {
    this.opened()
    // The revision of a tombstone is the stamp of the removal.
    return Math.max(...(await Promise.all(this.keys.map((_, line) => this.lineReads.forgotten(line)))))
  }

  async expiring(atMs: number, limit: number, purpose?: 'sweep'): Promise<ExpiringRef[]> {
    this.opened()
    const sweeper = purpose === 'sweep' ? this.instance : null
    const all = await Promise.all(
      this.keys.map(async (keys, line) => {
        const due = await this.lineReads.expiring(line, atMs, limit, sweeper)
        return due.length === 0 || sweeper === null || (await this.takesLease(keys)) ? due : []
      }),
    )
    const found = all
      .flat()
      .sort((a, b) => a.expiresAtMs - b.expiresAtMs || a.record.revision - b.record.revision)
      .slice(0, limit)
    await this.members.allReported(found)
    return found.map(({ collection, key, record, expiresAtMs }) => {
      return { collection, key, revision: record.revision, expiresAtMs }
    })
  }

  /** Returns whether this server may sweep a line for the next seconds, so that others need not. */
  private async takesLease({ slot, head }: LineKeys): Promise<boolean> {
    const command = ['EVALSHA', this.leaseScript, 1, head, this.instance, sweepLeaseMs]
    const { reply } = await this.cluster.write(slot, command).catch((error: unknown) => {
      throw faultOf(error)
    })
    return reply === 1
  }

  async collections() {
    this.opened()
    const sizes = (await Promise.all(this.keys.map((_, line) => this.lineReads.sizes(line)))).flat()
    const sums = new Map<string, { name: string; members: number; bytes: number }>()
    for (const { name, members, bytes } of sizes) {
      const sum = sums.get(name) ?? { name, members: 0, bytes: 0 }
      sum.members += members
      sum.bytes += bytes
      sums.set(name, sum)
    }
    return [...sums.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  stats() {
    return this.counter.numbers
  }

  events() {
    const { connections, timeouts, redirects, retries, topologyChanges } = this.cluster.stats()
    const { setbacks } = this
    return { connections, timeouts, redirects, retries, topology_changes: topologyChanges, setbacks }
  }

  async status(): Promise<EngineStatus> {
    this.opened()
    return statusOf(this.cluster, this.keys, (line) => this.feed.reported(line))
  }

  writeFault(): KvistError | null {
    return this.fault
  }

  close(): Promise<void> {
    this.isClosed = true
    this.closing ??= (async () => {
      await this.commits.idle()
      this.feed.close()
      await this.cluster.close()
    })()
    return this.closing
  }

  private opened(): RedisMembers {
    if (this.isClosed) throw closingError()
    return this.members
  }

  private report(line: number, changes: readonly Committed[], through: number, seenHead: number): void {
    this.commits.observe(through)
    for (const change of changes) {
      this.commits.observe(change.type === 'put' || change.type === 'renew' ? change.member.clock : 0)
    }
    if (changes.length === 0) return
    const reported = this.feed.allReported()
    const seenHeads = this.feed.seenHeads()
    this.options.onCommit(changes, (index) => {
      const vector = vectorOf(reported, seenHeads)
      const last = changes.slice(0, index + 1).findLast(({ type }) => type !== 'renew')
      if (last !== undefined) vector[line] = linePosition(revisionOf(last), null, seenHead)
      return vectorText(vector)
    })
  }

  private reportOwn(line: number, group: GroupResult): Promise<void> | null {
    this.commits.observe(group.clock)
    let commits = 0
    for (const [i, one] of group.results.entries()) {
      this.counter.count(one, group.counts[i]!)
      if (group.counts[i]! > 0) commits++
    }
    this.counter.group(commits)
    const { before, after, changes } = group
    if (changes.length === 0 && before === after) return null
    if (areWhole(changes)) return this.feed.committed(line, { before, after, changes })
    return wholeChanges(this.lineReads, line, changes).then(
      (whole) => this.feed.committed(line, { before, after, changes: whole }) ?? undefined,
    )
  }

  /** Resolves when all channels are subscribed. */
  private subscribe(): Promise<void> {
    return subscribeLines(this.cluster, this.keys, {
      received: (line, { instance, before, after, changes }) => {
        if (instance !== this.instance) {
          this.feed.received(line, { before, after, changes: changes() })
        } else if (after > before) {
          // Own renewals are reported when the group's reply arrives.
          const withoutRenewals = () => changes()?.filter(({ type }) => type !== 'renew') ?? null
          this.feed.receivedOwn(line, { before, after, changes: withoutRenewals })
        }
      },
      subscribedAgain: (line) => this.feed.subscribed(line),
    })
  }
}

function closingError(): KvistError {
  return new KvistError('closing', 'the server is stopping')
}
