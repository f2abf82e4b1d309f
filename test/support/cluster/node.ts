import { type Database, openDatabase } from '../../../src/core/database.ts'
import type { Engine, OnCommit, Write } from '../../../src/core/engine.ts'
import { KvistError } from '../../../src/core/errors.ts'
import type { Member } from '../../../src/core/member.ts'
import { openMemory } from '../../../src/engines/memory/engine.ts'
import { replicateLines } from '../../../src/http/v1/replicate.ts'
import { commitSignal } from '../../../src/replication/commit-signal.ts'
import { type ComparedNode, localNode } from '../../../src/replication/compared-node.ts'
import { type Mirror, startMirror } from '../../../src/replication/mirror.ts'
import type { Received, SentPosition, Target } from '../../../src/replication/peer.ts'
import type { SelectionRules } from '../../../src/replication/selection.ts'
import { lateEngine } from '../late-engine.ts'
import { type ManualTimers, manualTimers } from '../manual-timers.ts'
import type { Random } from '../random.ts'
import { type ClusterModel, isExchanged } from './model.ts'

/** A node of a simulated cluster. Its store outlives it: it can be killed, and started again on what it had committed. */
export interface ClusterNode {
  readonly id: string
  /** Ahead of the time of the cluster, or behind. */
  skewMs: number
  /** The running server; null while it is down. */
  running: RunningNode | null
  start(options: StartOptions): Promise<RunningNode>
  /** Takes back how far targets have come, as a power cut does that loses what was not on disk yet. */
  loseProgress(r: Random): Promise<void>
  /** What is stored, expired members included, without tombstones. */
  stored(): Promise<Map<string, { readonly collection: string; readonly member: Member }>>
}

export interface StartOptions {
  readonly targets: readonly Target[]
  readonly rules: SelectionRules
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  readonly maxClockAheadMs: number
}

export interface RunningNode {
  readonly db: Database
  readonly mirror: Mirror
  readonly timers: ManualTimers
  now(): number
  /** As `POST /v1/_replicate`. */
  receive(lines: string, sender: string, position?: SentPosition): Promise<Received>
  /** For comparisons with other nodes. */
  readonly compared: ComparedNode
  /** Ends it in order. */
  stop(): Promise<void>
  /** Ends it at once: what it would do while it stops is not done. */
  kill(): Promise<void>
}

export interface NodeOptions {
  readonly model: ClusterModel
  readonly now: () => number
  /** Every result of the engine comes some ticks later. */
  readonly isLate: boolean
  /** How many changes a peer reads at once. */
  readonly pageChanges: number
  readonly onError: (error: unknown) => void
}

export function clusterNode({
  model,
  now: clusterTime,
  isLate,
  pageChanges,
  onError,
}: NodeOptions): ClusterNode {
  let onCommit: OnCommit = () => {}
  const stored = openMemory({ onCommit: (...given) => onCommit(...given) })
  const id = stored.nodeId
  /** What was written of how far targets have come, and this node as a target of others. */
  const progress: Write[] = []
  const now = () => clusterTime() + node.skewMs
  const node: ClusterNode = {
    id,
    skewMs: 0,
    running: null,
    async start(options) {
      node.running = await startNode(options)
      return node.running
    },
    async loseProgress(r) {
      const [write] = progress.length === 0 ? [] : [r.pick(progress)]
      if (write === undefined) return
      const lost: Write = r.oneIn(3)
        ? { op: 'delete', collection: write.collection, key: write.key, cause: 'delete' }
        : write
      await stored.commit({ checks: [], writes: [lost], nowMs: now() })
    },
    async stored() {
      const found = new Map<string, { collection: string; member: Member }>()
      for (let cursor = ''; ; ) {
        const page = await stored.changes(cursor, 1000)
        for (const change of page.changes) {
          if (change.type !== 'put' || !isExchanged(change.collection)) continue
          const { collection, member } = change
          found.set(`${collection}/${member.key}`, { collection, member })
        }
        cursor = page.next
        if (page.atEnd) return found
      }
    },
  }

  /** The engine of one life of the node; the store stays open. */
  function engineOf(life: { hasEnded: boolean }, notify: OnCommit): Engine {
    onCommit = notify
    function requireLife(): void {
      if (life.hasEnded) throw new KvistError('closing', 'the node was killed')
    }
    const engine: Engine = {
      ...stored,
      async commit(commit) {
        requireLife()
        const result = await stored.commit(commit)
        for (const write of commit.writes)
          if (write.op === 'put' && (write.collection === '_mirrors' || write.collection === '_sources'))
            progress.push(write)
        model.note(id, commit, result, ({ collection, key }) => stored.read(collection, key) as Member | null)
        return result
      },
      changes(...given) {
        requireLife()
        return stored.changes(...given)
      },
      close: async () => {},
    }
    return isLate ? lateEngine(engine) : engine
  }

  async function startNode({ targets, rules, sleep, maxClockAheadMs }: StartOptions): Promise<RunningNode> {
    const life = { hasEnded: false }
    const timers = manualTimers()
    const signal = commitSignal()
    const report = (error: unknown) => {
      if (!life.hasEnded) onError(error)
    }
    const db = await openDatabase({
      open: async (notify) => engineOf(life, notify),
      cacheBytes: 1 << 16,
      now,
      timers,
      onError: report,
      followers: [signal.follower],
      recordsRenewals: () => true,
      maxClockAheadMs,
    })
    const log = { info() {}, warn() {} }
    // Peers read the feed in pages of many changes: more than there are.
    const paged: Database = {
      ...db,
      changes: (scope, after, limit, memory) =>
        db.changes(scope, after, Math.min(limit, pageChanges), memory),
    }
    const mirror = startMirror({ db: paged, targets, rules, signal, now, sleep, log, onError: report })

    async function receive(lines: string, sender: string, position?: SentPosition) {
      const receiver = { watchOf: mirror.conflicts.watchOf }
      const received = await replicateLines(db, receiver, { parts: onePart(lines), sender, now })
      if (position === undefined || received.failed.length > 0) return { node: id, ...received }
      return { node: id, ...received, position: await db.positions.move(sender, position) }
    }

    async function stop(): Promise<void> {
      node.running = null
      await mirror.stop()
      await db.close()
    }
    return {
      db,
      mirror,
      timers,
      now,
      receive,
      compared: localNode({ db, now, apply: receive }),
      stop,
      async kill() {
        life.hasEnded = true
        await stop()
      },
    }
  }

  return node
}

async function* onePart(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}
