import type { MaybePromise, MemberRef } from '../core/engine.ts'
import { maxValueBytes, smallBytes } from '../core/limits.ts'
import type { Member, MemberHead } from '../core/member.ts'
import type { Store } from '../core/store.ts'
import type { Share } from '../net/budget.ts'
import { garbageMeter } from '../runtime/garbage.ts'
import { recycledBuffers } from './recycled-buffers.ts'
import type { Connection } from './wire/client-connection.ts'

/**
 * Reads members whose values are sent unchanged. A large value is in memory once, however many clients it is sent to,
 * and counts in the budget of values until the last of them has received it. While the budget has no room, a request
 * waits before its value is read.
 */
export interface LargeValues {
  /** Whether a member may be read without checking its size first: there is room for the largest value. */
  fits(ref: MemberRef, connection: Connection): boolean
  /**
   * As `Database.get`, for a response that sends only the value to this connection: a large JSON value is returned as
   * UTF-8 bytes.
   */
  get(ref: MemberRef, connection: Connection): MaybePromise<Member | null>
  /**
   * Returns the bytes `from` to `to` of a large value, of JSON its UTF-8, and accounts for them; null if the member is
   * another version than `head` by now. Uses the value where it is being sent, and else reads the part alone.
   */
  part(
    ref: MemberRef,
    head: MemberHead,
    from: number,
    to: number,
    connection: Connection,
  ): Promise<Uint8Array | null>
  /** Accounts for a large value that was read after `fits` returned true; returns the member as `get` does. */
  join(ref: MemberRef, member: Member, connection: Connection): Member
}

const encodedTexts = recycledBuffers()

/** Bytes of sent values and of copies made while reading after which garbage is collected. */
const garbage = garbageMeter(32 * 1024 * 1024)
/** Smaller values are left to the runtime's collector while no request waits for room. */
const hugeBytes = 4 * 1024 * 1024

/** A large value that is being sent. */
interface Sending {
  readonly version: string
  readonly key: string
  readonly value: Uint8Array
  /** The value is in memory of `encodedTexts`. */
  readonly isText: boolean
  readonly share: Share
  /** The number of responses that are not sent completely. */
  responses: number
}

/** The large values that are being sent, on all connections. */
export interface SharedValues {
  readonly byVersion: Map<string, Sending>
  /** The number of them by key. */
  readonly keys: Map<string, number>
}

export function sharedValues(): SharedValues {
  return { byVersion: new Map(), keys: new Map() }
}

export function largeValues(db: Store, { byVersion: sending, keys } = sharedValues()): LargeValues {
  function begin(version: string, { key, value }: Member, share: Share): Sending {
    const isText = typeof value === 'string'
    const bytes = isText ? encodedTexts.encode(value) : value
    share.resize(bytes.length)
    // A text was in memory as bytes, as text, and as bytes again.
    leaveGarbage(share, isText ? 2 * bytes.length : bytes.length)
    const entry: Sending = { version, key, value: bytes, isText, share, responses: 0 }
    sending.set(version, entry)
    keys.set(key, (keys.get(key) ?? 0) + 1)
    return entry
  }

  function end({ version, key, value, isText, share }: Sending): void {
    releaseShare(share, value.length)
    if (isText) encodedTexts.recycle(value)
    sending.delete(version)
    const left = keys.get(key)! - 1
    if (left > 0) keys.set(key, left)
    else keys.delete(key)
  }

  /**
   * Returns the member with the shared value, for one more response. The rest of the member, such as its expiry, may
   * have changed since the value was read.
   */
  function respondWith(entry: Sending, head: Omit<Member, 'value'>, connection: Connection): Member {
    entry.responses++
    connection.hold({
      bytes: entry.value.length,
      release() {
        if (--entry.responses === 0) end(entry)
      },
    })
    return { ...head, value: entry.value }
  }

  function join(ref: MemberRef, member: Member, connection: Connection): Member {
    const version = versionOf(ref, member)
    const entry = sending.get(version) ?? begin(version, member, connection.memory.values.share())
    return respondWith(entry, member, connection)
  }

  function joinLarge(ref: MemberRef, member: Member | null, connection: Connection): Member | null {
    return member === null || member.value.length <= smallBytes ? member : join(ref, member, connection)
  }

  async function getWhenItFits(ref: MemberRef, connection: Connection): Promise<Member | null> {
    const { collection, key } = ref
    for (;;) {
      const head = await db.getHead(collection, key)
      if (head === null || head.valueBytes <= smallBytes) return db.get(collection, key)
      const { valueBytes, ...rest } = head
      const version = versionOf(ref, head)
      const entry = sending.get(version)
      if (entry !== undefined) return respondWith(entry, rest, connection)
      const share = connection.memory.values.share()
      try {
        await connection.grow(share, valueBytes)
        // While this request waited, the value may have been read for another response, or replaced by one of another
        // size.
        const member = sending.has(version) ? null : await db.get(collection, key)
        if (member !== null && versionOf(ref, member) === version && !sending.has(version)) {
          return respondWith(begin(version, member, share), member, connection)
        }
      } catch (error) {
        share.release()
        throw error
      }
      share.release()
    }
  }

  function fits({ key }: MemberRef, { memory: { values } }: Connection): boolean {
    return values.usedBytes === 0 || (values.hasRoom(maxValueBytes) && !keys.has(key))
  }

  return {
    fits,
    get(ref, connection) {
      if (!fits(ref, connection)) return getWhenItFits(ref, connection)
      const found = db.get(ref.collection, ref.key)
      return found instanceof Promise
        ? found.then((member) => joinLarge(ref, member, connection))
        : joinLarge(ref, found, connection)
    },
    async part(ref, head, from, to, connection) {
      const entry = sending.get(versionOf(ref, head))
      if (entry === undefined) return readPart(db, ref, head, from, to, connection)
      respondWith(entry, head, connection)
      // A few bytes are sent at the end of the tick, when the memory of the value may be used for another one.
      return to - from > smallBytes
        ? entry.value.subarray(from, to)
        : Buffer.from(entry.value.subarray(from, to))
    },
    join,
  }
}

/** Returns a unique version: after a failover a revision may be assigned again, a revision with its clock is not. */
function versionOf({ collection }: MemberRef, { key, revision, clock }: Member | MemberHead): string {
  return `${collection} ${revision} ${clock} ${key}`
}

async function readPart(
  db: Store,
  ref: MemberRef,
  head: MemberHead,
  from: number,
  to: number,
  connection: Connection,
): Promise<Uint8Array | null> {
  const share = connection.memory.values.share()
  try {
    await connection.grow(share, to - from)
    const bytes = await db.getPart(ref, head, from, to)
    if (bytes !== null) {
      connection.hold({ bytes: bytes.length, release: () => releaseShare(share, bytes.length) })
      return bytes
    }
  } catch (error) {
    share.release()
    throw error
  }
  share.release()
  return null
}

function releaseShare(share: Share, bytes: number): void {
  leaveGarbage(share, bytes)
  share.release()
}

function leaveGarbage(share: Share, bytes: number): void {
  if (bytes > hugeBytes || !share.hasRoom(maxValueBytes)) garbage.add(bytes)
}
