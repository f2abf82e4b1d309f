import type { MemberRef, Renew, Write } from '../../core/engine.ts'
import { isOwnCollection } from '../../core/keys.ts'
import type { Placement } from './options.ts'
import { slotCount, slotOf } from './slots.ts'

/**
 * Where members are: the line of each, and the Redis keys of a line. All keys of a line have the same tag, and so the
 * same slot:
 *
 * | Key | Type | Holds |
 * | --- | --- | --- |
 * | h | hash | head: revision, clock, owner, gaps, newest forgotten tombstone, view of the indexes; which are whole; per server its last group and the result |
 * | i | hash | field → record (record.ts) with values up to `maxInlineBytes`; tombstones too |
 * | v | hash | field → larger values |
 * | o | sorted set, score 0 | fields of the members: their order by key |
 * | l, g | sorted set by revision | fields of the members, of the tombstones |
 * | x | sorted set by expiry | fields of the members that expire |
 * | s | hash | `m` and the collection → its members; `b` and the collection → the bytes of their keys and values |
 *
 * A field is the collection's name, a NUL, and the key.
 */
export interface LineKeys {
  readonly slot: number
  readonly head: string
  readonly records: string
  readonly values: string
  readonly order: string
  readonly members: string
  readonly tombstones: string
  readonly expiries: string
  readonly sizes: string
  /** The channel on which commits to the line are published. */
  readonly channel: string
}

/** Values up to this size are in the record. */
export const maxInlineBytes = 1024

/** Returns the keys of each line. Their slots are spread evenly, so that the lines are over the primaries. */
export function lineKeys(prefix: string, lines: number): readonly LineKeys[] {
  return Array.from({ length: lines }, (_, line) => {
    const tag = tagWithin(`${prefix}.${line}`, (line * slotCount) / lines, ((line + 1) * slotCount) / lines)
    const key = (name: string) => `{${tag}}${name}`
    return {
      slot: slotOf(key('')),
      head: key('h'),
      records: key('i'),
      values: key('v'),
      order: key('o'),
      members: key('l'),
      tombstones: key('g'),
      expiries: key('x'),
      sizes: key('s'),
      channel: key('c'),
    }
  })
}

/** Returns the first tag with a slot in a range. */
function tagWithin(name: string, from: number, to: number): string {
  for (let attempt = 0; ; attempt++) {
    const tag = `${name}.${attempt}`
    const slot = slotOf(`{${tag}}`)
    if (slot >= from && slot < to) return tag
  }
}

const separator = '\0'

export function fieldOf({ collection, key }: MemberRef): string {
  return `${collection}${separator}${key}`
}

export function refOf(field: Buffer): MemberRef {
  const end = field.indexOf(0)
  return { collection: field.toString('utf8', 0, end), key: field.toString('utf8', end + 1) }
}

/** The beginning of the fields of a collection, and the first field after them. */
export function fieldRange(collection: string): { readonly from: string; readonly to: string } {
  return { from: `${collection}${separator}`, to: `${collection}\x01` }
}

/** Shared, because hashing is synchronous. */
const digest = Buffer.allocUnsafeSlow(20)

/** Which line a member is on. It depends on the names and on what was fixed when the store was created, so all servers agree. */
export class LineMap {
  readonly count: number
  private readonly placement: Placement

  constructor(count: number, placement: Placement) {
    this.count = count
    this.placement = placement
  }

  lineOf({ collection, key }: MemberRef): number {
    if (this.count === 1) return 0
    const text = this.collectionText(collection) ?? tagOf(key) ?? `${collection}${separator}${key}`
    return this.lineOfText(text)
  }

  lineOfWrite(write: Write | Renew): number {
    return this.lineOf('near' in write && write.near !== undefined ? write.near : write)
  }

  /** The lines that can have members of a collection. Those of kvist's own can be near any member. */
  linesOf(collection: string): readonly number[] {
    const text = isOwnCollection(collection) ? null : this.collectionText(collection)
    return text === null ? this.all() : [this.lineOfText(text)]
  }

  all(): readonly number[] {
    return Array.from({ length: this.count }, (_, line) => line)
  }

  /** What decides about all members of a collection; null where each key does. */
  private collectionText(collection: string): string | null {
    const tag = tagOf(collection)
    if (tag !== null) return tag
    return this.placement === 'collection' || isOwnCollection(collection) ? collection : null
  }

  private lineOfText(text: string): number {
    Bun.SHA1.hash(text, digest)
    return digest.readUInt32BE(0) % this.count
  }
}

/** Returns the text between the first `{` and the next `}`; null without one. */
function tagOf(name: string): string | null {
  const open = name.indexOf('{')
  if (open < 0) return null
  const close = name.indexOf('}', open + 1)
  return close > open + 1 ? name.slice(open + 1, close) : null
}
