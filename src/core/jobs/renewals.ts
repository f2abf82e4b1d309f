import type { MemberRef, Renew } from '../engine.ts'
import { maxTimeMs } from '../limits.ts'
import type { Member, MemberHead } from '../member.ts'
import type { Writes } from '../writes.ts'

export interface RenewalOptions {
  readonly writes: Pick<Writes, 'commit'>
  /** How long a read lets the members of a collection live; null where they expire when they do. */
  readonly slidingTtlMs: (collection: string) => number | null
  readonly onError: (error: unknown) => void
}

interface Renewal extends Renew {
  readonly expiresAtMs: number
  /** Of the value, about: an engine may have to write it again. */
  readonly bytes: number
}

const lifeOfTtl = 1.1
/** How long renewals are buffered before they are written. */
const bufferMs = 100
const batchRenewals = 1000
const batchBytes = 4 * 1024 * 1024
/** Renewals beyond this many are dropped: the next read asks for them again. */
const maxBuffered = 10_000
/** A renewal of a member that expires sooner than this is written at once. */
const urgentMs = 1000
/** How long reads are ignored after the engine failed to write. */
const pauseMs = 1000

/**
 * Sliding expiry: a read lets a member live on. Renewals are buffered and written beside the reads, which do not wait for them;
 * docs/design/expiry.md. A member is renewed for a tenth longer than its time to live, so that one that is read all the time
 * is written about ten times in that time.
 */
export class Renewals {
  private readonly options: RenewalOptions
  private readonly buffered = new Map<string, Renewal>()
  /** Those that are being written. */
  private inFlight: ReadonlyMap<string, Renewal> = new Map()
  private writing: Promise<void> | null = null
  private timer: Timer | null = null
  private isUrgent = false
  private isPaused = false
  private isStopped = false
  private count = 0

  constructor(options: RenewalOptions) {
    this.options = options
  }

  /** Renews a member that was read, if it slides and more than a tenth of its time is over. */
  wasRead(collection: string, member: Member | MemberHead, nowMs: number): void {
    const ttlMs = this.options.slidingTtlMs(collection)
    const { key, revision, expiresAtMs } = member
    if (ttlMs === null || expiresAtMs === null || expiresAtMs >= nowMs + ttlMs) return
    const id = idOf(collection, key)
    if (this.isPaused || this.isStopped || this.promisedMs(id, revision) >= nowMs + ttlMs) return
    if (this.buffered.size >= maxBuffered && !this.buffered.has(id)) return
    this.buffered.set(id, {
      op: 'renew',
      collection,
      key,
      expiresAtMs: Math.min(Math.ceil(nowMs + ttlMs * lifeOfTtl), maxTimeMs),
      ifRevision: revision,
      bytes: 'value' in member ? member.value.length : member.valueBytes,
    })
    if (expiresAtMs - nowMs < urgentMs) this.isUrgent = true
    if (this.isUrgent || this.buffered.size >= batchRenewals) this.writeNow()
    else this.writeLater()
  }

  /** Whether a member that has expired, as far as is stored, is about to be renewed by a read that came in time. */
  livesOn(collection: string, { key, revision }: Member | MemberHead, nowMs: number): boolean {
    return this.promisedMs(idOf(collection, key), revision) > nowMs
  }

  /** Drops the buffered renewals of members that get another expiry. */
  forget(refs: readonly MemberRef[]): void {
    for (const { collection, key } of refs) this.buffered.delete(idOf(collection, key))
  }

  /** How many members were renewed since the start. */
  renewed(): number {
    return this.count
  }

  /** Writes what is buffered; reads renew nothing any more. */
  async stop(): Promise<void> {
    this.isStopped = true
    this.isUrgent = true
    this.writeNow()
    await this.writing
  }

  /** Until when a member will live by renewals that are not written yet; 0 for none. */
  private promisedMs(id: string, revision: number): number {
    let latest = 0
    for (const one of [this.buffered.get(id), this.inFlight.get(id)]) {
      if (one?.ifRevision === revision) latest = Math.max(latest, one.expiresAtMs)
    }
    return latest
  }

  private writeLater(): void {
    this.timer ??= setTimeout(() => this.writeNow(), bufferMs).unref()
  }

  private writeNow(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    this.writing ??= this.writeBatches()
  }

  private async writeBatches(): Promise<void> {
    // What else is read in this tick comes along.
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
      const renewals = Array.from(batch.values(), ({ bytes, ...renew }) => renew)
      const written = await this.options.writes.commit(renewals, { durability: 'relaxed' })
      this.count += written.filter(({ existed }) => existed).length
    } finally {
      this.inFlight = new Map()
    }
    return isAll
  }

  private pause(): void {
    this.isPaused = true
    setTimeout(() => {
      this.isPaused = false
    }, pauseMs).unref()
  }
}

function idOf(collection: string, key: string): string {
  return `${collection}/${key}`
}
