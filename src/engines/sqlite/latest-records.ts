/**
 * The latest record of each member that a group of commits has written, as its offset in the chunk.
 *
 * A key behind all those before it is new. An import in the order of keys has only such keys, and they are hashed only when
 * one of another kind is looked up.
 */
export class LatestRecords {
  private readonly collections = new Map<string, LatestOfCollection>()
  /** The collection looked up last, which most writes of a group share. */
  private lastName: string | undefined
  private lastFound: LatestOfCollection | undefined

  get(collection: string, key: string): number | undefined {
    const own = this.find(collection)
    return own === undefined || key > own.last ? undefined : hashed(own).get(key)
  }

  set(collection: string, key: string, at: number): void {
    const own = this.find(collection) ?? this.add(collection)
    if (key > own.last) {
      own.last = key
      own.keys.push(key)
      own.offsets.push(at)
    } else hashed(own).set(key, at)
  }

  delete(collection: string, key: string): void {
    const own = this.find(collection)
    if (own !== undefined) hashed(own).delete(key)
  }

  private find(collection: string): LatestOfCollection | undefined {
    if (collection !== this.lastName) {
      this.lastName = collection
      this.lastFound = this.collections.get(collection)
    }
    return this.lastFound
  }

  private add(collection: string): LatestOfCollection {
    // Smaller than any key: none is empty.
    const own = { last: '', keys: [], offsets: [], byKey: new Map() }
    this.collections.set(collection, own)
    this.lastFound = own
    return own
  }
}

interface LatestOfCollection {
  /** The last key in the order of strings. */
  last: string
  /** Ascending keys that are not hashed yet, and their offsets. */
  keys: string[]
  offsets: number[]
  readonly byKey: Map<string, number>
}

function hashed(own: LatestOfCollection): Map<string, number> {
  const { keys, offsets, byKey } = own
  if (keys.length > 0) {
    for (let i = 0; i < keys.length; i++) byKey.set(keys[i]!, offsets[i]!)
    own.keys = []
    own.offsets = []
  }
  return byKey
}
