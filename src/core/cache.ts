import { hotMembers } from './hot-members.ts'
import { sortKey } from './keys.ts'
import type { Member } from './member.ts'

/**
 * The read cache: members that were read, in front of the engine, bounded by bytes. That it is never older than the
 * store is its owner's work (database.ts).
 *
 * What was cheap to read is kept only while it is read again and again (hot-members.ts). What was not, and what is
 * long, lies as bytes in one ring, found by a hash table with chains, both outside of the JavaScript heap: a member
 * of 100 bytes takes 180, where an object in a Map takes 600, and the garbage collector has nothing to walk through.
 * The ring is written onward; what it comes round to is let go of, unless it was read since it was written: then it is
 * written anew. So what is read stays, as in an LRU, and a hit costs the write of one byte.
 *
 *     offset  size  what
 *          0     4  next of the chain: its offset / 8 + 1, 0 for none
 *          4     4  hash of the collection and key
 *          8     1  form of the value: 0 JSON in ASCII, 1 JSON, 2 bytes
 *          9     1  1 when it was read since it was written, 2 when it was let go of
 *         10     2  collection, as a number (names)
 *         12     2  content type, as a number
 *         14     2  node, as a number
 *         16     4  bytes of the key (as UTF-8)
 *         20     4  bytes of the value
 *         24    40  revision, created, clock, expires (0 for never), flags: doubles
 *         64        key, value, and up to the next 8
 */
export interface MemberCache {
  get(collection: string, key: string): Member | undefined
  /** Whether a member is among those that are read again and again. */
  isHot(collection: string, key: string): boolean
  /** Keeps a member in place of an earlier one; of more than an eighth of the whole neither stays. */
  set(collection: string, member: Member): void
  /** What was cheap to read: it is kept when it was offered a short while before. */
  offer(collection: string, member: Member): void
  delete(collection: string, key: string): void
  /** Forgets all members. */
  clear(): void
  /** Counts on as the cache is used. */
  readonly stats: Readonly<CacheStats>
}

interface CacheStats {
  readonly hits: number
  readonly misses: number
  readonly entries: number
  readonly bytes: number
}

const headerBytes = 64
const forms = { asciiJson: 0, json: 1, bytes: 2 } as const
const fresh = 0
const wasRead = 1
const gone = 2

/** Longer values cost more to read again than to keep as bytes. */
const maxHotLength = 4096
const maxHotBytes = 4 * 1024 * 1024

/** Members of this size fill the hash table; of smaller ones chains are longer. */
const usualMemberBytes = 160
/** One that is set pushes this many on at most that were read, so that no set has to go all the way round. */
const maxKeptOnTheWay = 4

/** `maxBytes` 0 keeps nothing. */
export function memberCache(maxBytes: number): MemberCache {
  const slotCount = 2 ** Math.max(4, Math.floor(Math.log2(Math.max(1, maxBytes / usualMemberBytes))))
  const hotBytes = Math.min(maxHotBytes, maxBytes / 8)
  const size = Math.max(0, Math.min(maxBytes - hotBytes - slotCount * 4, 2 ** 32)) & ~7
  let hits = 0
  let misses = 0
  /** Of the ring. */
  let entries = 0
  let bytesInRing = 0
  const names = numbered()
  const hot = hotMembers(hotBytes, ({ key, value }) => entryBytes(key.length, value.length))
  // Memory is taken as it is written to, by the operating system; none is until the first member comes.
  let ring = Buffer.alloc(0)
  let view = new DataView(ring.buffer)
  let slots = new Uint32Array(0)
  let head = 0
  /** The oldest member; everything from here to `head`, going round, is in use. */
  let tail = 0
  /** Where the ring was cut short because the next member did not fit; it goes on from 0. */
  let wrapAt = size

  function begin(): void {
    ring = Buffer.allocUnsafeSlow(size)
    view = new DataView(ring.buffer, ring.byteOffset, size)
    slots = new Uint32Array(slotCount)
  }

  /** The offset of a member, -1 for none. */
  function find(collection: number, key: string, hash: number): number {
    for (let ref = slots[hash & (slotCount - 1)]!; ref !== 0; ) {
      const at = (ref - 1) * 8
      if (view.getUint32(at + 4, true) === hash && isKey(at, collection, key)) return at
      ref = view.getUint32(at, true)
    }
    return -1
  }

  function isKey(at: number, collection: number, key: string): boolean {
    if (view.getUint16(at + 10, true) !== collection || view.getUint32(at + 16, true) !== key.length)
      return false
    const from = at + headerBytes
    for (let i = 0; i < key.length; i++) if (ring[from + i] !== key.charCodeAt(i)) return false
    return true
  }

  function get(collection: string, key: string): Member | undefined {
    const number = names.find(collection)
    if (number !== undefined) {
      const hash = hashOf(number, key)
      const known = hot.get(number, key, hash)
      if (known !== undefined) {
        hits++
        return known
      }
      const at = entries === 0 ? -1 : find(number, sortKey(key), hash)
      if (at >= 0) {
        hits++
        ring[at + 9] = wasRead
        return memberAt(at, key)
      }
    }
    misses++
    return undefined
  }

  function isHot(collection: string, key: string): boolean {
    const number = names.find(collection)
    return number !== undefined && hot.get(number, key, hashOf(number, key)) !== undefined
  }

  function memberAt(at: number, key: string): Member {
    const from = at + headerBytes + view.getUint32(at + 16, true)
    const to = from + view.getUint32(at + 20, true)
    const form = ring[at + 8]
    return {
      key,
      value:
        form === forms.bytes
          ? Uint8Array.prototype.slice.call(ring, from, to)
          : ring.toString(form === forms.asciiJson ? 'latin1' : 'utf8', from, to),
      revision: view.getFloat64(at + 24, true),
      createdAtMs: view.getFloat64(at + 32, true),
      clock: view.getFloat64(at + 40, true),
      node: names.name(view.getUint16(at + 14, true)),
      expiresAtMs: view.getFloat64(at + 48, true) || null,
      contentType: names.name(view.getUint16(at + 12, true)),
      flags: view.getFloat64(at + 56, true),
    }
  }

  function set(collection: string, member: Member): void {
    const key = sortKey(member.key)
    const { value } = member
    const valueBytes = typeof value === 'string' ? Buffer.byteLength(value) : value.length
    const bytes = entryBytes(key.length, valueBytes)
    const inCollection = names.number(collection)
    const contentType = names.number(member.contentType)
    const node = names.number(member.node)
    if (inCollection === undefined) return
    const hash = hashOf(inCollection, member.key)
    remove(inCollection, member.key, hash)
    if (bytes > maxBytes / 8 || member.expiresAtMs === 0) return
    if (contentType === undefined || node === undefined) return
    if (ring.length === 0) begin()
    const at = take(bytes)
    const form =
      typeof value !== 'string' ? forms.bytes : valueBytes === value.length ? forms.asciiJson : forms.json
    view.setUint32(at + 4, hash, true)
    ring[at + 8] = form
    view.setUint16(at + 10, inCollection, true)
    view.setUint16(at + 12, contentType, true)
    view.setUint16(at + 14, node, true)
    view.setUint32(at + 16, key.length, true)
    view.setUint32(at + 20, valueBytes, true)
    view.setFloat64(at + 24, member.revision, true)
    view.setFloat64(at + 32, member.createdAtMs, true)
    view.setFloat64(at + 40, member.clock, true)
    view.setFloat64(at + 48, member.expiresAtMs ?? 0, true)
    view.setFloat64(at + 56, member.flags, true)
    const from = at + headerBytes
    ring.write(key, from, 'latin1')
    if (typeof value === 'string')
      ring.write(value, from + key.length, form === forms.json ? 'utf8' : 'latin1')
    else ring.set(value, from + key.length)
    link(at, hash, bytes)
  }

  function offer(collection: string, member: Member): void {
    const number = names.number(collection)
    if (number === undefined) return
    const hash = hashOf(number, member.key)
    if (!hot.wasRead(hash)) return
    if (member.value.length > maxHotLength) {
      set(collection, member)
      return
    }
    remove(number, member.key, hash)
    hot.keep(number, member, hash)
  }

  /** Enters the bytes at an offset as a member. */
  function link(at: number, hash: number, bytes: number): void {
    const slot = hash & (slotCount - 1)
    view.setUint32(at, slots[slot]!, true)
    slots[slot] = at / 8 + 1
    ring[at + 9] = fresh
    entries++
    bytesInRing += bytes
  }

  function remove(collection: number, key: string, hash: number): void {
    hot.delete(collection, key, hash)
    const at = entries === 0 ? -1 : find(collection, sortKey(key), hash)
    if (at >= 0) unlink(at)
  }

  function unlink(at: number): void {
    const slot = view.getUint32(at + 4, true) & (slotCount - 1)
    const next = view.getUint32(at, true)
    const own = at / 8 + 1
    if (slots[slot] === own) slots[slot] = next
    else {
      let before = (slots[slot]! - 1) * 8
      while (view.getUint32(before, true) !== own) before = (view.getUint32(before, true) - 1) * 8
      view.setUint32(before, next, true)
    }
    ring[at + 9] = gone
    entries--
    bytesInRing -= sizeAt(at)
  }

  function sizeAt(at: number): number {
    return entryBytes(view.getUint32(at + 16, true), view.getUint32(at + 20, true))
  }

  /**
   * Room for so many bytes at the head of the ring: what is oldest makes place. What of that was read goes in behind.
   * Room for all of it is made before any of it is written: what is not a member yet must not be come round to.
   */
  function take(bytes: number): number {
    const kept: Buffer[] = []
    let room = bytes
    while (!fits(room)) {
      const oldest = letGo()
      if (oldest === null || kept.length === maxKeptOnTheWay) continue
      kept.push(Buffer.from(oldest))
      room += oldest.length
    }
    const at = head
    head += bytes
    for (const member of kept) {
      member.copy(ring, head)
      link(head, view.getUint32(head + 4, true), member.length)
      head += member.length
    }
    return at
  }

  /** Takes the oldest out, and returns its bytes if it was read since it was written. */
  function letGo(): Buffer | null {
    const at = tail
    const size = sizeAt(at)
    const state = ring[at + 9]
    if (state !== gone) unlink(at)
    tail = at + size === wrapAt ? 0 : at + size
    if (tail === 0) wrapAt = ring.length
    return state === wasRead ? ring.subarray(at, at + size) : null
  }

  /** Whether the bytes fit at the head; moves it to the beginning of the ring when they fit there. */
  function fits(bytes: number): boolean {
    if (entries === 0) {
      head = 0
      tail = 0
      wrapAt = ring.length
    }
    if (head >= tail) {
      if (head + bytes <= ring.length) return true
      // Never quite full: head and tail at one place means empty.
      if (bytes >= tail) return false
      wrapAt = head
      head = 0
      return true
    }
    return head + bytes < tail
  }

  return {
    get,
    isHot,
    set,
    offer,
    clear() {
      slots.fill(0)
      head = 0
      tail = 0
      wrapAt = ring.length
      entries = 0
      bytesInRing = 0
      hot.clear()
    },
    delete(collection, key) {
      const number = names.find(collection)
      if (number !== undefined) remove(number, key, hashOf(number, key))
    },
    stats: {
      get hits() {
        return hits
      },
      get misses() {
        return misses
      },
      get entries() {
        return entries + hot.held.members
      },
      get bytes() {
        return bytesInRing + hot.held.bytes
      },
    },
  }
}

function entryBytes(keyBytes: number, valueBytes: number): number {
  return (headerBytes + keyBytes + valueBytes + 7) & ~7
}

/** Of this process alone, so that nobody can choose keys that all meet in one chain. */
const basis = crypto.getRandomValues(new Uint32Array(1))[0]!

/** FNV-1a over the characters, and a last mix so that the low bits, which choose the slot, depend on all of them. */
function hashOf(collection: number, key: string): number {
  let hash = basis ^ collection
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (hash ^ (hash >>> 13)) >>> 0
}

/** Gives texts that come again and again numbers of 16 bits, as long as there are some left. */
function numbered() {
  const numbers = new Map<string, number>()
  const texts: string[] = []
  let lastText: string | undefined
  let lastNumber: number | undefined
  return {
    /** Most ask for the one that was asked for before them. */
    find(text: string): number | undefined {
      if (text !== lastText) {
        lastNumber = numbers.get(text)
        lastText = lastNumber === undefined ? undefined : text
      }
      return lastNumber
    },
    name: (number: number) => texts[number]!,
    number(text: string): number | undefined {
      const known = numbers.get(text)
      if (known !== undefined || texts.length === 2 ** 16) return known
      numbers.set(text, texts.length)
      texts.push(text)
      return texts.length - 1
    },
  }
}
