import type { Member } from './member.ts'

/**
 * Members that are read again and again, as the objects that they are: there is nothing to decode, and what others
 * remember of the object is of use again. A member has one place, by its hash, and whoever is read twice in a short while
 * may take it over.
 *
 * A miss, of which there is one for each member that is read or written at random, looks at numbers that lie close
 * together, and at no object.
 */
export interface HotMembers {
  get(collection: number, key: string, hash: number): Member | undefined
  /** Whether one of this hash was read a short while before. */
  wasRead(hash: number): boolean
  /** Gives a member the place of whoever has it. */
  keep(collection: number, member: Member, hash: number): void
  delete(collection: number, key: string, hash: number): void
  clear(): void
  readonly held: Readonly<{ members: number; bytes: number }>
}

const places = 1024
/** Of so many members that were read, a part of the hash is remembered. */
const readPlaces = 2 ** 15

/** `bytesOf` is what a member takes; when there are more than `maxBytes`, all are let go of. */
export function hotMembers(maxBytes: number, bytesOf: (member: Member) => number): HotMembers {
  const hashes = new Uint32Array(places)
  const collections = new Uint16Array(places)
  const members: (Member | null)[] = new Array(places).fill(null)
  const read = new Uint16Array(readPlaces)
  const held = { members: 0, bytes: 0 }

  function get(collection: number, key: string, hash: number): Member | undefined {
    const place = hash & (places - 1)
    if (hashes[place] !== hash || collections[place] !== collection) return undefined
    const member = members[place]!
    return member?.key === key ? member : undefined
  }

  function letGo(place: number): void {
    const member = members[place]!
    if (member === null) return
    held.members--
    held.bytes -= bytesOf(member)
    members[place] = null
    hashes[place] = 0
  }

  function clear(): void {
    for (let i = 0; i < places; i++) letGo(i)
  }

  return {
    get,
    wasRead(hash) {
      const place = hash & (readPlaces - 1)
      const rest = hash >>> 16
      const isAgain = read[place] === rest
      read[place] = rest
      return isAgain
    },
    keep(collection, member, hash) {
      const place = hash & (places - 1)
      const bytes = bytesOf(member)
      letGo(place)
      if (bytes > maxBytes) return
      if (held.bytes + bytes > maxBytes) clear()
      members[place] = member
      hashes[place] = hash
      collections[place] = collection
      held.members++
      held.bytes += bytes
    },
    delete(collection, key, hash) {
      if (get(collection, key, hash) !== undefined) letGo(hash & (places - 1))
    },
    clear,
    held,
  }
}
