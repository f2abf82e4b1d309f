import { isUnmirrored } from '../core/origin.ts'
import type { Log } from '../telemetry/log.ts'
import { type Difference, differences } from './compare.ts'
import type { ComparedNode } from './compared-node.ts'
import { addCounts, nothingSynced, type SyncCounts, syncDifferences } from './sync.ts'

/**
 * Compares this node with one of its targets again and again, and mends what the target has missed: members that it lacks,
 * older versions, deletes that it never heard of. A mirror goes one way, and so does this: what the target has later stays
 * there, save for writes of this very node, which it must have lost.
 */
export interface Healer {
  status(): HealStatus
  /** Begins now, or again once the present run has ended. */
  healNow(): void
  stop(): Promise<void>
}

export interface HealStatus {
  readonly isRunning: boolean
  /** Runs that came to their end, since the start. */
  readonly runs: number
  /** Runs that failed. */
  readonly failures: number
  /** Members that were mended, since the start. */
  readonly mended: number
  /** Of the last run: members that only the target has, and that this node may have deleted and forgotten. */
  readonly undecided: number
  /** When the last run ended that did not fail; null for none. */
  readonly lastRunMs: number | null
  /** The last failure, also if later runs succeeded; null for none. */
  readonly lastError: { readonly detail: string; readonly atMs: number } | null
}

export interface HealOptions {
  readonly local: ComparedNode
  readonly target: ComparedNode
  readonly everyMs: number
  readonly isCompared: (collection: string, key: string | null) => boolean
  /** Whether the mirror has sent the target everything that it knows of. */
  readonly isCurrent: () => boolean
  /** Whether this store, and not an older copy of it, made a write of this node with such a stamp. */
  readonly wroteHere: (stamp: number) => boolean
  readonly now: () => number
  /** Waits; resolves early when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  readonly log: Pick<Log, 'info' | 'warn'>
  readonly onError: (error: unknown) => void
}

/** The first run begins so long after the start, or after `everyMs` if that is less. */
const firstAfterMs = 60_000
/** A run waits so long for a target that is not current, in steps. */
const stepMs = 1000
/** Keys that a line of the log names. */
const namedKeys = 5

export function startHealer(options: HealOptions): Healer {
  const stopping = new AbortController()
  const run = new HealRun(options, stopping.signal)
  const done = run.loop().catch(options.onError)
  return {
    status: () => run.status(),
    healNow: () => run.wake(),
    async stop() {
      stopping.abort(new Error('the server is stopping'))
      run.wake()
      await done
    },
  }
}

/** The outcome of a run. */
interface Mended {
  readonly counts: SyncCounts
  /** Some of those that are undecided. */
  readonly undecided: readonly Difference[]
  /** Collections that could not be compared. */
  readonly partial: readonly string[]
}

class HealRun {
  private readonly options: HealOptions
  private readonly stopped: AbortSignal
  private state: HealStatus = {
    ...{ isRunning: false, runs: 0, failures: 0, mended: 0, undecided: 0 },
    ...{ lastRunMs: null, lastError: null },
  }
  private waking = new AbortController()

  constructor(options: HealOptions, stopped: AbortSignal) {
    this.options = options
    this.stopped = stopped
  }

  status(): HealStatus {
    return this.state
  }

  wake(): void {
    this.waking.abort()
  }

  async loop(): Promise<void> {
    const { everyMs, sleep } = this.options
    let waitMs = Math.min(everyMs, firstAfterMs)
    while (!this.stopped.aborted) {
      await sleep(waitMs, this.waking.signal)
      this.waking = new AbortController()
      waitMs = everyMs
      await this.untilCurrent()
      if (this.stopped.aborted) return
      await this.run()
    }
  }

  /** Waits until the mirror has sent what it knows of: that is no difference to mend. But not for ever. */
  private async untilCurrent(): Promise<void> {
    const { isCurrent, everyMs, sleep } = this.options
    for (let waitedMs = 0; waitedMs < everyMs && !isCurrent() && !this.stopped.aborted; waitedMs += stepMs)
      await sleep(stepMs, this.stopped)
  }

  private async run(): Promise<void> {
    const { now, log, target } = this.options
    this.state = { ...this.state, isRunning: true }
    try {
      const { counts, undecided, partial } = await this.mend()
      const mended = counts.toB + counts.toA + counts.removed
      const { state } = this
      this.state = {
        ...state,
        isRunning: false,
        runs: state.runs + 1,
        mended: state.mended + mended,
        undecided: counts.undecided,
        lastRunMs: now(),
      }
      if (mended > 0) {
        const { toB: sent, toA: fetched, removed } = counts
        log.warn('the target had not what it should have: it was mended', {
          target: target.name,
          sent,
          fetched,
          removed,
        })
      }
      if (counts.undecided > 0 && counts.undecided !== state.undecided) {
        log.warn('the target has members that this node may have deleted: see kvist nodes sync', {
          target: target.name,
          members: counts.undecided,
          some: undecided.map(({ collection, key }) => `${collection}/${key}`),
        })
      }
      if (partial.length > 0)
        this.failed(new Error(`not compared: ${partial.join(', ')}, of which the token does not reach all`))
      if (counts.refused > 0)
        this.failed(new Error(`${counts.refused} changes are refused: ${counts.detail}`))
    } catch (error) {
      if (!this.stopped.aborted) this.failed(error)
    }
    this.state = { ...this.state, isRunning: false }
  }

  private failed(error: unknown): void {
    const { now, log, target } = this.options
    const detail = error instanceof Error ? error.message : String(error)
    if (this.state.lastError?.detail !== detail)
      log.warn('the target could not be compared, or not be mended', { target: target.name, detail })
    this.state = { ...this.state, failures: this.state.failures + 1, lastError: { detail, atMs: now() } }
  }

  private async mend(): Promise<Mended> {
    const { local, target, isCompared, now, sleep } = this.options
    const own = await local.nodeId()
    const undecided: Difference[] = []
    const partial: string[] = []
    let counts = nothingSynced
    const found = differences(local, target, {
      isCompared,
      elapsedMs: now,
      sleep: (ms) => sleep(ms, this.stopped),
      onPartial: (collection) => partial.push(collection),
    })
    for await (const some of found) {
      this.stopped.throwIfAborted()
      const removed = some.filter((one) => this.isRemoved(one, own))
      const others = some.filter((one) => !removed.includes(one))
      const open = others.filter((one) => isOpen(one, own))
      undecided.push(...open.slice(0, namedKeys - undecided.length))
      counts = addCounts(counts, await syncDifferences(local, target, removed, 'remove'))
      counts = addCounts(
        counts,
        await syncDifferences(
          local,
          target,
          others.filter((one) => isMended(one, own)),
          'leave',
        ),
      )
      counts = addCounts(counts, { ...nothingSynced, undecided: open.length })
    }
    return { counts, undecided, partial }
  }

  /**
   * Whether the target has a member that this node wrote and has removed, and forgotten since: it wrote that version, and
   * has it no more. One that expires may have been renewed at the target, and ends by itself.
   */
  private isRemoved({ b, settlement }: Difference, own: string): boolean {
    if (settlement.kind !== 'undecided' || settlement.on !== 'b' || b.type !== 'put') return false
    return b.node === own && b.expiresAtMs === null && this.options.wroteHere(b.clock)
  }
}

/** Whether somebody has to decide. What another node wrote at the target is not for this node to decide on. */
function isOpen({ b, settlement }: Difference, own: string): boolean {
  if (settlement.kind !== 'undecided') return false
  return settlement.on === 'a' || (b.type === 'put' && b.node === own)
}

/**
 * Whether the mirror would have brought this about, or this node lost a write of its own. It did not lose a version that was
 * only renewed at the target.
 */
function isMended({ a, b, settlement }: Difference, own: string): boolean {
  if (settlement.kind !== 'copy') return false
  if (settlement.from === 'a') return a.type !== 'none' && !isUnmirrored(a.node)
  if (b.type === 'none' || b.node !== own) return false
  return a.type === 'none' || a.node !== own || a.clock !== b.clock
}
