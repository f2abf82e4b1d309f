import { stampToMs } from '../../src/core/clock.ts'
import type {
  Check,
  Commit,
  CommitResult,
  MemberRef,
  Put,
  Renew,
  ScanRange,
  Write,
  Written,
} from '../../src/core/engine.ts'
import { type Change, isExpired, type Member, revisionOf, type Tombstone } from '../../src/core/member.ts'
import type { Origin } from '../../src/core/origin.ts'
import type { Exceeded, Quota } from '../../src/core/quota.ts'

/**
 * What an engine promises, in the plainest way: maps in memory, sorted when asked. Revisions, and stamps, are the
 * engine's to choose; the model takes them from its responses and says whether they may be so.
 */
export interface Model {
  /** Does what the engine says it has done, and throws where it should have done otherwise. */
  follow(commit: Commit, result: CommitResult): void
  read(ref: MemberRef): Member | null
  tombstone(ref: MemberRef): Tombstone | null
  scan(range: ScanRange): Member[]
  /** Of all collections, or of one. */
  changesAfter(revision: number, collection?: string): Change[]
  /** Takes away tombstones of before a time, the oldest first, at most so many; says how many. */
  forget(beforeMs: number, limit: number): number
  /** The newest revision of which the tombstone was taken away. */
  forgotten(): number
  expiring(atMs: number): (MemberRef & { revision: number; expiresAtMs: number })[]
  collections(): { name: string; members: number; bytes: number }[]
  lastRevision(): number
  lastClock(): number
}

type State = { collection: string; member: Member } | { collection: string; tombstone: Tombstone }

/** `removedClockOf` returns the stamp that the engine reported with the tombstone of a revision. */
export function newModel(nodeId: string, removedClockOf: (revision: number) => number): Model {
  const states = new Map<string, State>()
  let lastRevision = 0
  let lastClock = 0
  let forgotten = 0

  function memberOf(ref: MemberRef): Member | null {
    const state = states.get(idOf(ref))
    return state !== undefined && 'member' in state ? state.member : null
  }

  function members(): { collection: string; member: Member }[] {
    return [...states.values()].flatMap((state) => ('member' in state ? [state] : []))
  }

  function failedCheck(
    checks: readonly Check[],
    nowMs: number,
  ): (MemberRef & { revision: number | null }) | null {
    for (const { collection, key, revision } of checks) {
      const member = memberOf({ collection, key })
      const existing = member === null || isExpired(member, nowMs) ? null : member.revision
      if (existing !== revision) return { collection, key, revision: existing }
    }
    return null
  }

  function followWrite(write: Write | Renew, nowMs: number, written: Written): void {
    const before = memberOf(write)
    const existed = before !== null && !isExpired(before, nowMs)
    const isOlder = write.op !== 'renew' && mayApply(write, before, existed) && !isNewer(write, nowMs)
    demand(
      (written.superseded === true) === isOlder,
      `${write.op} ${write.key}: superseded should be ${isOlder}`,
    )
    const does = mayApply(write, before, existed) && !isOlder
    demand(
      written.revision > 0 === does,
      `${write.op} ${write.key} should ${does ? '' : 'not '}have been done`,
    )
    demand(written.existed === (does && existed), `${write.op} ${write.key}: existed should be ${existed}`)
    if (!does) return
    if (write.op === 'renew') {
      const member = before!
      const isShorter = lifeOf(write.expiresAtMs) < lifeOf(member.expiresAtMs)
      followRenewal(write, isShorter ? { ...member, clock: member.clock + 1, node: '' } : member, written)
      return
    }
    if (write.op === 'put' && write.origin !== undefined && before !== null && isSame(write.origin, before)) {
      followRenewal(write, before, written)
      return
    }
    demand(
      written.revision > lastRevision,
      `${write.op} ${write.key}: revision ${written.revision} is not new`,
    )
    const isExpiry = write.op === 'delete' && write.cause === 'expire'
    const origin = write.origin ?? (isExpiry ? before! : undefined)
    demand(
      origin === undefined ? written.clock > lastClock : written.clock === origin.clock,
      `${write.op} ${write.key}: stamp ${written.clock} is not its own`,
    )
    lastRevision = written.revision
    lastClock = Math.max(lastClock, written.clock)
    const { collection, key } = write
    const { revision, clock } = written
    const node = origin === undefined || origin.node === nodeId ? '' : origin.node
    if (write.op === 'delete') {
      const removedClock = removedClockOf(revision)
      const isOwn = origin === undefined ? removedClock === clock : removedClock > lastClock
      demand(isOwn, `${key}: the stamp ${removedClock} of its removal is not this node's`)
      lastClock = removedClock
      states.set(idOf(write), {
        collection,
        tombstone: { key, revision, cause: write.cause, clock, node, removedClock },
      })
      return
    }
    const createdAtMs = write.origin?.createdAtMs ?? (existed ? before.createdAtMs : nowMs)
    demand(written.createdAtMs === createdAtMs, `${key} should have been created at ${createdAtMs}`)
    const { value, expiresAtMs, contentType, flags } = write
    const member = { key, value, revision, createdAtMs, clock, node, expiresAtMs, contentType, flags }
    states.set(idOf(write), { collection, member })
  }

  /** A renewal changes the expiry of the member, which is given with the origin that it has from then on. */
  function followRenewal(
    { collection, expiresAtMs, ...write }: Put | Renew,
    member: Member,
    written: Written,
  ): void {
    const { revision, clock, createdAtMs } = member
    const reported =
      written.revision === revision && written.clock === clock && written.createdAtMs === createdAtMs
    demand(reported, `renew ${write.key}: it is not the member that was there`)
    lastClock = Math.max(lastClock, clock)
    states.set(idOf({ collection, key: write.key }), { collection, member: { ...member, expiresAtMs } })
  }

  function isSame(origin: Origin, stored: Origin): boolean {
    return origin.clock === stored.clock && origin.node === (stored.node || nodeId)
  }

  /**
   * Against what is stored: by stamp, then by node. Of one version the longer life is newer, and its tombstone comes
   * between what has expired by now and what has not.
   */
  function isNewer(write: Write, nowMs: number): boolean {
    const state = states.get(idOf(write))
    if (write.origin === undefined || state === undefined) return true
    const stored = 'member' in state ? state.member : state.tombstone
    if (!isSame(write.origin, stored)) {
      const rank = ({ clock, node }: Origin) => `${String(clock).padStart(16, '0')} ${node || nodeId}`
      return rank(write.origin) > rank(stored)
    }
    const written = write.op === 'put' ? lifeOf(write.expiresAtMs) : nowMs + 0.5
    return written > ('member' in state ? lifeOf(state.member.expiresAtMs) : nowMs + 0.5)
  }

  /** The quotas that these writes of this node, done together, would pass. */
  function passedBy(writes: readonly (Write | Renew)[], nowMs: number, quotas: readonly Quota[]): string[] {
    if (quotas.length === 0) return []
    const passed: string[] = []
    const left = new Map([...states].flatMap(([id, state]) => ('member' in state ? [[id, state]] : [])))
    const before = new Map(left)
    for (const write of writes) {
      const id = idOf(write)
      const known = left.get(id)?.member ?? null
      const existed = known !== null && !isExpired(known, nowMs)
      if (!mayApply(write, known, existed)) continue
      if (write.op === 'delete') {
        left.delete(id)
        continue
      }
      const { collection, key, expiresAtMs } = write
      if (write.op === 'renew') {
        left.set(id, { collection, member: { ...known!, expiresAtMs } })
        continue
      }
      const { value } = write
      const limit = quotas.find((one) => one.collection === collection)?.maxValueBytes ?? null
      const length = Buffer.byteLength(value)
      if (limit !== null && length > limit && length > (existed ? Buffer.byteLength(known.value) : 0))
        passed.push(`${collection} maxValueBytes ${limit}`)
      const unknown = { revision: -1, createdAtMs: 0, clock: 0, node: '', contentType: '', flags: 0 }
      left.set(id, { collection, member: { key, value, expiresAtMs, ...unknown } })
    }
    for (const { collection, maxMembers, maxBytes } of quotas) {
      const [from, to] = [before, left].map((all) => sizeOf([...all.values()], collection))
      for (const [name, limit, used, needed] of [
        ['maxMembers', maxMembers, from!.members, to!.members],
        ['maxBytes', maxBytes, from!.bytes, to!.bytes],
      ] as const)
        if (limit !== null && needed > limit && needed > used) passed.push(`${collection} ${name} ${limit}`)
    }
    return passed
  }

  return {
    follow({ checks, writes, nowMs, quotas = [], apart }, result) {
      const failed = failedCheck(checks, nowMs)
      const isRefused = !result.ok && 'failed' in result
      demand(isRefused === (failed !== null), `the check should ${failed ? '' : 'not '}have failed`)
      if (isRefused) {
        const { collection, key, revision } = result.failed
        demand(
          collection === failed?.collection && key === failed.key && revision === failed.revision,
          `the check on ${failed?.key} failed with ${failed?.revision}`,
        )
        return
      }
      if (!result.ok) {
        demand(apart === undefined, 'a quota refuses no commit whose writes are apart')
        const passed = passedBy(writes, nowMs, quotas)
        demand(passed.includes(limitOf(result.exceeded)), `the quota that is passed is one of ${passed}`)
        return
      }
      demand(result.written.length === writes.length, 'there is one response for each write')
      if (apart === undefined) {
        const passed = passedBy(writes, nowMs, quotas)
        demand(passed.length === 0, `the commit passes ${passed}`)
      }
      for (const [i, write] of writes.entries()) {
        const written = result.written[i]!
        const passed = apart === undefined ? [] : passedBy([write], nowMs, quotas)
        const isDone = written.exceeded === undefined
        demand(isDone === (passed.length === 0), `${write.op} ${write.key} passes ${passed}`)
        if (written.exceeded === undefined) followWrite(write, nowMs, written)
        else demand(passed.includes(limitOf(written.exceeded)), `it is one of ${passed}`)
      }
    },
    read: memberOf,
    tombstone(ref) {
      const state = states.get(idOf(ref))
      return state !== undefined && 'tombstone' in state ? state.tombstone : null
    },
    scan({ collection, from, to, order, keysOnly }) {
      const found = members()
        .filter((one) => one.collection === collection && isWithin(one.member.key, from, to))
        .map(({ member }) => (keysOnly ? { ...member, value: '' } : member))
        .sort((a, b) => byBytes(a.key, b.key))
      return order === 'asc' ? found : found.reverse()
    },
    changesAfter(revision, collection) {
      return [...states.values()]
        .filter((state) => collection === undefined || state.collection === collection)
        .map((state): Change => {
          if ('member' in state) return { type: 'put', ...state }
          return { type: state.tombstone.cause, ...state }
        })
        .filter((change) => revisionOf(change) > revision)
        .sort((a, b) => revisionOf(a) - revisionOf(b))
    },
    forget(beforeMs, limit) {
      const old = [...states]
        .flatMap(([id, state]) => ('tombstone' in state ? [{ id, ...state.tombstone }] : []))
        .sort((a, b) => a.revision - b.revision)
      const young = old.findIndex(({ removedClock }) => stampToMs(removedClock) >= beforeMs)
      const gone = old.slice(0, Math.min(limit, young < 0 ? old.length : young))
      for (const { id, revision } of gone) {
        states.delete(id)
        forgotten = revision
      }
      return gone.length
    },
    forgotten: () => forgotten,
    expiring(atMs) {
      return members()
        .flatMap(({ collection, member: { key, revision, expiresAtMs } }) =>
          expiresAtMs !== null && expiresAtMs <= atMs ? [{ collection, key, revision, expiresAtMs }] : [],
        )
        .sort((a, b) => a.expiresAtMs - b.expiresAtMs)
    },
    collections() {
      const counts = new Map<string, { name: string; members: number; bytes: number }>()
      for (const { collection: name, member } of members()) {
        const { members, bytes } = counts.get(name) ?? { members: 0, bytes: 0 }
        const own = Buffer.byteLength(member.key) + Buffer.byteLength(member.value)
        counts.set(name, { name, members: members + 1, bytes: bytes + own })
      }
      return [...counts.values()].sort((a, b) => byBytes(a.name, b.name))
    },
    lastRevision: () => lastRevision,
    lastClock: () => lastClock,
  }
}

function limitOf({ collection, limitName, limit }: Exceeded): string {
  return `${collection} ${limitName} ${limit}`
}

function sizeOf(of: readonly { collection: string; member: Member }[], collection: string) {
  const own = of.filter((one) => one.collection === collection)
  const bytes = own.map(({ member }) => Buffer.byteLength(member.key) + Buffer.byteLength(member.value))
  return { members: own.length, bytes: bytes.reduce((sum, one) => sum + one, 0) }
}

/** Whether a write is done, unless what is stored is newer. */
function mayApply(write: Write | Renew, before: Member | null, existed: boolean): boolean {
  if (write.op === 'put') return true
  if (write.op === 'renew') return existed && before?.revision === write.ifRevision
  if (write.ifExpiresAtMs !== undefined && before?.expiresAtMs !== write.ifExpiresAtMs) return false
  if (write.ifRevision !== undefined) return before?.revision === write.ifRevision
  return existed || write.origin !== undefined
}

/** When a life ends; later than all times for never. */
function lifeOf(expiresAtMs: number | null): number {
  return expiresAtMs ?? Number.POSITIVE_INFINITY
}

function idOf({ collection, key }: MemberRef): string {
  return JSON.stringify([collection, key])
}

function isWithin(key: string, from: string | null, to: string | null): boolean {
  return (from === null || byBytes(key, from) >= 0) && (to === null || byBytes(key, to) < 0)
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function demand(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}
