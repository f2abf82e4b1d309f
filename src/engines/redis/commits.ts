import { msToStamp } from '../../core/clock.ts'
import type { Commit, CommitResult, MemberRef, Written } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { joinedStaleView, StaleView } from '../../core/stale-view.ts'
import type { LineMap } from './layout.ts'
import type { LineCommitter } from './line-committer.ts'
import type { LineReads } from './line-reads.ts'
import { SpreadQuotas } from './spread-quotas.ts'

/** Assigns commits to lines, in the order in which they are called, and reserves their stamps. */
export class RedisCommits {
  private readonly lines: LineMap
  private readonly quotas: SpreadQuotas
  private readonly committers: readonly LineCommitter[]
  /** All stamps that this server gave out, reported or reserved are smaller or equal. */
  private stamp = 0

  constructor(lines: LineMap, reads: LineReads, committers: readonly LineCommitter[]) {
    this.lines = lines
    this.quotas = new SpreadQuotas(lines, reads)
    this.committers = committers
  }

  /** See `Engine.commit`. */
  commit(given: Commit): Promise<CommitResult> {
    const floor = this.reserve(given.nowMs, given.writes.length)
    if (given.writes.some(isAnywhere)) return this.commitAnywhere(given, floor)
    const line = this.onlyLine(given)
    return line === null ? this.commitToLines(given, floor) : this.commitTo(line, given, floor)
  }

  /** Returns the line of a commit; null if it is on none or several. */
  private onlyLine({ checks, writes }: Commit): number | null {
    let only: number | null = null
    for (const write of writes) {
      const line = this.lines.lineOfWrite(write)
      if (only !== null && line !== only) return null
      only = line
    }
    for (const check of checks) {
      const line = this.lines.lineOf(check.near ?? check)
      if (only !== null && line !== only) return null
      only = line
    }
    return only
  }

  private async commitToLines(given: Commit, floor: number): Promise<CommitResult> {
    if (given.writes.length + given.checks.length === 0) return { ok: true, written: [] }
    if (given.apart !== true) {
      const detail = 'the members are on several lines of the cluster, and one commit spans one of them'
      throw new KvistError('unprocessable', detail, { together: this.together(given) })
    }
    return this.commitApart(given, floor)
  }

  /** Stamps of later commits are larger. */
  observe(stamp: number): void {
    if (stamp > this.stamp) this.stamp = stamp
  }

  /** Resolves when all commits that were called have been settled. */
  async idle(): Promise<void> {
    await Promise.all(this.committers.map((committer) => committer.idle()))
  }

  /** Returns the stamp after which those of a commit come, and reserves as many as it has writes. */
  private reserve(nowMs: number, writes: number): number {
    const floor = Math.max(this.stamp, msToStamp(nowMs) - 1)
    this.stamp = floor + writes
    return floor
  }

  private commitTo(line: number, given: Commit, floor: number): Promise<CommitResult> {
    const commit = { ...given, floor, elsewhere: [] }
    const reserved = given.quotas === undefined ? null : this.quotas.reserve(line, given)
    if (reserved === null) return this.committers[line]!.commit(commit, null)
    return this.committers[line]!.commit(commit, reserved.elsewhere).finally(reserved.release)
  }

  /** With quotas one line after the other, so that each knows what the others have come to. */
  private async commitApart(given: Commit, floor: number): Promise<CommitResult> {
    const byLine = Map.groupBy(given.writes.keys(), (i) => this.lines.lineOfWrite(given.writes[i]!))
    const written = new Map<number, Written>()
    const commitOne = async (line: number, indexes: readonly number[]) => {
      const writes = indexes.map((i) => given.writes[i]!)
      const result = await this.commitTo(line, { ...given, writes }, floor)
      if (!result.ok) throw new Error('a commit apart was not done')
      for (const [n, i] of indexes.entries()) written.set(i, result.written[n]!)
    }
    const isInTurn = given.quotas !== undefined && given.quotas.length > 0
    const failures = await failuresOf([...byLine], isInTurn, ([line, indexes]) => commitOne(line, indexes))
    const stale = failures.filter((one) => one instanceof StaleView)
    for (const one of failures) if (!(one instanceof StaleView)) throw one
    if (stale.length > 0) throw joinedStaleView(stale, written)
    return { ok: true, written: given.writes.map((_, i) => written.get(i)!) }
  }

  /** Deletes whose line is not known are sent to every line: their revision says which one it is. */
  private async commitAnywhere(given: Commit, floor: number): Promise<CommitResult> {
    const everywhere = this.lines.all().map((line) => this.commitTo(line, given, floor))
    const settled = await Promise.allSettled(everywhere)
    const written = given.writes.map((): Written => nothingDone)
    for (const one of settled) {
      if (one.status === 'rejected') throw one.reason
      if (!one.value.ok) throw new Error('deletes without checks were not done')
      for (const [i, own] of one.value.written.entries()) if (own.revision > 0) written[i] = own
    }
    return { ok: true, written }
  }

  private together({ checks, writes }: Commit): MemberRef[][] {
    const groups = new Map<number, MemberRef[]>()
    const add = (line: number, { collection, key }: MemberRef) => {
      const refs = groups.get(line) ?? []
      if (!refs.some((ref) => ref.collection === collection && ref.key === key))
        refs.push({ collection, key })
      groups.set(line, refs)
    }
    for (const check of checks) add(this.lines.lineOf(check.near ?? check), check)
    for (const write of writes) add(this.lines.lineOfWrite(write), write)
    return [...groups.values()]
  }
}

const nothingDone: Written = { revision: 0, createdAtMs: 0, clock: 0, existed: false }

function isAnywhere(write: Commit['writes'][number]): boolean {
  return write.op === 'delete' && write.anywhere === true
}

/** Runs tasks at once or in turn, and returns why those failed that did. In turn, none follows one that failed. */
async function failuresOf<Task>(
  tasks: readonly Task[],
  isInTurn: boolean,
  run: (task: Task) => Promise<void>,
): Promise<unknown[]> {
  if (isInTurn) {
    for (const task of tasks) {
      try {
        await run(task)
      } catch (error) {
        return [error]
      }
    }
    return []
  }
  const settled = await Promise.allSettled(tasks.map(run))
  return settled.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
}
