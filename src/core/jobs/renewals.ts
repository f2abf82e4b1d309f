import type { MemberRef, Renew } from '../engine.ts'
import { maxTimeMs } from '../limits.ts'
import type { Member, MemberHead } from '../member.ts'
import type { StopTimer, Timers } from '../timers.ts'
import type { Writes } from '../writes.ts'

export interface RenewalOptions {
  readonly writes: Pick<Writes, 'commit'>
  /** Returns the time to live after a read; null where expiry does not slide. */
  readonly slidingTtlMs: (collection: string) => number | null
  readonly onError: (error: unknown) => void
  readonly timers: Timers
}

interface Renewal extends Renew {
  readonly expiresAtMs: number
  /** The approximate size of the value, which an engine may have to write again. */
  readonly bytes: number
  /** The time of the first read: the stored expiry was later than that. */
  readonly readAtMs: number
}

const lifeOfTtl = 1.1
/** How long renewals are buffered before a batch is written. */
const bufferMs = 100
const batchRenewals = 1000
const batchBytes = 4 * 1024 * 1024
/** Renewals beyond this many are dropped: the next read asks for them again. */
const maxBuffered = 10_000
/** A renewal of a member that expires within this time is written at once. */
const urgentMs = 1000
/** How long reads renew nothing after a write of the engine failed. */
const pauseMs = 1000

/**
 * Renews members that are read, for sliding expiry. Renewals are buffered and written in the background, so reads do
 * not wait for them; docs/design/expiry.md. A renewal lasts a tenth longer than the time to live, so that a member that
 * is read all the time is written about ten times in that time.
 */
export class Renewals {
  private readonly options: RenewalOptions
  private readonly buffered = new Map<string, Renewal>()
  /** Renewals that are being written. */
  private inFlight: ReadonlyMap<string, Renewal> = new Map()
  private writing: Promise<void> | null = null
  private stopTimer: StopTimer | null = null
  private isUrgent = false
  private isPaused = false
  private isStopped = false
  private count = 0

  constructor(options: RenewalOptions) {
    this.options = options
  }

  /** Renews a member that was read, if its collection's expiry slides and it has less than the time to live left. */
  wasRead(collection: string, member: Member | MemberHead, nowMs: number): void {
    const ttlMs = this.options.slidingTtlMs(collection)
    const { key, revision, expiresAtMs } = member
    if (ttlMs === null || expiresAtMs === null || expiresAtMs >= nowMs + ttlMs) return
    const id = idOf(collection, key)
    if (this.isPaused || this.isStopped || this.promisedMs(id, revision) >= nowMs + ttlMs) return
    if (this.buffered.size >= maxBuffered && !this.buffered.has(id)) return
    const buffered = this.buffered.get(id)
    this.buffered.set(id, {
      op: 'renew',
      collection,
      key,
      expiresAtMs: Math.min(Math.ceil(nowMs + ttlMs * lifeOfTtl), maxTimeMs),
      ifRevision: revision,
      bytes: 'value' in member ? member.value.length : member.valueBytes,
      readAtMs: buffered?.ifRevision === revision ? buffered.readAtMs : nowMs,
    })
    if (expiresAtMs - nowMs < urgentMs) this.isUrgent = true
    if (this.isUrgent || this.buffered.size >= batchRenewals) this.writeNow()
    else this.writeLater()
  }

  /**
   * Returns whether a member that has expired according to the store has a renewal, from a read in time, that is not
   * written yet.
   */
  livesOn(collection: string, { key, revision }: Pick<Member, 'key' | 'revision'>, nowMs: number): boolean {
    return this.promisedMs(idOf(collection, key), revision) > nowMs
  }

  /** Drops the buffered renewals of members that get another expiry. */
  forget(refs: readonly MemberRef[]): void {
    for (const { collection, key } of refs) this.buffered.delete(idOf(collection, key))
  }

  /** Returns how many members were renewed since the start. */
  renewed(): number {
    return this.count
  }

  /** Writes the buffered renewals; later reads renew nothing. */
  async stop(): Promise<void> {
    this.isStopped = true
    this.isUrgent = true
    this.writeNow()
    await this.writing
  }

  /** Returns the expiry that unwritten renewals give a member; 0 if there are none. */
  private promisedMs(id: string, revision: number): number {
    let latest = 0
    for (const one of [this.buffered.get(id), this.inFlight.get(id)]) {
      if (one?.ifRevision === revision) latest = Math.max(latest, one.expiresAtMs)
    }
    return latest
  }

  private writeLater(): void {
    this.stopTimer ??= this.options.timers.after(bufferMs, () => this.writeNow())
  }

  private writeNow(): void {
    this.stopTimer?.()
    this.stopTimer = null
    this.writing ??= this.writeBatches()
  }

  private async writeBatches(): Promise<void> {
    // Wait for further renewals of this tick.
    await null
    try {
      while (this.buffered.size > 0) {
        const isAll = await this.writeBatch(this.takeBatch())
        if (isAll && !this.isUrgent) break
      }
      if (this.buffered.size > 0) this.writeLater()
    } catch (error) {
      this.options.onError(error)
      this.buffered.clear()
      this.isUrgent = false
      this.pause()
    } finally {
      this.writing = null
    }
  }

  private takeBatch(): ReadonlyMap<string, Renewal> {
    const batch = new Map<string, Renewal>()
    let bytes = 0
    for (const [id, renewal] of this.buffered) {
      if (batch.size === batchRenewals || bytes >= batchBytes) break
      batch.set(id, renewal)
      this.buffered.delete(id)
      bytes += renewal.bytes
    }
    return batch
  }

  /** Returns whether the batch was all that was buffered. */
  private async writeBatch(batch: ReadonlyMap<string, Renewal>): Promise<boolean> {
    const isAll = this.buffered.size === 0
    if (isAll) this.isUrgent = false
    this.inFlight = batch
    try {
      const renewals = Array.from(batch.values(), ({ bytes, readAtMs, ...renew }) => renew)
      // Reads have shown these members since: the renewals count from then, however late they are written.
      const nowMs = Math.min(...Array.from(batch.values(), ({ readAtMs }) => readAtMs))
      const written = await this.options.writes.commit(renewals, { durability: 'relaxed', nowMs })
      this.count += written.filter(({ existed }) => existed).length
    } finally {
      this.inFlight = new Map()
    }
    return isAll
  }

  private pause(): void {
    this.isPaused = true
    this.options.timers.after(pauseMs, () => {
      this.isPaused = false
    })
  }
}

function idOf(collection: string, key: string): string {
  return `${collection}/${key}`
}
