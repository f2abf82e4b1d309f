import type { CommitResult } from '../../core/engine.ts'
import type { KvistError } from '../../core/errors.ts'
import { monotonicMs } from '../../runtime/clock.ts'
import { type Cluster, RedisError } from './cluster.ts'
import { faultOf, outcomeUnknown, staleViewOf } from './errors.ts'
import { decodeGroup, encodeGroup, type GroupResult, type LineCommit, maxSkewMs } from './group.ts'
import type { GroupScripts } from './group-scripts.ts'
import type { LineKeys } from './layout.ts'
import { decodePuts, encodePuts } from './puts.ts'
import { type RedisCommand, type Reply, runIdArgument } from './resp.ts'

/**
 * Commits to one line: those that come while a group is under way wait and are the next group. One group is under way
 * at a time, so that they take effect in their order. Each has a number; the line keeps that of the last with its result,
 * so a group whose reply was lost can be sent again, and is not done twice.
 */
export interface LineCommitterOptions {
  readonly cluster: Cluster
  readonly keys: LineKeys
  readonly scripts: GroupScripts
  /** The name of this server; each start has another. */
  readonly instance: string
  readonly nodeId: string
  readonly patienceMs: number
  readonly now: () => number
  /** Reports the changes of a group; its commits resolve afterwards. */
  readonly report: (result: GroupResult) => Promise<void> | null
  /** Called with the outcome of each group. */
  readonly onOutcome: (fault: KvistError | null) => void
}

interface Pending {
  commit: LineCommit
  /** Resolves with the commit's `elsewhere`; null if it has that already. */
  elsewhere: Promise<LineCommit['elsewhere']> | null
  readonly bytes: number
  readonly onlyDeletes: boolean
  readonly resolve: (result: CommitResult) => void
  readonly reject: (error: unknown) => void
}

/** A group ends when it has this many writes, or bytes. */
const maxGroupWrites = 128
const maxGroupBytes = 256 * 1024
/** The pause before a group is sent again. */
const retryMs = 20

export class LineCommitter {
  private readonly options: LineCommitterOptions
  private queue: Pending[] = []
  private isRunning = false
  private readonly settling = new Set<Promise<void>>()
  private seq = 0

  constructor(options: LineCommitterOptions) {
    this.options = options
  }

  /** The commit waits for `elsewhere`, if it is given, and commits that are called later wait for that too. */
  commit(
    commit: LineCommit,
    elsewhere: Promise<LineCommit['elsewhere']> | null = null,
  ): Promise<CommitResult> {
    return new Promise((resolve, reject) => {
      let bytes = 0
      let onlyDeletes = commit.writes.length > 0
      for (const write of commit.writes) {
        if (write.op === 'put') bytes += write.value.length
        if (write.op !== 'delete') onlyDeletes = false
      }
      // Its failure is of interest once the commit is the first in the queue.
      elsewhere?.catch(() => {})
      this.queue.push({ commit, elsewhere, bytes, onlyDeletes, resolve, reject })
      if (!this.isRunning) {
        this.isRunning = true
        queueMicrotask(() => this.run())
      }
    })
  }

  /** Resolves when all commits that were called have been settled. */
  async idle(): Promise<void> {
    while (this.isRunning || this.settling.size > 0) {
      await Promise.all(this.settling)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }

  private async run(): Promise<void> {
    while (this.queue.length > 0) {
      const [first] = this.queue
      if (first!.elsewhere === null || (await this.isReady(first!))) await this.commitGroup(this.take())
    }
    this.isRunning = false
  }

  /** Waits for the first in the queue; removes and rejects it if it will never be ready. */
  private async isReady(first: Pending): Promise<boolean> {
    try {
      first.commit = { ...first.commit, elsewhere: await first.elsewhere! }
      first.elsewhere = null
      return true
    } catch (error) {
      this.queue.shift()
      first.reject(faultOf(error))
      return false
    }
  }

  private take(): Pending[] {
    let count = 0
    let writes = 0
    let bytes = 0
    const { view } = this.queue[0]!.commit
    for (const one of this.queue) {
      if (one.commit.view !== view) break
      writes += one.commit.writes.length
      bytes += one.bytes
      if (count > 0 && (one.elsewhere !== null || writes > maxGroupWrites || bytes > maxGroupBytes)) break
      count++
    }
    return this.queue.splice(0, count)
  }

  private async commitGroup(group: readonly Pending[]): Promise<void> {
    const commits = group.map(({ commit }) => commit)
    const onlyDeletes = group.every((one) => one.onlyDeletes)
    try {
      const { reply, isReplicated } = await this.send(commits, onlyDeletes)
      const { nodeId } = this.options
      const result = Buffer.isBuffer(reply) ? decodePuts(reply, commits) : decodeGroup(reply, commits, nodeId)
      this.reportThenSettle(group, result, isReplicated)
      this.options.onOutcome(null)
    } catch (error) {
      const stale = staleViewOf(error)
      if (stale !== null) {
        for (const { reject } of group) reject(stale)
        return
      }
      const fault = faultOf(error)
      if (fault.code === 'storage_full' && !onlyDeletes) {
        await this.withoutPuts(group, fault)
        return
      }
      this.options.onOutcome(fault)
      for (const { reject } of group) reject(fault)
    }
  }

  /** Memory is full: deletes are done all the same, since they make room. */
  private async withoutPuts(group: readonly Pending[], fault: KvistError): Promise<void> {
    const deletes = group.filter((one) => one.onlyDeletes)
    if (deletes.length > 0) await this.commitGroup(deletes)
    this.options.onOutcome(fault)
    for (const one of group) if (!one.onlyDeletes) one.reject(fault)
  }

  /** The next group does not wait for the report. */
  private reportThenSettle(group: readonly Pending[], result: GroupResult, isReplicated: boolean): void {
    const reported = this.options.report(result)
    if (reported === null) {
      settle(group, result, isReplicated)
      return
    }
    const settled = reported
      // They were done all the same. The feed finds the changes by itself.
      .catch(() => {})
      .then(() => {
        settle(group, result, isReplicated)
        this.settling.delete(settled)
      })
    this.settling.add(settled)
  }

  /** Sends a group until its outcome is known, for as long as the patience lasts. */
  private async send(
    commits: readonly LineCommit[],
    onlyDeletes: boolean,
  ): Promise<{ reply: Reply; isReplicated: boolean }> {
    const { cluster, keys, patienceMs } = this.options
    const untilMs = monotonicMs() + patienceMs
    this.seq++
    let mayBeDone = false
    for (;;) {
      const sentMs = this.options.now()
      let failure: unknown = null
      try {
        const sent = await cluster.write(keys.slot, this.command(commits, onlyDeletes, sentMs), untilMs)
        if (sent.isReplicated || monotonicMs() >= untilMs) return sent
        // It was done, on the primary; whoever gets the group next may not have it.
        mayBeDone = true
      } catch (error) {
        failure = error
      }
      if (failure !== null) {
        if (!(failure instanceof RedisError)) throw failure
        // Whatever was sent before is refused, too, if it arrives later.
        if (staleViewOf(failure) !== null) throw failure
        if (failure.outcome === 'maybe_done') mayBeDone = true
        else if (failure.outcome === 'not_done') throw mayBeDone ? outcomeUnknown(failure) : failure
        else if (!this.wasSlow(failure, sentMs)) throw mayBeDone ? outcomeUnknown(failure) : failure
      }
      if (monotonicMs() >= untilMs) throw mayBeDone ? outcomeUnknown(failure) : failure
      await new Promise((resolve) => setTimeout(resolve, retryMs))
    }
  }

  /** Returns whether a group was refused for its clock only because it took long to arrive. */
  private wasSlow(error: RedisError, sentMs: number): boolean {
    if (error.code !== 'SKEW') return false
    const serverMs = Number(/^SKEW (\d+)/.exec(error.message)?.[1])
    return serverMs >= sentMs - maxSkewMs && serverMs <= this.options.now() + maxSkewMs
  }

  private command(commits: readonly LineCommit[], onlyDeletes: boolean, wallMs: number): RedisCommand {
    const { keys, scripts, instance, nodeId } = this.options
    const { head, records, values, order, members, tombstones, expiries, sizes } = keys
    const names = [head, records, values, order, members, tombstones, expiries, sizes]
    const about = { instance, seq: this.seq, wallMs, nodeId, view: commits[0]!.view ?? 0 }
    const rest = [keys.channel, runIdArgument] as const
    const puts = onlyDeletes ? null : encodePuts(about, commits)
    if (puts !== null) return ['EVALSHA', scripts.puts, names.length, ...names, puts, ...rest]
    const { bytes, largeValues } = encodeGroup(about, commits)
    const script = onlyDeletes ? scripts.deletes : scripts.commits
    return ['EVALSHA', script, names.length, ...names, bytes, ...rest, ...largeValues]
  }
}

function settle(group: readonly Pending[], { results, counts }: GroupResult, isReplicated: boolean): void {
  for (const [i, { resolve, reject }] of group.entries()) {
    if (isReplicated || counts[i] === 0) resolve(results[i]!)
    else reject(outcomeUnknown())
  }
}
