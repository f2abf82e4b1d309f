import type { MemberRef, Renew } from './engine.ts'
import { maxTimeMs } from './limits.ts'
import type { Member, MemberHead } from './member.ts'
import type { Writes } from './writes.ts'

/**
 * Sliding expiry: a read lets a member live on. Renewals are gathered and written beside the readers, none of whom
 * waits for it; docs/design/expiry.md. A member is renewed for a tenth longer than it has to live, so that one that is
 * read all the time is written about ten times in its time to live.
 */
export interface Renewals {
  /** Takes note that a member, which lives, was read. */
  wasRead(collection: string, member: Member | MemberHead, nowMs: number): void
  /** Whether a member that is over, as far as is written, is about to be renewed by a read that came in time. */
  livesOn(collection: string, member: Member | MemberHead, nowMs: number): boolean
  /** These members get the expiry that somebody gave them: what waits to be written for them is void. */
  forget(refs: readonly MemberRef[]): void
  /** Members that were renewed since the start. */
  renewed(): number
  /** Writes what waits, and takes note of nothing more. */
  stop(): Promise<void>
}

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
const gatherMs = 100
const atOnce = 1000
const bytesAtOnce = 4 * 1024 * 1024
/** Past this many, renewals are let go of: the next read asks again. */
const maxWaiting = 10_000
/** One that has less time left than this is not gathered with others. */
const urgentMs = 1000
/** How long none are taken note of when the engine cannot write. */
const pauseMs = 1000

export function startRenewals({ writes, slidingTtlMs, onError }: RenewalOptions): Renewals {
  const waiting = new Map<string, Renewal>()
  let sent: ReadonlyMap<string, Renewal> = new Map()
  let writing: Promise<void> | null = null
  let timer: Timer | null = null
  let isUrgent = false
  let isPaused = false
  let isStopped = false
  let renewed = 0

  function wasRead(collection: string, member: Member | MemberHead, nowMs: number): void {
    const ttlMs = slidingTtlMs(collection)
    const { key, revision, expiresAtMs } = member
    if (ttlMs === null || expiresAtMs === null || expiresAtMs >= nowMs + ttlMs) return
    const id = idOf(collection, key)
    if (isPaused || isStopped || promisedMs(id, revision) >= nowMs + ttlMs) return
    if (waiting.size >= maxWaiting && !waiting.has(id)) return
    waiting.set(id, {
      op: 'renew',
      collection,
      key,
      expiresAtMs: Math.min(Math.ceil(nowMs + ttlMs * lifeOfTtl), maxTimeMs),
      ifRevision: revision,
      bytes: 'value' in member ? member.value.length : member.valueBytes,
    })
    if (expiresAtMs - nowMs < urgentMs) isUrgent = true
    if (isUrgent || waiting.size >= atOnce) writeNow()
    else writeLater()
  }

  /** Until when a member will live by renewals that are not written yet; 0 for none. */
  function promisedMs(id: string, revision: number): number {
    let latest = 0
    for (const one of [waiting.get(id), sent.get(id)]) {
      if (one?.ifRevision === revision) latest = Math.max(latest, one.expiresAtMs)
    }
    return latest
  }

  function writeLater(): void {
    timer ??= setTimeout(writeNow, gatherMs).unref()
  }

  function writeNow(): void {
    if (timer !== null) clearTimeout(timer)
    timer = null
    writing ??= write()
  }

  async function write(): Promise<void> {
    // What is read in the same go comes along.
    await null
    try {
      while (waiting.size > 0) {
        const isCut = await writeSome()
        if (!isCut && !isUrgent) break
      }
      if (waiting.size > 0) writeLater()
    } catch (error) {
      onError(error)
      waiting.clear()
      isUrgent = false
      pause()
    } finally {
      writing = null
    }
  }

  /** Says whether that was all that there was room for. */
  async function writeSome(): Promise<boolean> {
    const batch = new Map<string, Renewal>()
    let bytes = 0
    for (const [id, renewal] of waiting) {
      if (batch.size === atOnce || bytes >= bytesAtOnce) break
      batch.set(id, renewal)
      waiting.delete(id)
      bytes += renewal.bytes
    }
    const isCut = waiting.size > 0
    if (!isCut) isUrgent = false
    sent = batch
    try {
      const renewals = Array.from(batch.values(), ({ bytes, ...renew }) => renew)
      const written = await writes.commit(renewals, { durability: 'relaxed' })
      renewed += written.filter(({ existed }) => existed).length
    } finally {
      sent = new Map()
    }
    return isCut
  }

  function pause(): void {
    isPaused = true
    setTimeout(() => {
      isPaused = false
    }, pauseMs).unref()
  }

  return {
    wasRead,
    livesOn: (collection, { key, revision }, nowMs) => promisedMs(idOf(collection, key), revision) > nowMs,
    forget(refs) {
      for (const { collection, key } of refs) waiting.delete(idOf(collection, key))
    },
    renewed: () => renewed,
    async stop() {
      isStopped = true
      isUrgent = true
      writeNow()
      await writing
    },
  }
}

function idOf(collection: string, key: string): string {
  return `${collection}/${key}`
}
